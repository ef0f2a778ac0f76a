"""The work of a check's child process: rebuilding what it is ordered to, in a sandbox that shows something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from layerlock.build.one import Order
from layerlock.errors import StaleLock
from layerlock.model.derivation import Derivation
from layerlock.reproduce.orders import Answer, Orders, Wanted
from layerlock.reproduce.rebuild import rebuild_all
from layerlock.reproduce.variations.varied import Varied
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import Loaded, load


def rebuild(driver: Driver, orders: Orders, seen: Mapping[str, Any]) -> Answer:
    """Rebuild everything that is ordered into the driver's store; `seen` is answered with it.

    Raises:
        StaleLock: this process plans another derivation than the one that gave the order.
    """
    loaded = load(driver, orders.target)
    listed = driver.store.held_tree
    varied = Varied(
        inner=driver.sandbox,
        files={path: Path(file) for path, file in orders.files.items()},
        libraries={listed(root): Path(library) for root, library in orders.libraries.items()},
        listed=Path(orders.listed),
        emulator=Path(orders.emulator) if orders.emulator else None,
    )
    changed = replace(driver, sandbox=varied)

    def sources(derivation: Derivation) -> Mapping[str, Path]:
        return {source.key: driver.supplier.fetch(loaded.pins[source.key]) for source in derivation.sources}

    wanted = [_order(loaded, each) for each in orders.wanted]
    return Answer(rebuilt=rebuild_all(wanted, changed.workshop, sources, changed.capacity), seen=seen)


def _order(loaded: Loaded, wanted: Wanted) -> Order:
    planned = loaded.plan.planned.get(wanted.name)
    if planned != wanted.planned:
        raise StaleLock(
            f"`{wanted.name}` is planned as {planned} under the variations, and as {wanted.planned} without",
            hint="either a recipe was changed meanwhile, or the driver plans differently here, which is a defect",
        )
    return Order(derivation=loaded.plan[wanted.name], planned=planned, inputs=wanted.inputs)
