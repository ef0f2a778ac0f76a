"""`layerlock reproduce`: building a past layer again, exactly."""

from __future__ import annotations

import hashlib
import re
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.cli import surroundings
from layerlock.cli.arguments import add_building
from layerlock.cli.help import Help
from layerlock.errors import LayerlockError, NotReproducible, UsageError
from layerlock.io.filehash import file_sha256
from layerlock.ui.text import count, size, table

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.events import Listener
    from layerlock.reproduce.archive import Archive
    from layerlock.reproduce.past import Past
    from layerlock.store.local import LocalStore
    from layerlock.workflows.driver import Driver
    from layerlock.workflows.reproducing import Difference, Verdict

HELP = Help(
    about="Builds a layer of the past again: with the recipes, patches and guest code of the revision that its lock "
    "was committed with, in a store of its own, and holds every output and the zip against the lock's record. The "
    "revision is named, or found in git's history by a lock or by a zip that a lock recorded; --repo-rev names it "
    "where the history does not have it. With --from an archive takes the place of git and of the network. Sources "
    "that this machine's store has are not fetched again; outputs are never taken from it.",
    writes="nothing but a temporary store, removed at the end; --store keeps it, --out keeps the zip.",
    examples=(
        "layerlock reproduce cv@v1.2",
        "layerlock reproduce --zip downloaded.zip",
        "layerlock reproduce --lock old.lock --repo-rev 1f2e3d4",
        "layerlock reproduce cv --from /media/archive",
    ),
    related=("history", "diff", "archive"),
)

_PAST = re.compile(r"([a-z0-9][a-z0-9._-]*)(?:@(.+))?", re.DOTALL)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "past",
        nargs="?",
        metavar="LAYER@REVISION",
        help="a layer of a commit, tag or branch; LAYER with --from",
    )
    parser.add_argument("--lock", metavar="FILE", help="the lock of the layer")
    parser.add_argument("--zip", metavar="FILE", help="a zip that a lock recorded")
    parser.add_argument("--repo-rev", metavar="REVISION", help="whose recipes the lock or zip belongs to")
    parser.add_argument("--out", metavar="DIR", help="a folder for the zip; it is not kept if left out")
    add_building(parser)


def run(call: Call) -> int:
    """Reproduce."""
    _check(call)
    from layerlock.workflows.reproducing import reproduce  # noqa: PLC0415 - usage errors are told without it

    with ExitStack() as stack:
        past = find(call)
        ordinary = _ordinary(call)
        scratch = stack.enter_context((ordinary or _own(call)).scratch("reproduce"))
        emit = stack.enter_context(call.listening())
        store = call.store if call.option("store") is not None else scratch / "store"
        out = call.option("out")

        def make_driver(repository: Path, guest: Path) -> Driver:
            return past_driver(call, emit, repository, store, guest, ordinary)

        verdict = reproduce(
            past,
            make_driver,
            scratch / "revisions",
            ordinary,
            call.current / out if out is not None else None,
        )
        # While what was built still stands.
        explained = _explained(verdict, verdict.difference, call) if verdict.difference is not None else ""
    return _tell(call, verdict, explained)


def past_driver(
    call: Call, emit: Listener, repository: Path, store: Path, guest: Path, ordinary: LocalStore | None
) -> Driver:
    """Make a driver over a revision that was laid out; sources may come from this machine's ordinary store."""
    from layerlock.cli.construct import construct  # noqa: PLC0415 - usage errors are told without it

    settings = replace(
        call.settings_for(repository, store),
        guest=guest,
        other_store=ordinary.root if ordinary is not None and call.archive is None else None,
    )
    return construct(settings, emit)


def find(call: Call) -> Past:
    """Find the lock, and what its recipes are taken from: the archive first, then git's history."""
    from layerlock.cli.diff import history_of  # noqa: PLC0415 - as above
    from layerlock.reproduce import past  # noqa: PLC0415 - as above
    from layerlock.reproduce.archive import Archive  # noqa: PLC0415 - as above

    archive = Archive(call.archive) if call.archive is not None else None
    lock, zipped, revision = call.option("lock"), call.option("zip"), call.option("repo_rev")
    if lock is not None:
        text = _bytes(call, lock)
        found = _in_archive(archive, revision, lock=hashlib.sha256(text).hexdigest())
        if found is not None:
            return found
        if revision is not None:
            return past.past_given(history_of(call), text, lock, revision)
        return past.past_of_lock(history_of(call), text, lock)
    if zipped is not None:
        sha256 = _sha256(call, zipped)
        found = _in_archive(archive, revision, zipped=sha256)
        if found is not None:
            return found
        if archive is not None and not _in_checkout(call):
            raise past.unknown_zip(sha256, zipped, f"no lock in the archive {archive.root}")
        if revision is not None:
            return past.past_of_zip_at(history_of(call), sha256, zipped, revision)
        return past.past_of_zip(history_of(call), sha256, zipped)
    named = _PAST.fullmatch(call.options.past)
    if named is None:
        raise UsageError(f"`{call.options.past}` names no past layer", hint="it is LAYER@REVISION")
    if named[2] is not None:
        return past.past_at(history_of(call), named[1], named[2])
    found = _in_archive(archive, None, layer=named[1])
    if found is not None:
        return found
    if archive is not None:
        raise UsageError(
            f"the archive {archive.root} holds no layer `{named[1]}`",
            hint=f"it holds: {', '.join(sorted({each.layer for each in archive.manifests()})) or 'nothing'}",
        )
    raise UsageError(
        f"`{named[1]}` names no revision", hint=f"name one: {named[1]}@HEAD is what was committed last"
    )


