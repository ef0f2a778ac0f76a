"""`layerlock verify`: whether the store still holds what it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.help import Help
from layerlock.errors import StoreError
from layerlock.ui.text import count, printable

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Hashes every file and tree in the store anew and compares it with the hash that it is kept under; modes "
    "and times are looked at too. Whatever is damaged is named; remove it, and it is fetched or built again.",
    writes="nothing.",
    examples=("layerlock verify --verbose",),
    related=("gc", "hash"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add no arguments of its own."""
    del parser


def run(call: Call) -> int:
    """Verify."""
    from layerlock.store.local import LocalStore  # noqa: PLC0415 - --help does without it

    store = LocalStore(call.store)
    with call.listening() as emit:
        damaged = store.verify(emit)
    fields = {"damaged": [{"path": str(found.path), "problem": found.problem} for found in damaged]}
    if not damaged:
        call.result(f"everything in {call.store} is what it says", fields)
        return 0
    call.result("\n".join(f"{found.path}: {printable(found.problem)}" for found in damaged), fields)
    raise StoreError(
        f"{count(len(damaged), 'finding')} in {call.store}",
        hint="remove the entries that are named; they are fetched or built again when they are needed",
    )
