"""`layerlock gc`: making room in the store."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, get_args

from layerlock.cli.help import Help
from layerlock.model.decode import Bytes, Quantity
from layerlock.ui.text import count, size

if TYPE_CHECKING:
    from pathlib import Path

    from layerlock.cli.call import Call

HELP = Help(
    about="Removes from the store what no lock of this recipe repository, no other registered checkout and no "
    "running build needs, and the folders that failed builds left behind. What is removed is fetched or built "
    "again when it is asked for.",
    writes="nothing; removes entries of the store.",
    examples=("layerlock gc --dry-run", "layerlock gc --max-size '20 GB'"),
    related=("verify", "fetch"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument(
        "--max-size", type=_bytes, metavar="SIZE", help="remove nothing while the store is smaller, `20 GB`"
    )


def run(call: Call) -> int:
    """Collect."""
    from layerlock.io.lockfile import read_lock  # noqa: PLC0415 - usage errors are told without it
    from layerlock.store.keep import Keep  # noqa: PLC0415 - as above
    from layerlock.store.local import LocalStore  # noqa: PLC0415 - as above
    from layerlock.workflows.keeping import needed  # noqa: PLC0415 - as above

    dry_run = bool(call.option("dry_run"))
    store = LocalStore(call.store)
    keep = Keep()
    for layer in call.repository.names("layers"):
        path = call.repository.lock_path(layer)
        if path.is_file():
            keep |= needed(read_lock(path, layer), store)
    allowed = call.option("max_size")
    if allowed is not None and (held := _held(call.store)) <= allowed:
        text = f"the store holds {size(held)}, no more than {size(allowed)}; nothing was removed"
        call.result(text, {"removed": [], "freed": 0, "dry_run": dry_run})
        return 0
    freed = store.gc(keep, dry_run=dry_run)
    listed = [f"  {entry}" for entry in freed.entries] if dry_run or call.verbose else []
    said = "would free" if dry_run else "freed"
    text = f"{said} {size(freed.bytes)} in {count(len(freed.entries), 'entry', 'entries')} of {call.store}"
    call.result(
        "\n".join([*listed, text]), {"removed": freed.entries, "freed": freed.bytes, "dry_run": dry_run}
    )
    return 0


def _held(store: Path) -> int:
    """Count the bytes of all files in the store."""
    total = 0
    for folder, _, names in os.walk(store):
        for name in names:
            try:
                total += os.lstat(f"{folder}/{name}").st_size
            except FileNotFoundError:
                continue  # removed meanwhile
    return total


def _bytes(text: str) -> int:
    rule = get_args(Bytes)[1]
    assert isinstance(rule, Quantity)  # noqa: S101 - recipes spell sizes in the same way
    number = rule.read(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"must be {rule.called}, not {text!r}")
    return number
