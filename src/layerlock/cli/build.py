"""`layerlock build`: layers and functions into zips, packages into the store."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_building, add_caching, add_cluster, positive
from layerlock.cli.help import Help
from layerlock.cli.targets import check_target, is_layer
from layerlock.errors import UsageError
from layerlock.ui.text import render_layer, size

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from layerlock.cli.call import Call
    from layerlock.ui.timeline import Timeline
    from layerlock.workflows.built import LayerBuilt

HELP = Help(
    about="Builds layers and packages. What is missing is fetched and verified by hash, built in a sandbox without "
    "network, checked against the layer's runtime and tried in a root like Lambda's; what is in the store already "
    "is used as it is. A layer needs its lock, and a build never changes it: where the lock records outputs, the "
    "first output that differs stops the build.",
    writes="dist/NAME.zip in the recipe repository for a layer (--out names another folder). A package's output "
    "stays in the store; its place is printed. Full logs of all builds are kept in the store.",
    examples=("layerlock build cv", "layerlock build numpy --jobs 2 --keep-failed"),
    related=("lock", "record", "log", "shell"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="a layer, a function or a package")
    parser.add_argument("--out", metavar="DIR", help="where layer zips go; `dist` in the recipe repository")
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


def run(call: Call) -> int:
    """Build every target, one after the other; what has nothing to do is told without even loading what builds."""
    if call.timeline is None:
        standing = [None if call.settings.cluster else _standing(call, name) for name in call.options.names]
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


def build_all(call: Call) -> None:
    """Build every target."""
    for name in call.options.names:
        check_target(call.repository, name)
    for name in call.options.names:
        if call.settings.cluster is not None and call.settings.cluster.detach:
            leave(call, name)
        elif is_layer(call.repository, name):
            build_layer(call, name)
        else:
            build_package(call, name)


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


def leave(call: Call, name: str) -> None:
    """Leave a build to a cluster, and say how to come back to it."""
    from layerlock.cluster.submission import Detached  # noqa: PLC0415 - as above
    from layerlock.workflows import building  # noqa: PLC0415 - as above

    try:
        with call.driver() as driver:
            if is_layer(call.repository, name):
                building.build_layer(driver, name, out_folder(call))
            else:
                building.build_package(driver, name)
    except Detached as left:
        text = f"{name} is left to the cluster; come back to it with: layerlock attach {name}"
        call.result(text, {"name": name, "run": left.run})


def build_package(call: Call, name: str) -> None:
    """Build a package and say where its output stands."""
    from layerlock.workflows import building  # noqa: PLC0415 - as above

    with call.driver() as driver:
        made, path = building.build_package(driver, name)
    call.result(
        f"{path}\n  {size(made.size)}, {made.output}",
        {
            "package": name,
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
