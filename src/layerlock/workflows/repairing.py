"""Mending a store: what is damaged is taken out, and what locks still need is fetched or built again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from layerlock.build.many import realise_all
from layerlock.build.workshop import Supply
from layerlock.errors import LayerlockError, StoreError
from layerlock.io.atomic import storing
from layerlock.io.lockfile import read_lock
from layerlock.model.derivation import Realisation
from layerlock.model.digest import unsri
from layerlock.model.lock import Lock, LockedFile
from layerlock.store.layout import Layout, checkout_root
from layerlock.store.local import LocalStore
from layerlock.store.records import read_realisation
from layerlock.store.verify import Damage, mend
from layerlock.workflows.driver import Driver
from layerlock.workflows.keeping import kept
from layerlock.workflows.planning import PROGRAM, load_layer, recorded


@dataclass(frozen=True, kw_only=True, slots=True)
class Mended:
    """What became of a damaged entry: what was wrong, what was done, and whether all is good again."""

    path: Path
    problem: str
    done: str
    good: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Need:
    """Why a lock needs an entry: as a source (by key), as what a build made (by name), or as the lock's root."""

    kind: Literal["source", "build", "root"]
    name: str


@dataclass(slots=True)
class _Progress:
    """The entries that are out of the store, and what was achieved for each of them so far."""

    removed: Mapping[Path, Damage]
    done: dict[Path, str] = field(default_factory=dict)
    failed: dict[Path, str] = field(default_factory=dict)

    @property
    def left(self) -> dict[Path, Damage]:
        return {path: damage for path, damage in self.removed.items() if path not in self.done}

    def fail(self, paths: Iterable[Path], error: LayerlockError) -> None:
        for path in paths:
            self.failed[path] = f"it was removed, and could not be brought back: {error}"


def repair(
    store: LocalStore,
    damages: Iterable[Damage],
    checkouts: Iterable[Path],
    driver_of: Callable[[Path], Driver],
) -> tuple[Mended, ...]:
    """Take what is damaged out of a store, and bring back what the locks of some checkouts need of it.

    `driver_of` makes a driver for a checkout. Modes and times are put right in place; a record of a build is written
    anew from its twin, if that is sound; sources are fetched by the locks' pins, trees built by their plans. What no
    lock needs stays away. An entry that cannot be brought back is told of in the result; the others go on.
    """
    damaged = _by_path(damages)
    outward = {}
    for path, damage in damaged.items():
        with storing(f"take {path.name} out of the store"):
            if mend(store.layout, damage):
                outward[path] = "its modes and times were put right"
    progress = _Progress({path: damage for path, damage in damaged.items() if path not in outward})
    _restore_records(store, progress)
    for place in checkouts:
        if progress.left:
            _restore_for(driver_of(place), progress)
    for path in progress.left:
        if path.exists():  # such as the second record of a build of which both were damaged
            progress.done[path] = "it came back with its build"
    said = {**progress.failed, **progress.done, **outward}
    return tuple(
        Mended(
            path=path,
            problem=damage.problem,
            done=said.get(path, "it was removed; no lock needs it"),
            good=path not in progress.failed or path in progress.done,
        )
        for path, damage in damaged.items()
    )


def _by_path(damages: Iterable[Damage]) -> dict[Path, Damage]:
    """Give one damage an entry: of several the one that tells of its contents."""
    found: dict[Path, Damage] = {}
    for damage in damages:
        if damage.path not in found or found[damage.path].outward:
            found[damage.path] = damage
    return found


def _restore_records(store: LocalStore, progress: _Progress) -> None:
    """Write a damaged record of a build anew from the other one that tells of the same build."""
    others = {"realisation": store.layout.planned, "planned": store.layout.realisations}
    for path, damage in progress.removed.items():
        for twin in sorted(others[damage.kind].glob("*.json")) if damage.kind in others else ():
            found = _sound(twin)
            if found is not None and path.stem in (found.resolved, found.planned):
                store.register(found)
                progress.done[path] = "it was written anew from the other record of that build"
                break


def _sound(path: Path) -> Realisation | None:
    try:
        return read_realisation(path)
    except StoreError:
        return None