def _in_archive(archive: Archive | None, revision: str | None, **wanted: str) -> Past | None:
    from layerlock.workflows.reproducing import past_in_archive  # noqa: PLC0415 - as above

    return past_in_archive(archive, **wanted) if archive is not None and revision is None else None


def _in_checkout(call: Call) -> bool:
    try:
        return bool(call.root)
    except UsageError:
        return False


def _check(call: Call) -> None:
    given = [name for name in ("past", "lock", "zip") if call.option(name) is not None]
    if len(given) != 1:
        raise UsageError(
            "name one thing to reproduce" if given else "there is nothing named to reproduce",
            hint="LAYER@REVISION, --lock FILE or --zip FILE",
        )
    if call.option("repo_rev") is not None and given == ["past"]:
        raise UsageError(
            "--repo-rev belongs to --lock or --zip", hint="LAYER@REVISION names the revision already"
        )


def _ordinary(call: Call) -> LocalStore | None:
    """Give this machine's ordinary store, where one is known: its sources spare a download."""
    from layerlock.store.local import LocalStore  # noqa: PLC0415 - as above

    try:
        place = surroundings.store(None, call.variables, call.current)
    except UsageError:
        return None
    own = call.option("store")
    return LocalStore(place) if own is None or call.current / own != place else None


def _own(call: Call) -> LocalStore:
    from layerlock.store.local import LocalStore  # noqa: PLC0415 - as above

    return LocalStore(call.store)


def _bytes(call: Call, named: str) -> bytes:
    try:
        return (call.current / named).read_bytes()
    except OSError as error:
        raise UsageError(f"{named} cannot be read: {error.strerror or error}") from None


def _sha256(call: Call, named: str) -> str:
    try:
        return file_sha256(call.current / named)
    except OSError as error:
        raise UsageError(f"{named} cannot be read: {error.strerror or error}") from None


def _explained(verdict: Verdict, difference: Difference, call: Call) -> str:
    """Say what differs from the original: the recorded output, or the zip, where this machine has it."""
    from layerlock.cli.differences import comparison_text  # noqa: PLC0415 - only differences load it
    from layerlock.io.entries import open_holding  # noqa: PLC0415 - as above
    from layerlock.reproduce.compare import compare  # noqa: PLC0415 - as above

    before, after = _at_hand(verdict, difference, call)
    if before is None:
        return "what was recorded is not on this machine, so the files cannot be compared"
    try:
        with ExitStack() as opened:
            left, right = (opened.enter_context(closing(open_holding(path))) for path in (before, after))
            return comparison_text(compare(left, right))
    except (OSError, LayerlockError) as error:
        return f"the files could not be compared: {error}"


def _at_hand(verdict: Verdict, difference: Difference, call: Call) -> tuple[Path | None, Path]:
    """Give what to compare: the recorded output out of the store, or the zip that was given, and what came out."""
    zipped = call.option("zip")
    if difference.original is not None or zipped is None:
        return difference.original, difference.rebuilt
    # Where these derivations leave what lands in the zip, and the zip itself.
    for name in ("tree", f"{verdict.layer}.zip"):
        if (difference.rebuilt / name).exists():
            return call.current / zipped, difference.rebuilt / name
    return None, difference.rebuilt


def _tell(call: Call, verdict: Verdict, explained: str) -> int:
    different = verdict.difference
    fields = {**asdict(verdict), "identical": different is None, "explanation": explained or None}
    for key in ("original", "rebuilt"):
        if different is not None:
            fields["difference"][key] = str(fields["difference"][key])
    built = len(verdict.compared) - len(verdict.reused)
    outputs = f"{count(len(verdict.compared), 'recorded output')} compared, {built} of them built now"
    if different is None:
        rows = [
            ("outputs", outputs),
            ("", ", ".join(verdict.compared)),
            ("zip", f"{verdict.zip_sha256} ({size(verdict.zip_size)})"),
        ]
        if verdict.reused:
            rows.insert(2, ("", f"in the store already: {', '.join(verdict.reused)}"))
        call.result(f"identical: {verdict.layer} of {verdict.checkout}\n{table(rows, indent='  ')}", fields)
        return 0
    rows = [("recorded", different.recorded), ("came out", different.found), ("so far", outputs)]
    text = (
        f"different: {different.name}, of {verdict.layer} of {verdict.checkout}\n{table(rows, indent='  ')}"
    )
    call.result(f"{text}\n{explained}", fields)
    raise NotReproducible(
        f"the output of {different.name} is not the one that the lock records",
        hint="everything before it in build order came out the same; --store DIR keeps what was built",
    )
