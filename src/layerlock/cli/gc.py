"""`layerlock gc`: making room in the store."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from layerlock.cli.arguments import amount
from layerlock.cli.help import Help
from layerlock.events import Warned
from layerlock.store.keep import Keep
from layerlock.ui.text import count, size, table

if TYPE_CHECKING:
    from layerlock.cli.call import Call
    from layerlock.store.collect import Freed

HELP = Help(
    about="Removes from the store what no lock of this recipe repository, no lock of another registered checkout and "
    "no running build needs, and the folders that failed builds left behind. What is removed is fetched or built "
    "again when it is asked for. With --max-size no more is removed than makes the store that small, and what was "
    "used longest ago goes first.",
    writes="nothing; removes entries of the store.",
    examples=("layerlock gc --dry-run", "layerlock gc --max-size '20 GB'"),
    related=("verify", "fetch"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would be removed, and what keeps the rest"
    )
    parser.add_argument(
        "--max-size", type=amount, metavar="SIZE", help="remove only until the store is no larger, `20 GB`"
    )


def run(call: Call) -> int:
    """Collect."""
    from layerlock.cli.reach import program_needs  # noqa: PLC0415 - usage errors are told without it
    from layerlock.store.local import LocalStore  # noqa: PLC0415 - as above
    from layerlock.workflows import keeping  # noqa: PLC0415 - as above

    dry_run, most = bool(call.option("dry_run")), call.option("max_size")
    store = LocalStore(call.store)
    with call.listening() as emit:
        locks = keeping.by_lock(store, keeping.checkouts(store, call.root), emit)
        needed = {**locks, "the sandbox's program": program_needs(store)}
        freed = store.gc(Keep(), dry_run=dry_run, most=most, named=needed)
        over = most is not None and freed.held > most
        if over:
            message = f"what is needed alone takes {size(freed.held)}, more than {size(most)}"
            emit(Warned(name="gc", message=message))
    call.result(
        "\n".join(_lines(call, freed, dry_run=dry_run)),
        {
            "removed": freed.entries,
            "freed": freed.bytes,
            "held": freed.held,
            "kept": [{"by": k.holder, "entries": k.entries, "bytes": k.bytes} for k in freed.kept],
            "over": over,
            "dry_run": dry_run,
        },
    )
    return 0


def _lines(call: Call, freed: Freed, *, dry_run: bool) -> list[str]:
    listed = [f"  {entry}" for entry in freed.entries] if dry_run or call.verbose else []
    said = "would free" if dry_run else "freed"
    text = f"{said} {size(freed.bytes)} in {count(len(freed.entries), 'entry', 'entries')} of {call.store}"
    lines = [*listed, f"{text}, which then holds {size(freed.held)}"]
    rows = [(k.holder, count(k.entries, "entry", "entries"), size(k.bytes)) for k in freed.kept if k.entries]
    if dry_run and rows:
        lines += ["kept, in part by several at once:", table(rows, right=frozenset({1, 2}), indent="  ")]
    return lines
