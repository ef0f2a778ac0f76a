"""`layerlock diff`: what differs between two zips, trees or locks, and why."""

from __future__ import annotations

import re
import shutil
import subprocess
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.cli.help import Help
from layerlock.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.model.lock import Lock
    from layerlock.reproduce.history import History

HELP = Help(
    about="Compares two zips or folders with each other, or two locks. Of zips and folders: which files were added, "
    "removed or changed, which bytes differ, and the cause where it is certain: a build path, a date, the order of "
    "lines, times in a zip. Nothing is unpacked, and no link is followed. Of locks: which sources moved, which "
    "parts of which derivations changed, and what that did to the zip. Ends with 0 where both are identical and "
    "with 1, without an error, where they differ.",
    writes="nothing.",
    examples=(
        "layerlock diff dist/cv.zip ../other/dist/cv.zip",
        "layerlock diff cv@HEAD~1 cv",
        "layerlock diff --json old.lock lockfiles/cv.lock",
    ),
    related=("history", "show", "hash"),
)

DIFFERENT = 1
_PAST = re.compile(r"([a-z0-9][a-z0-9._-]*)@(.+)", re.DOTALL)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    about = "a zip, a folder, a .lock file, a layer (its lock), or LAYER@REVISION (its lock in git's history)"
    parser.add_argument("before", metavar="A", help=about)
    parser.add_argument("after", metavar="B", help="the same; locks are compared with locks only")
    parser.add_argument(
        "--all", action="store_true", help="list every difference, not the first ones of a kind"
    )
    parser.add_argument(
        "--diffoscope", action="store_true", help="run diffoscope on both at the end, if they differ"
    )


def run(call: Call) -> int:
    """Compare."""
    before, after = _side(call, call.options.before), _side(call, call.options.after)
    if isinstance(before, Path) and isinstance(after, Path):
        return _files(call, before, after)
    if isinstance(before, Path) or isinstance(after, Path):
        kinds = ["a zip or folder" if isinstance(side, Path) else "a lock" for side in (before, after)]
        raise UsageError(
            f"`{call.options.before}` is {kinds[0]}, `{call.options.after}` is {kinds[1]}",
            hint="compare locks with locks, and zips or folders with each other; ./NAME is a folder called as a layer",
        )
    return _locks(call, before, after)


def history_of(call: Call) -> History:
    """Give the git history of the recipe repository."""
    from layerlock.reproduce.history import History  # noqa: PLC0415 - --help does without it
    from layerlock.sources.git_program import GitProgram  # noqa: PLC0415 - as above

    return History(call.root, GitProgram(variables=call.variables, seconds=300))


def _side(call: Call, text: str) -> Path | Lock:
    """Find out what an argument means: a path if it looks like one, else a layer, else a path if there is one."""
    from layerlock.io.lockfile import parse_lock, read_lock  # noqa: PLC0415 - --help does without it

    path = call.current / text
    if text.endswith(".lock") and path.is_file():
        return parse_lock(path.read_bytes(), text)
    past = _PAST.fullmatch(text)
    if past is not None and not path.exists():
        return history_of(call).lock_at(past[1], past[2])
    if "/" not in text and not text.endswith((".zip", ".lock")) and _is_layer(call, text):
        return read_lock(call.repository.lock_path(text), text)
    if not path.exists():
        raise UsageError(
            f"there is no file, folder or layer `{text}`",
            hint="name a zip, a folder, a .lock file, a layer, or LAYER@REVISION",
        )
    return path


def _is_layer(call: Call, text: str) -> bool:
    try:
        repository = call.repository
    except UsageError:
        # Zips and folders can be compared anywhere.
        return False
    return text in repository.targets() or repository.lock_path(text).is_file()


def _files(call: Call, before: Path, after: Path) -> int:
    from layerlock.cli.differences import comparison_text  # noqa: PLC0415 - as above
    from layerlock.io.entries import open_holding  # noqa: PLC0415 - as above
    from layerlock.reproduce.compare import compare  # noqa: PLC0415 - as above

    program = _diffoscope(call)
    try:
        with ExitStack() as opened:
            left, right = (opened.enter_context(closing(open_holding(path))) for path in (before, after))
            found = compare(left, right)
    except OSError as error:
        # Exit code 1 is taken: it would say that they differ.
        raise UsageError(f"{error.filename or before} cannot be read: {error.strerror or error}") from error
    fields = {"identical": found.identical, "same_contents": found.same_contents, **asdict(found)}
    call.result(comparison_text(found, everything=bool(call.option("all"))), {"kind": "files", **fields})
    if found.identical:
        return 0
    if program is not None:
        call.stdout.flush()
        # What it writes goes beside the summary; with --json, standard output is for objects alone.
        output = call.stderr if call.lines is not None else call.stdout
        subprocess.run([program, "--", str(before), str(after)], stdout=output, check=False)
    return DIFFERENT


def _locks(call: Call, before: Lock, after: Lock) -> int:
    from layerlock.cli.differences import locks_text  # noqa: PLC0415 - as above
    from layerlock.reproduce.locks import compare_locks  # noqa: PLC0415 - as above

    found = compare_locks(before, after)
    fields = {"kind": "locks", "identical": found.identical, "same_zip": found.same_zip, **asdict(found)}
    call.result(locks_text(found, everything=bool(call.option("all"))), fields)
    return 0 if found.identical else DIFFERENT


def _diffoscope(call: Call) -> str | None:
    if not call.option("diffoscope"):
        return None
    program = shutil.which("diffoscope", path=call.variables.get("PATH"))
    if program is None:
        raise UsageError("diffoscope is not installed", hint="install it, or leave --diffoscope out")
    return program
