"""Reading a lock and its recipes into a plan, for verbs that build and for those that only look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from layerlock.io.lockfile import read_lock
from layerlock.io.repository import Repository
from layerlock.model.lock import Lock, LockedFile, LockedPath, LockedSource
from layerlock.model.recipe import Deb, GitSource, PathSource
from layerlock.plan.fit import check_plan, check_sources, mismatch, stale
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import Closure, Plan, Planner, closure_of_layer, closure_of_package
from layerlock.workflows.driver import Driver

PROGRAM: Final = "sandbox-program"
"""What the sandbox's own program is called in the store and in archives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """A plan with its pins by key, and the outputs that locks record for its derivations, by name.

    `lock` is the layer's own; a package has none.
    """

    plan: Plan
    pins: Mapping[str, LockedSource]
    recorded: Mapping[str, str]
    lock: Lock | None = None


def load(driver: Driver, name: str, planner: Planner | None = None) -> Loaded:
    """Plan a layer, or else a package, of this name. Nothing is fetched but git pins that no lock holds.

    A `planner` may know a part of it already.

    Raises:
        StaleLock: a layer has no lock, or the recipes do not fit it.
        UsageError: there is no such recipe.
    """
    if name in driver.repository.targets():
        lock, plan, pins = load_layer(driver, name, planner)
        return Loaded(plan=plan, pins=pins, recorded=recorded(lock), lock=lock)
    return load_package(driver, name, planner)


def load_layer(
    driver: Driver, layer: str, planner: Planner | None = None
) -> tuple[Lock, Plan, Mapping[str, LockedSource]]:
    """Read a layer's lock, hold the recipes against it, and plan; with a `planner` that may know a part already.

    Raises:
        StaleLock: there is no lock, or recipes, patches, guest code or one's own code no longer fit it.
    """
    repository = driver.repository
    lock = read_lock(repository.lock_path(layer), layer)
    closure = closure_of_layer(repository, layer)
    check_patches(repository, closure)
    pins = check_sources(lock, closure, repository)
    check_paths(driver, layer, pins)
    plan = (planner or Planner(repository, driver.guest_code)).layer(layer, pins)
    check_plan(lock, plan, repository)
    return lock, plan, pins


def load_package(driver: Driver, name: str, planner: Planner | None = None) -> Loaded:
    """Plan one package with the pins of every lock that fits; with a `planner` that may know a part already.

    A package's files are hashed in its recipe, so that planning needs no more than the pins of git checkouts and
    folders; files that no lock holds are absent from the pins.
    """
    repository = driver.repository
    closure = closure_of_package(repository, name)
    check_patches(repository, closure)
    paths = {layer: repository.lock_path(layer) for layer in repository.targets()}
    locks = [read_lock(path, layer) for layer, path in paths.items() if path.is_file()]
    held = {pin.key: pin for lock in locks for pin in lock.sources}
    pins: dict[str, LockedSource] = {
        f"{environment.name}/{deb.name}": deb_pin(environment.name, deb)
        for environment, _, deb in closure.debs()
    }
    pins |= {layer.key: layer for _, _, layer in closure.image_layers(repository)}
    for recipe, _, source in closure.sources():
        key = source_key(recipe, source)
        pin = held.get(key)
        # One's own code is taken as it is: a package is built to try it, and needs no lock.
        if pin is not None and mismatch(source, pin) is None and not isinstance(source, PathSource):
            pins[key] = pin
        elif isinstance(source, GitSource | PathSource):
            pins[key] = driver.supplier.pin(recipe, source, None, upgrade=False)
    plan = (planner or Planner(repository, driver.guest_code)).package(name, pins)
    outputs = {
        derivation.name: derivation.output
        for lock in locks
        for derivation in lock.derivations
        if derivation.output is not None and plan.planned.get(derivation.name) == derivation.planned
    }
    return Loaded(plan=plan, pins=pins, recorded=outputs)


def check_patches(repository: Repository, closure: Closure) -> None:
    """Hold every patch of a closure against the hash in its recipe."""
    for recipe in closure.packages:
        for index in range(len(recipe.patches)):
            repository.patch(recipe, index)


def check_paths(driver: Driver, layer: str, pins: Mapping[str, LockedSource]) -> None:
    """Hold folders of the repository that are sources against their pinned tree hashes."""
    for pin in pins.values():
        if isinstance(pin, LockedPath):
            found = driver.supplier.folder_hash(driver.repository.root / pin.path)
            if found != pin.tree:
                recipe, _, _ = pin.key.partition("/")
                raise stale(
                    layer,
                    f"the folder `{pin.path}` has the tree hash {found}, the lock says {pin.tree}",
                    driver.repository.locate("packages", recipe, "sources"),
                )


def program_pin(deb: Deb) -> LockedFile:
    """Give the pin of a package of the sandbox's own program, which no lock names."""
    return deb_pin(PROGRAM, deb)


def deb_pin(environment: str, deb: Deb) -> LockedFile:
    """Give the pin of a Debian package: its recipe states everything there is to lock."""
    return LockedFile(
        kind="file", key=f"{environment}/{deb.name}", urls=(deb.path,), sha256=deb.sha256, size=deb.size
    )


def recorded(lock: Lock) -> dict[str, str]:
    """Give the recorded outputs by derivation."""
    return {d.name: d.output for d in lock.derivations if d.output is not None}
