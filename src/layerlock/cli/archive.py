"""`layerlock archive`: everything that a layer is made from, in one folder."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_offline
from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer
from layerlock.errors import FetchError, HashMismatch, Offline, UsageError
from layerlock.ui.text import count, printable, size, table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from layerlock.cli.call import Call
    from layerlock.reproduce.manifest import ArchivedSources
    from layerlock.workflows.archiving import Archived
    from layerlock.workflows.driver import Driver

HELP = Help(
    about="Writes everything that a layer's lock names into a folder, each file under its hash: sources, the Debian "
    "packages of build environments, the program that makes sandboxes, recipes, patches, guest code, the lock, and the "
    "source packages of Debian whose binaries the layer ships. With --from, layers are built and reproduced from "
    "such a folder without a network, without git, and without the servers of today. What is there already is "
    "verified and stays; a run that was ended is completed by the next. One folder may hold many layers and locks.",
    writes="the folder named by --to, and what had to be fetched into the store.",
    examples=(
        "layerlock archive cv --to /media/archive",
        "layerlock archive cv@v1.2 --to /media/archive",
        "layerlock archive --verify /media/archive",
    ),
    related=("reproduce", "fetch", "build"),
)

_TARGET = re.compile(r"([a-z0-9][a-z0-9._-]*)(?:@(.+))?", re.DOTALL)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "target", nargs="?", metavar="LAYER", help="a layer, or LAYER@REVISION as git's history has it"
    )
    parser.add_argument("--to", metavar="DIR", help="the folder of the archive; made if it is missing")
    parser.add_argument(
        "--without-debian-sources",
        action="store_true",
        help="leave out the source packages of Debian binaries that the layer ships; building does not need them",
    )
    parser.add_argument("--verify", metavar="DIR", help="hash everything in an archive, and write nothing")
    add_offline(parser)


def run(call: Call) -> int:
    """Archive a layer, or verify an archive."""
    target, place, verified = call.option("target"), call.option("to"), call.option("verify")
    if verified is not None:
        if target is not None or place is not None:
            raise UsageError("--verify DIR stands alone", hint="layerlock archive --verify DIR")
        return _verify(call, verified)
    named = _TARGET.fullmatch(target or "")
    if named is None or place is None:
        raise UsageError(
            "a layer and the folder of the archive are needed", hint="layerlock archive LAYER --to DIR"
        )
    from layerlock.reproduce.archive import Archive  # noqa: PLC0415 - usage errors are told without it
    from layerlock.workflows.archiving import archive_layer  # noqa: PLC0415 - as above

    with _driver(call, named[1], named[2]) as driver:
        archived = archive_layer(
            driver,
            named[1],
            Archive(call.current / place),
            debian_sources=not call.option("without_debian_sources"),
        )
    call.result(_as_text(call, archived), _fields(archived))
    if archived.problems:
        raise FetchError(
            "the archive has all that building needs, but source packages of Debian could not be had:\n"
            + "\n".join(archived.problems),
            hint="run the same again later: what is there stays; --without-debian-sources leaves them out",
        )
    return 0


@contextmanager
def _driver(call: Call, layer: str, revision: str | None) -> Iterator[Driver]:
    """Lend a driver over the checkout, or over a revision of it that is laid out for as long."""
    if revision is None:
        check_layer(call.repository, layer)
        with call.driver() as driver:
            yield driver
        return
    from layerlock.cli.diff import history_of  # noqa: PLC0415 - as above
    from layerlock.cli.reproduce import past_driver  # noqa: PLC0415 - as above
    from layerlock.reproduce.past import past_at  # noqa: PLC0415 - as above
    from layerlock.store.local import LocalStore  # noqa: PLC0415 - as above
    from layerlock.workflows.reproducing import fitting  # noqa: PLC0415 - as above

    past = past_at(history_of(call), layer, revision)
    with LocalStore(call.store).scratch("revision") as scratch, call.listening() as emit:
        found = fitting(
            past,
            lambda repository, guest: past_driver(call, emit, repository, call.store, guest, None),
            scratch / "revision",
        )
        yield found.driver


def _as_text(call: Call, archived: Archived) -> str:
    packages = archived.manifest.source_packages
    left_out = "left out" if call.option("without_debian_sources") else "none"
    rows = [
        ("holds", f"{size(archived.size)} in {count(archived.entries, 'file')}"),
        ("written", f"{size(archived.written)} of sources in {count(archived.sources_written, 'file')}"),
        ("Debian sources", ", ".join(map(_package, packages)) or left_out),
    ]
    return f"{call.shown(archived.path)}\n{table(rows, indent='  ')}"


def _package(sources: ArchivedSources) -> str:
    return f"{sources.package} {sources.version}" + ("" if sources.complete else " (incomplete)")


def _fields(archived: Archived) -> dict[str, object]:
    return {
        "layer": archived.manifest.layer,
        "lock": archived.manifest.lock,
        "manifest": str(archived.path),
        "size": archived.size,
        "files": archived.entries,
        "written": archived.written,
        "sources_written": archived.sources_written,
        "problems": list(archived.problems),
        "source_packages": [asdict(package) for package in archived.manifest.source_packages],
    }


def _verify(call: Call, named: str) -> int:
    from layerlock.reproduce.archive import Archive  # noqa: PLC0415 - as above
    from layerlock.workflows.archiving import verify_archive  # noqa: PLC0415 - as above

    archive = Archive(call.current / named)
    with call.listening() as emit:
        manifests, flaws = verify_archive(archive, emit)
    fields = {
        "archive": str(archive.root),
        "layers": manifests,
        "flaws": [{**asdict(f), "path": str(f.path)} for f in flaws],
    }
    if not flaws:
        call.result(
            f"everything that {count(manifests, 'manifest')} of {named} lists is there, and is what it says",
            fields,
        )
        return 0
    call.result("\n".join(printable(f"{flaw.path}: {flaw.problem}") for flaw in flaws), fields)
    kind = Offline if all(flaw.missing for flaw in flaws) else HashMismatch
    raise kind(
        f"{count(len(flaws), 'finding')} in {named}",
        hint="where there is a network, `layerlock archive LAYER --to DIR` brings what is missing or damaged",
    )
