"""`layerlock build`: layers and functions into zips, packages into the store."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_building, add_caching, add_cluster, positive
from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer, check_target, is_layer
from layerlock.errors import UsageError
from layerlock.ui.text import render_layer, size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from layerlock.cli.call import Call
    from layerlock.model.derivation import Realisation
    from layerlock.ui.timeline import Timeline
    from layerlock.workflows.built import LayerBuilt

HELP = Help(
    about="Builds layers and packages. What is missing is fetched and verified by hash, built in a sandbox without "
    "network, checked against the layer's runtime and tried in a root like Lambda's; what is in the store already "
    "is used as it is. A layer needs its lock, and a build never changes it: where the lock records outputs, the "
    "first output that differs stops the build. Several names, or with --all every layer and function, are built as "
    "one plan, for whichever runtimes and processors, in which each derivation stands once; a layer that cannot be "
    "planned (it has no lock, say) is told of at once and ends the command with its code, after all the others were "
    "built.",
    writes="dist/NAME.zip in the recipe repository for a layer (--out names another folder). A package's output "
    "stays in the store; its place is printed. Full logs of all builds are kept in the store.",
    examples=(
        "layerlock build cv",
        "layerlock build numpy --jobs 2 --keep-failed",
        "layerlock build --all --except cv-git",
    ),
    related=("lock", "record", "log", "shell"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_targets(parser)
    parser.add_argument(
        "--trace",
        metavar="FILE",
        help="write where the time went, for chrome://tracing and ui.perfetto.dev",
    )
    add_building(parser)
    add_caching(parser)
    add_cluster(parser)
    parser.add_argument(
        "--detach",
        action="store_true",
        help="leave the build to the cluster; `layerlock attach` comes back to it",
    )
    parser.add_argument(
        "--verify",
        dest="copies",
        type=positive,
        metavar="N",
        help="have N workers of the cluster build everything, and compare",
    )


def add_targets(parser: argparse.ArgumentParser) -> None:
    """Add what says what is to be built, and where zips go."""
    parser.add_argument(
        "names", nargs="*", default=(), metavar="NAME", help="a layer, a function or a package"
    )
    parser.add_argument("--all", action="store_true", help="build every layer and function, as one plan")
    parser.add_argument(
        "--except",
        dest="without",
        action="append",
        metavar="LAYER",
        help="with --all: leave a layer or a function out; may be given several times",
    )
    parser.add_argument("--out", metavar="DIR", help="where layer zips go; `dist` in the recipe repository")


def run(call: Call) -> int:
    """Build every target; what has nothing to do is told without even loading what builds."""
    names = _names(call)
    if call.timeline is None:
        standing = [None if call.settings.cluster else _standing(call, name) for name in names]
        if all(standing):
            for built in filter(None, standing):
                _warn(call, built)
                tell_layer(call, built)
            return 0
        build_all(call)
    else:
        with _traced(call, call.timeline):
            build_all(call)
    return 0


def _names(call: Call) -> tuple[str, ...]:
    """Give what is to be built.

    Raises:
        UsageError: nothing is named, or names and --all contradict each other.
    """
    names, without = tuple(call.option("names", ())), tuple(call.option("without", ()))
    if not call.option("all"):
        if not names or without:
            raise UsageError(
                "name a layer, a function or a package, or say --all (to which --except belongs)"
            )
        return tuple(dict.fromkeys(names))
    if names:
        raise UsageError(
            "--all builds every layer and function, and names no other", hint="leave the names out"
        )
    for name in without:
        check_layer(call.repository, name)
    return tuple(name for name in call.repository.targets() if name not in without)


def build_all(call: Call) -> None:
    """Build every target, several as one plan; or leave them to a cluster."""
    names = _names(call)
    for name in call.option("names", ()):
        check_target(call.repository, name)
    if len(names) > 1 or call.option("all"):
        work = partial(build_everything, call, names)
    elif is_layer(call.repository, names[0]):
        work = partial(build_layer, call, names[0])
    else:
        work = partial(build_package, call, names[0])
    if call.settings.cluster is not None and call.settings.cluster.detach:
        leave(call, work)
    else:
        work()


@contextmanager
def _traced(call: Call, timeline: Timeline) -> Iterator[None]:
    """Write where the time went, also of a run that fails or is interrupted.

    Raises:
        UsageError: there is no folder for the file, which is told before anything is built.
    """
    from layerlock.io.atomic import write_bytes  # noqa: PLC0415 - for --trace alone

    path = call.current / call.option("trace")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent} for the trace")
    try:
        yield
    except BaseException:
        with suppress(OSError):  # what ended the run is the thing to tell
            write_bytes(path, timeline.document())
        raise
    write_bytes(path, timeline.document())


def build_everything(call: Call, names: tuple[str, ...]) -> None:
    """Build layers, functions and packages as one plan, and say what came out of each.

    Raises:
        LayerlockError: what kept the first of them from being planned or delivered; all of them are named.
    """
    from layerlock.workflows import everything  # noqa: PLC0415 - as below

    with call.driver() as driver:
        done = everything.build_everything(driver, names, out_folder(call))
    for built in done.built:
        tell_layer(call, built)
    for made, path in done.packages:
        _tell_package(call, made, path)
    if done.failed:
        first, *others = done.failed.items()
        error = first[1]
        error.message += "".join(f"\n{name}: {other}" for name, other in others)
        raise error


def build_layer(call: Call, name: str) -> None:
    """Build a layer and say what came out."""
    from layerlock.workflows import building  # noqa: PLC0415 - mistakes in the names are told without it

    with call.driver() as driver:
        built = building.build_layer(driver, name, out_folder(call))
    tell_layer(call, built)


def _standing(call: Call, name: str) -> LayerBuilt | None:
    """Give a layer's zip where it stands as the last build left it, and so does everything that decided it."""
    from layerlock.workflows.standing import find  # noqa: PLC0415 - needs hashes, which --help does not

    settings = call.settings
    if settings.archive is not None:
        return None  # which is looked through first
    return find(settings.store, settings.repository, name, out_folder(call))


