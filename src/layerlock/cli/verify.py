"""`layerlock verify`: whether the store still holds what it says, and mending it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.cli.help import Help
from layerlock.errors import StoreError, UsageError
from layerlock.ui.text import count, printable

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.events import Listener
    from layerlock.store.local import LocalStore
    from layerlock.store.verify import Damage
    from layerlock.workflows.driver import Driver
    from layerlock.workflows.repairing import Mended

HELP = Help(
    about="Hashes every file and tree in the store anew and compares it with the hash that it is kept under; modes, "
    "times, records of builds and registered checkouts are looked at too. Whatever is damaged is named. With "
    "--repair it is taken out, and what the locks of this repository and of the registered checkouts need of it is "
    "fetched or built again.",
    writes="nothing; with --repair the damaged entries of the store.",
    examples=("layerlock verify --verbose", "layerlock verify --repair"),
    related=("gc", "hash"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "--repair", action="store_true", help="remove what is damaged, and fetch or build it again"
    )
    parser.add_argument("--offline", action="store_true", help="with --repair: fetch nothing")


def run(call: Call) -> int:
    """Verify, and repair where that was asked for."""
    from layerlock.store.local import LocalStore  # noqa: PLC0415 - --help does without it

    store = LocalStore(call.store)
    with call.listening() as emit:
        damages = store.verify(emit)
        mended = repair(call, store, damages, emit) if call.option("repair") and damages else ()
    if mended:
        return _tell_repair(call, mended)
    fields = {"damaged": [{"path": str(found.path), "problem": found.problem} for found in damages]}
    if not damages:
        call.result(f"everything in {call.store} is what it says", fields)
        return 0
    call.result("\n".join(f"{found.path}: {printable(found.problem)}" for found in damages), fields)
    raise StoreError(
        f"{count(len(damages), 'finding')} in {call.store}", hint="mend the store: layerlock verify --repair"
    )


def repair(call: Call, store: LocalStore, damages: tuple[Damage, ...], emit: Listener) -> tuple[Mended, ...]:
    """Mend the store by the locks of the repository at hand, if there is one, and of all registered checkouts."""
    from dataclasses import replace  # noqa: PLC0415 - --help does without all of these

    from layerlock.cli.construct import construct  # noqa: PLC0415
    from layerlock.store.roots import registered  # noqa: PLC0415
    from layerlock.workflows import keeping, repairing  # noqa: PLC0415

    try:
        places = keeping.checkouts(store, call.root)
    except UsageError:  # started outside of any
        places = registered(store.layout)

    def driver_of(place: Path) -> Driver:
        return construct(
            replace(call.settings_for(place, call.store), offline=bool(call.option("offline"))), emit
        )

    return repairing.repair(store, damages, places, driver_of)


def _tell_repair(call: Call, mended: tuple[Mended, ...]) -> int:
    left = [each for each in mended if not each.good]
    fields = {
        "repaired": [
            {"path": str(each.path), "problem": each.problem, "done": each.done, "good": each.good}
            for each in mended
        ]
    }
    lines = [f"{each.path}: {printable(each.problem)}\n  {printable(each.done)}" for each in mended]
    call.result("\n".join(lines), fields)
    if left:
        names = ", ".join(each.path.name for each in left[:3])
        raise StoreError(
            f"{count(len(left), 'entry', 'entries')} of {call.store} could not be brought back ({names})",
            hint="the reasons stand above; the damaged entries are gone, and a build that needs them makes them anew",
        )
    return 0