def _restore_for(driver: Driver, progress: _Progress) -> None:
    """Bring back what one checkout needs: for each of its locks, and the sandbox's program for all of them."""
    for file in sorted((driver.repository.root / "lockfiles").glob("*.lock")):
        try:
            lock = read_lock(file, file.stem)
        except LayerlockError as error:
            progress.fail(_named_after(progress.left, file.stem), error)
            continue
        needs = _needs(driver, lock, progress.left)
        _fetch(driver, lock, needs, progress)
        _build(driver, lock, needs, progress)
    programs = [path for path in progress.left if path.name[64:] == f"-{PROGRAM}"]
    if programs:
        try:
            driver.sandbox.prepare()
        except LayerlockError as error:
            progress.fail(programs, error)
        else:
            progress.done.update(dict.fromkeys(programs, "the sandbox's program was unpacked again"))


def _named_after(removed: Mapping[Path, Damage], layer: str) -> list[Path]:
    """Give the entries whose names say that they belong to a layer: all that is known where its lock is lost."""
    return [
        path for path in removed if path.name[64:].startswith((f"-layer-{layer}-", f"-function-{layer}-"))
    ]


def _needs(driver: Driver, lock: Lock, removed: Mapping[Path, Damage]) -> dict[Path, _Need]:
    """Say which of the removed entries a lock needs, and what for."""
    layout = driver.store.layout
    entries: dict[str, _Need] = {}
    for pin in lock.sources:
        digest = pin.sha256 if isinstance(pin, LockedFile) else unsri(pin.tree)
        entries[digest] = _Need(kind="source", name=pin.key)
    for derivation in lock.derivations:
        made = _sound(layout.planned / f"{derivation.planned}.json")
        for output in (derivation.output, made.output if made else None):
            if output is not None:
                entries.setdefault(unsri(output), _Need(kind="build", name=derivation.name))
    builds = {d.planned: _Need(kind="build", name=d.name) for d in lock.derivations}
    root = checkout_root(layout, driver.repository.root, lock.layer)
    found = {}
    for path, damage in removed.items():
        match damage.kind:
            case "file" | "tree":
                need = entries.get(path.name[:64])
            case "planned":
                need = builds.get(path.stem)
            case "realisation":
                need = None  # its twin is damaged too, and names the build
            case "root":
                need = _Need(kind="root", name=lock.layer) if path == root else None
        if need is not None:
            found[path] = need
    return found


def _fetch(driver: Driver, lock: Lock, needs: Mapping[Path, _Need], progress: _Progress) -> None:
    for path, need in needs.items():
        pin = lock.source(need.name) if need.kind == "source" else None
        if pin is not None:
            try:
                driver.supplier.fetch(pin)
            except LayerlockError as error:
                progress.fail((path,), error)
            else:
                progress.done[path] = f"{need.name} was fetched again"


def _build(driver: Driver, lock: Lock, needs: Mapping[Path, _Need], progress: _Progress) -> None:
    """Build by the lock's plan what is gone, and register the checkout again."""
    building = {path: need.name for path, need in needs.items() if need.kind == "build"}
    roots = [path for path, need in needs.items() if need.kind == "root"]
    if not building and not roots:
        return
    before = _outputs(driver.store.layout, lock)
    try:
        lock, plan, pins = load_layer(driver, lock.layer)
        with kept(driver, lock):
            driver.store.sweep()
            done = {name: made for name, made in before.items() if driver.store.tree(made.output) is not None}
            supply = Supply(pins=pins, missing=driver.supplier.missing, fetch=driver.supplier.fetch)
            targets = tuple(dict.fromkeys(building.values()))
            made = (
                realise_all(plan, targets, driver.workshop, supply, driver.capacity, recorded(lock), done)
                if targets
                else {}
            )
    except LayerlockError as error:
        progress.fail((*building, *roots), error)
        return
    for path, name in building.items():
        was = before.get(name, made[name]).output
        if was == made[name].output:
            progress.done[path] = f"{name} was built again"
        else:
            text = f"{name} came out as {made[name].output} this time and was {was}: it is not reproducible"
            progress.fail((path,), StoreError(text))
    progress.done.update(dict.fromkeys(roots, f"the lock of {lock.layer} was registered again"))


def _outputs(layout: Layout, lock: Lock) -> dict[str, Realisation]:
    """Give what the store says of a lock's derivations, whether or not it still has their outputs."""
    found = {d.name: _sound(layout.planned / f"{d.planned}.json") for d in lock.derivations}
    return {name: made for name, made in found.items() if made is not None}
