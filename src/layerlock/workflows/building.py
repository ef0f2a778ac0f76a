"""Building layers and packages, confirming them against locks, and looking into failed builds."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from layerlock.build.many import FETCHES, Supply, known, realise_all
from layerlock.build.stage import stage
from layerlock.errors import NotReproducible, StoreError, UsageError
from layerlock.events import Warned
from layerlock.io.atomic import write_bytes
from layerlock.io.lockfile import read_lock
from layerlock.layer.result import LayerZip, check_size, read_zip
from layerlock.model.derivation import GuestRun, Realisation
from layerlock.model.lock import LockedSource, RecordedZip
from layerlock.plan import layers
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import Plan, closure_of_package, plan_package
from layerlock.workflows.driver import Driver, guest_code
from layerlock.workflows.keeping import kept
from layerlock.workflows.locking import check_patches, check_paths, deb_pin, load_layer, recorded, write_record


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerBuilt:
    """A layer zip outside the store, with Lambda's limits beside its sizes, all in bytes.

    `confirmed` says that the lock records this very zip; a lock without a record leaves it unconfirmed.
    """

    layer: str
    path: Path
    sha256: str
    size: int
    unzipped: int
    unzipped_limit: int
    direct_upload_limit: int
    confirmed: bool
    lock: Path
    report: Mapping[str, object]


def build_layer(driver: Driver, layer: str, out: Path) -> LayerBuilt:
    """Build a layer, try it, and put its zip into the folder `out`.

    Raises:
        StaleLock: the recipes do not fit the lock.
        NotReproducible: an output is not the one that the lock records.
        LayerlockError: a fetch, a build, a check or a smoke test failed.
    """
    lock, plan, pins = load_layer(driver, layer)
    with kept(driver, lock):
        made = realise_all(
            plan,
            (layers.tree_name(layer), layers.zip_name(layer), layers.smoke_name(layer)),
            driver.workshop,
            _supply(driver, pins),
            driver.capacity,
            recorded(lock),
        )
    zipped = _zip(driver, layer, made)
    if lock.zip is not None and lock.zip.sha256 != zipped.sha256:
        raise NotReproducible(f"the zip of {layer} is {zipped.sha256}; the lock records {lock.zip.sha256}")
    recipe = driver.repository.layer(layer)
    runtime = driver.repository.runtime(recipe.layer.runtime)
    check_size(zipped, recipe, runtime)
    return LayerBuilt(
        layer=layer,
        path=_deliver(zipped, out, driver),
        sha256=zipped.sha256,
        size=zipped.size,
        unzipped=zipped.unzipped,
        unzipped_limit=runtime.limits.unzipped,
        direct_upload_limit=runtime.limits.direct_upload,
        confirmed=lock.zip is not None,
        lock=driver.repository.lock_path(layer),
        report=zipped.report,
    )


def record_layer(driver: Driver, layer: str, out: Path) -> LayerBuilt:
    """Build a layer and write the outputs of all its derivations and its zip into the lock.

    Recorded outputs of derivations that did not change still hold: a different one stops the build.
    """
    lock, plan, pins = load_layer(driver, layer)
    # Everything, not only what the zip needs from an earlier build: the record names every derivation.
    with kept(driver, lock):
        realise_all(
            plan, tuple(plan.planned), driver.workshop, _supply(driver, pins), driver.capacity, recorded(lock)
        )
    built = build_layer(driver, layer, out)
    made = known(plan, driver.workshop, recorded(lock))
    record = RecordedZip(
        sha256=built.sha256,
        size=built.size,
        unzipped=built.unzipped,
        tree=made[layers.tree_name(layer)].output,
    )
    write_record(driver, lock, made, record)
    return replace(built, confirmed=True)


def build_package(driver: Driver, name: str) -> tuple[Realisation, Path]:
    """Build one package; give its realisation and its place in the store."""
    plan, pins, outputs = load_package(driver, name)
    made = realise_all(plan, (name,), driver.workshop, _supply(driver, pins), driver.capacity, outputs)[name]
    path = driver.store.tree(made.output)
    if path is None:
        raise StoreError(f"the output of {name} went missing from the store")
    return made, path


def load_package(
    driver: Driver, name: str
) -> tuple[Plan, Mapping[str, LockedSource], Mapping[str, str]]:
    """Plan one package with the pins of the locks that hold it; what no lock holds is pinned for this run.

    Gives the plan, the pins, and the outputs that locks record for derivations that are still the same.
    """
    repository = driver.repository
    closure = closure_of_package(repository, name)
    locks = [read_lock(repository.lock_path(layer), layer) for layer in _locked_layers(driver)]
    held = {pin.key: pin for lock in locks for pin in lock.sources}
    pins: dict[str, LockedSource] = {}
    check_patches(repository, closure)
    for recipe, _, source in closure.sources():
        key = source_key(recipe, source)
        pins[key] = driver.supplier.pin(recipe, source, held.get(key), upgrade=False)
    for environment, _, deb in closure.debs():
        pin = held.get(f"{environment.name}/{deb.name}")
        pins[f"{environment.name}/{deb.name}"] = pin or deb_pin(environment.name, deb)
    check_paths(driver, name, pins)
    plan = plan_package(repository, name, guest_code(), pins)
    outputs = {
        d.name: d.output
        for lock in locks
        for d in lock.derivations
        if d.output is not None and plan.planned.get(d.name) == d.planned
    }
    return plan, pins, outputs


def fetch_all(driver: Driver, name: str) -> int:
    """Bring every source of a layer or a package into the store; give how many there are."""
    pins = load(driver, name)[1]
    with ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch") as pool:
        for future in [pool.submit(driver.supplier.fetch, pin) for pin in pins.values()]:
            future.result()
    return len(pins)


def load(driver: Driver, name: str) -> tuple[Plan, Mapping[str, LockedSource], Mapping[str, str]]:
    """Plan a layer or a package, whichever has the name.

    Raises:
        UsageError: neither has it.
    """
    if name in driver.repository.names("layers"):
        lock, plan, pins = load_layer(driver, name)
        return plan, pins, recorded(lock)
    return load_package(driver, name)


def shell(driver: Driver, name: str) -> int:
    """Lay out a build as it was before its commands ran, and open a shell there; give its exit status."""
    plan, pins, outputs = load(driver, name)
    names = (name, layers.tree_name(name), layers.zip_name(name))
    derivation = next((d for d in reversed(plan.derivations) if d.name in names), None)
    if derivation is None or not isinstance(derivation.action, GuestRun):
        raise UsageError(f"`{name}` is not built in a sandbox")
    supply = _supply(driver, pins)
    needed = tuple(item.name for item in derivation.inputs)
    made = realise_all(plan, needed, driver.workshop, supply, driver.capacity, outputs)
    with driver.store.scratch(f"shell-{name}") as scratch:
        staged = stage(
            derivation,
            derivation.action,
            driver.workshop,
            {item: driver.store.held_tree(made[item].output) for item in needed},
            {source.key: supply.fetch(pins[source.key]) for source in derivation.sources},
            scratch,
        )
        return driver.sandbox.shell(replace(staged.spec, argv=("/bin/bash", "--norc", "-i"), interactive=True))


def _locked_layers(driver: Driver) -> list[str]:
    return [layer for layer in driver.repository.names("layers") if driver.repository.lock_path(layer).is_file()]


def _supply(driver: Driver, pins: Mapping[str, LockedSource]) -> Supply:
    return Supply(pins=pins, missing=driver.supplier.missing, fetch=driver.supplier.fetch)


def _zip(driver: Driver, layer: str, made: Mapping[str, Realisation]) -> LayerZip:
    name, tree = layers.zip_name(layer), layers.tree_name(layer)
    zipped = read_zip(layer, driver.store.held_tree(made[name].output), driver.store.held_tree(made[tree].output))
    for warning in zipped.warnings:
        driver.emit(Warned(name=layer, message=warning))
    return zipped


def _deliver(zipped: LayerZip, out: Path, driver: Driver) -> Path:
    """Put the zip into the folder `out` unless it stands there, byte for byte.

    Its contents are read every time: a file of the same size and time may still be another one.
    """
    path = out / zipped.path.name
    if path.is_file() and not path.is_symlink():
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == zipped.sha256:
                return path
        driver.emit(Warned(name=zipped.name, message=f"{path} was not the zip that was built; it is written anew"))
    data = zipped.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != zipped.sha256:
        raise StoreError(f"{zipped.path} is damaged", hint="run: layerlock verify")
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)
    return path
