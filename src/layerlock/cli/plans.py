"""Planning a target to look at it: nothing is fetched where the recipes say enough."""

from __future__ import annotations

from collections.abc import Mapping

from layerlock.cli.targets import is_layer
from layerlock.io.lockfile import read_lock
from layerlock.model.lock import LockedSource
from layerlock.model.recipe import GitSource, PathSource
from layerlock.plan.fit import mismatch
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import Plan, closure_of_package, plan_package
from layerlock.workflows.driver import Driver, guest_code
from layerlock.workflows.locking import deb_pin, load_layer, recorded


def plan_of(driver: Driver, name: str) -> tuple[Plan, Mapping[str, LockedSource], Mapping[str, str]]:
    """Plan a layer or a package; give the plan, the pins that are known, and the outputs that locks record.

    A package's files are hashed in its recipe, so that only git checkouts and folders that no lock holds have to
    be pinned for it.

    Raises:
        StaleLock: a layer has no lock, or the recipes do not fit it.
    """
    repository = driver.repository
    if is_layer(repository, name):
        lock, plan, pins = load_layer(driver, name)
        return plan, pins, recorded(lock)
    paths = {layer: repository.lock_path(layer) for layer in repository.names("layers")}
    locks = [read_lock(path, layer) for layer, path in paths.items() if path.is_file()]
    held = {pin.key: pin for lock in locks for pin in lock.sources}
    closure = closure_of_package(repository, name)
    known: dict[str, LockedSource] = {
        f"{environment.name}/{deb.name}": deb_pin(environment.name, deb)
        for environment, _, deb in closure.debs()
    }
    for recipe, _, source in closure.sources():
        key = source_key(recipe, source)
        pin = held.get(key)
        if pin is not None and mismatch(source, pin) is None:
            known[key] = pin
        elif isinstance(source, GitSource | PathSource):
            known[key] = driver.supplier.pin(recipe, source, None, upgrade=False)
    plan = plan_package(repository, name, guest_code(), known)
    outputs = {
        derivation.name: derivation.output
        for lock in locks
        for derivation in lock.derivations
        if derivation.output is not None and plan.planned.get(derivation.name) == derivation.planned
    }
    return plan, known, outputs
