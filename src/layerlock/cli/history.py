"""`layerlock history`: the past locks of a layer."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from layerlock.cli.diff import history_of
from layerlock.cli.help import Help
from layerlock.ui.text import printable, size, table

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.reproduce.history import PastLock

HELP = Help(
    about="Lists the locks that a layer had, out of the git history of the recipe repository, the newest first: the "
    "commit, its date, the sha256 of the zip that was recorded and its sizes, and what changed against the lock "
    "before. Only committed locks are listed, along the first parents of what is checked out. LAYER@COMMIT names "
    "one of them to layerlock diff.",
    writes="nothing.",
    examples=("layerlock history cv", "layerlock diff cv@HEAD~1 cv"),
    related=("diff", "record", "lock"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layer", metavar="LAYER", help="a layer that has a lock, or had one")


def run(call: Call) -> int:
    """List past locks."""
    past = history_of(call).past_locks(call.options.layer)
    call.result(_as_text(past), {"layer": call.options.layer, "locks": [_row(lock) for lock in past]})
    return 0


def _row(past: PastLock) -> dict[str, Any]:
    recorded = past.lock.zip if past.lock is not None else None
    return {
        "revision": past.revision,
        "date": past.date,
        "subject": past.subject,
        "zip": asdict(recorded) if recorded is not None else None,
        "problem": past.problem or None,
        "change": asdict(past.change) if past.change is not None else None,
    }


def _as_text(past: tuple[PastLock, ...]) -> str:
    from layerlock.cli.differences import locks_line  # noqa: PLC0415 - --help does without it

    rows = [("revision", "date", "zip", "zipped", "unzipped", "changed")]
    for each in past:
        recorded = each.lock.zip if each.lock is not None else None
        changed = each.problem or (locks_line(each.change) if each.change is not None else "the first lock")
        rows.append(
            (
                each.revision[:12],
                each.date[:10],
                recorded.sha256[:16] if recorded is not None else "not recorded",
                size(recorded.size) if recorded is not None else "",
                size(recorded.unzipped) if recorded is not None else "",
                printable(changed),
            )
        )
    return table(rows, right=frozenset({3, 4}))