def _warn(call: Call, built: LayerBuilt) -> None:
    if built.warnings:
        from layerlock.events import Warned  # noqa: PLC0415 - most layers have none

        with call.listening() as emit:
            for message in built.warnings:
                emit(Warned(name=built.layer, message=message))


def leave(call: Call, work: Callable[[], None]) -> None:
    """Leave a build to a cluster, and say how to come back to it; what is in the store already is told at once."""
    from layerlock.cluster.submission import Detached  # noqa: PLC0415 - brings Dask in

    try:
        work()
    except Detached as left:
        names = " ".join(call.option("names", ()))
        words = names or " ".join(["--all", *(f"--except {name}" for name in call.option("without", ()))])
        what = f"{names} {'are' if ' ' in names else 'is'}" if names else "everything is"
        text = f"{what} left to the cluster; come back to it with: layerlock attach {words}"
        call.result(text, {"name": words, "run": left.run})


def build_package(call: Call, name: str) -> None:
    """Build a package and say where its output stands."""
    from layerlock.workflows import building  # noqa: PLC0415 - as above

    with call.driver() as driver:
        made, path = building.build_package(driver, name)
    _tell_package(call, made, path)


def _tell_package(call: Call, made: Realisation, path: Path) -> None:
    call.result(
        f"{path}\n  {size(made.size)}, {made.output}",
        {
            "package": made.name,
            "path": str(path),
            "output": made.output,
            "planned": made.planned,
            "size": made.size,
        },
    )


def out_folder(call: Call) -> Path:
    """Give the folder that layer zips go to."""
    named = call.option("out")
    return call.current / named if named is not None else call.root / "dist"


def tell_layer(call: Call, built: LayerBuilt) -> None:
    """Say what a layer zip is and weighs, and whether the lock confirms it."""
    lock = str(built.lock.relative_to(call.root))
    verb = "nox -s record --" if (call.root / "noxfile.py").is_file() else "layerlock record"
    standing = f"confirmed by {lock}" if built.confirmed else f"unconfirmed: run {verb} {built.layer}"
    text = render_layer(
        path=call.shown(built.path),
        sha256=built.sha256,
        zipped=built.size,
        direct_upload=built.direct_upload_limit,
        unzipped=built.unzipped,
        limit=built.unzipped_limit,
        lock=standing,
    )
    fields = {
        "layer": built.layer,
        "path": str(built.path),
        "sha256": built.sha256,
        "size": built.size,
        "unzipped": built.unzipped,
        "direct_upload_limit": built.direct_upload_limit,
        "unzipped_limit": built.unzipped_limit,
        "lock": lock,
        "confirmed": built.confirmed,
        "notes": built.notes,
    }
    call.result("\n".join((text, *(f"  {note}" for note in built.notes))), fields)
