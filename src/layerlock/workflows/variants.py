"""A layer with other rules than its recipe has: planned like the layer, and made like it, beside its lock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Event

from layerlock.build.known import known
from layerlock.build.many import realise_all
from layerlock.build.workshop import Supply
from layerlock.model.derivation import Realisation
from layerlock.model.layer import LayerRecipe
from layerlock.model.lock import LockedSource
from layerlock.plan.resolve import Plan, plan_layer
from layerlock.workflows import keeping
from layerlock.workflows.driver import Driver


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """A layer as its lock has it: the plan, pins by key, and recorded outputs by derivation."""

    plan: Plan
    pins: Mapping[str, LockedSource]
    outputs: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Variant:
    """A changed recipe's plan, with what the store has of it, and what a lock records of what did not change."""

    driver: Driver
    plan: Plan
    pins: Mapping[str, LockedSource]
    outputs: Mapping[str, str]
    done: Mapping[str, Realisation]

    def make(self, *targets: str) -> Mapping[str, Realisation]:
        """Realise targets.

        Raises:
            LayerlockError: a fetch, a build, a check or a smoke test failed.
        """
        if all(target in self.done for target in targets):
            return self.done
        driver = self.driver
        supply = Supply(pins=self.pins, missing=driver.supplier.missing, fetch=driver.supplier.fetch)
        return realise_all(
            self.plan, targets, driver.workshop, supply, driver.capacity, self.outputs, self.done
        )


def vary(driver: Driver, changed: LayerRecipe, locked: Locked) -> Variant:
    """Plan a layer by another recipe than its file holds, with the lock's pins."""
    # A failed build cancels what runs beside it by an event that stays set: each variant gets one of its own.
    driver = replace(driver, cancel=Event())
    plan = plan_layer(driver.repository.with_layer(changed), changed.name, driver.guest_code, locked.pins)
    same = {
        derivation: output
        for derivation, output in locked.outputs.items()
        if plan.planned.get(derivation) == locked.plan.planned[derivation]
    }
    done = known(plan, driver.store, same)
    driver.store.hold(keeping.outputs(done.values()) | keeping.sources(locked.pins.values()))
    done = {key: made for key, made in done.items() if driver.store.tree(made.output) is not None}
    return Variant(driver=driver, plan=plan, pins=locked.pins, outputs=same, done=done)
