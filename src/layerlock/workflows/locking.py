"""Writing locks: pinning every source, and recording what was built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from layerlock.build.workshop import FETCHES
from layerlock.errors import StaleLock, UsageError
from layerlock.io.lockfile import read_lock, write_lock
from layerlock.io.repository import Repository
from layerlock.io.together import together
from layerlock.model.derivation import Realisation
from layerlock.model.lock import (
    VERSION,
    Lock,
    LockedDerivation,
    LockedFile,
    LockedSource,
    RecordedZip,
    SignedIndex,
)
from layerlock.model.recipe import EnvironmentRecipe
from layerlock.plan.fit import mismatch, parts
from layerlock.plan.functions import names_of
from layerlock.plan.images import lacks_pins, layer_pins, pinned_image
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import Closure, Plan, closure_of_layer, plan_layer
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import check_patches, deb_pin, recorded
from layerlock.workflows.resolving import pin_layer


@dataclass(frozen=True, kw_only=True, slots=True)
class Relocked:
    """What writing a lock changed: keys of sources by what became of them, and names of derivations.

    `replanned` are derivations that are not what they were, `unrecorded` those of them that lost their record.
    """

    layer: str
    added: tuple[str, ...]
    moved: tuple[str, ...]
    removed: tuple[str, ...]
    replanned: tuple[str, ...]
    unrecorded: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether anything is different."""
        return bool(self.added or self.moved or self.removed or self.replanned)


def lock_layer(
    driver: Driver,
    layer: str,
    upgrade: frozenset[str] = frozenset(),
    together: frozenset[str] = frozenset(),
) -> Relocked:
    """Pin every source of a layer and write its lock.

    Pins that still fit are kept, but for the sources, packages or environments named in `upgrade`; of an
    environment, the closure of its packages is worked out anew and its `.debs.toml` written, or its image looked
    up and its `.image.toml` written; of a package with requirements, its wheels are looked for anew and its
    `.wheels.toml` written. Recorded outputs of derivations that are still the same are kept, the others dropped.
    `together` are layers that are locked in the same go: that their locks still hold other pins is no conflict.

    Raises:
        HashMismatch: bytes are not what a recipe says, or changed under an unchanged address.
        Unverified: a Debian index is not signed by a trusted key.
    """
    repository = pin_layer(driver, _pin_environments(driver, layer, upgrade), layer, upgrade)
    path = repository.lock_path(layer)
    previous = read_lock(path, layer) if path.is_file() else None
    closure = closure_of_layer(repository, layer)
    check_patches(repository, closure)
    below = (*_pin_debs(closure), *_pin_images(driver, closure, repository, previous))
    pins = {pin.key: pin for pin in (*_pin_packages(driver, closure, previous, upgrade), *below)}
    _check_other_locks(repository, layer, pins, together)
    indexes = _vouch(driver, closure, previous, upgrade)
    plan = plan_layer(repository, layer, driver.guest_code, pins)
    lock = Lock(
        version=VERSION,
        layer=layer,
        indexes=indexes,
        zip=previous.zip
        if previous and _same(previous, plan, names_of(repository.layer(layer)).zip)
        else None,
        sources=tuple(pins.values()),
        derivations=tuple(_lock_derivation(name, plan, previous) for name in plan.planned),
    )
    write_lock(path, lock)
    return _compare(layer, previous, lock)


def write_record(driver: Driver, lock: Lock, made: Mapping[str, Realisation], zipped: RecordedZip) -> Lock:
    """Write the outputs of all derivations, and the zip, into the lock."""
    smoke = names_of(driver.repository.layer(lock.layer)).smoke
    missing = [d.name for d in lock.derivations if d.name not in made and d.name != smoke]
    if missing:
        raise UsageError(f"not everything is built that the lock names: {', '.join(missing)}")
    # The smoke tests' output is how long they took; it is not a part of the layer.
    kept = {name: realisation for name, realisation in made.items() if name != smoke}
    written = replace(
        lock,
        version=VERSION,
        zip=zipped,
        derivations=tuple(
            replace(d, output=kept[d.name].output, size=kept[d.name].size) if d.name in kept else d
            for d in lock.derivations
        ),
    )
    write_lock(driver.repository.lock_path(lock.layer), written)
    return written


def _pin_environments(driver: Driver, layer: str, upgrade: frozenset[str]) -> Repository:
    """Write the pins of environments that are to be pinned anew, or have none; give the recipes as they are then."""
    folder = driver.repository.root / "recipes" / "environments"

    def pin(recipe: EnvironmentRecipe) -> None:
        if recipe.environment.image is not None:
            driver.supplier.image(recipe, folder / f"{recipe.name}.image.toml")
        else:
            driver.supplier.closure(recipe, folder / f"{recipe.name}.debs.toml")

    for name in sorted(upgrade & {*driver.repository.names("environments")}):
        pin(driver.repository.environment(name))
    repository = driver.repository.fresh()
    lacking = [e for e in closure_of_layer(repository, layer).environments if lacks_pins(e)]
    for recipe in lacking:
        pin(recipe)
    return repository.fresh() if lacking else repository


def _pin_images(
    driver: Driver, closure: Closure, repository: Repository, previous: Lock | None
) -> list[LockedFile]:
    """Pin the layers of images; pins that the previous lock does not hold are held against the registry."""
    kept = {pin.key: pin for pin in previous.sources} if previous else {}
    pins = [pin for _, _, pin in closure.image_layers(repository)]
    for recipe in closure.environments:
        layers = layer_pins(recipe, repository)
        if any((pin := kept.get(layer.key)) is None or mismatch(layer, pin) for layer in layers):
            driver.supplier.confirm_image(recipe, pinned_image(recipe, repository))
    return pins


def _pin_packages(
    driver: Driver, closure: Closure, previous: Lock | None, upgrade: frozenset[str]
) -> list[LockedSource]:
    def previous_pin(key: str) -> LockedSource | None:
        return previous.source(key) if previous else None

    works = []
    for recipe, _, source in closure.sources():
        key = source_key(recipe, source)
        moves = bool(upgrade & {recipe.name, key})
        works.append(partial(driver.supplier.pin, recipe, source, previous_pin(key), upgrade=moves))
    return together(works, most=FETCHES)


def _pin_debs(closure: Closure) -> list[LockedFile]:
    return [deb_pin(recipe.name, deb) for recipe, _, deb in closure.debs()]


def _vouch(
    driver: Driver, closure: Closure, previous: Lock | None, upgrade: frozenset[str]
) -> tuple[SignedIndex, ...]:
    """Ask the signed index about every Debian package that the previous lock did not hold already."""
    kept = {pin.key: pin for pin in previous.sources} if previous else {}
    indexes = {(i.archive, i.suite): i for i in previous.indexes} if previous else {}
    for recipe in closure.environments:
        about = recipe.environment
        fresh = tuple(
            deb
            for deb in recipe.debs
            if recipe.name in upgrade
            or (pin := kept.get(f"{recipe.name}/{deb.name}")) is None
            or mismatch(deb, pin) is not None
        )
        if fresh and about.suite is not None:
            indexes[about.archive, about.suite] = driver.supplier.vouch(recipe, fresh)
    used = {(e.environment.archive, e.environment.suite) for e in closure.environments}
    return tuple(indexes[place] for place in sorted(indexes) if place in used)


def _check_other_locks(
    repository: Repository, layer: str, pins: Mapping[str, LockedSource], together: frozenset[str]
) -> None:
    """Refuse a source that another layer's lock pins to other bytes."""
    for path in sorted((repository.root / "lockfiles").glob("*.lock")):
        other = path.name.removesuffix(".lock")
        if other in {layer, *together} or other not in repository.targets():
            continue
        for pin in read_lock(path, other).sources:
            mine = pins.get(pin.key)
            if mine is not None and _identity(mine) != _identity(pin):
                raise StaleLock(
                    f"the source `{pin.key}` is pinned to other bytes in lockfiles/{path.name}",
                    hint=f"if the change is meant, lock both: layerlock lock {layer} {other}",
                )


def _identity(pin: LockedSource) -> str:
    return pin.sha256 if isinstance(pin, LockedFile) else pin.tree


def _lock_derivation(name: str, plan: Plan, previous: Lock | None) -> LockedDerivation:
    kept = previous.derivation(name) if previous and _same(previous, plan, name) else None
    return LockedDerivation(
        name=name,
        planned=plan.planned[name],
        output=kept.output if kept else None,
        size=kept.size if kept else None,
        fields=parts(plan[name], plan.planned),
    )


def _same(previous: Lock, plan: Plan, name: str) -> bool:
    return _planned(previous, name) == plan.planned[name]


def _planned(lock: Lock, name: str) -> str | None:
    derivation = lock.derivation(name)
    return derivation.planned if derivation else None


def _compare(layer: str, previous: Lock | None, lock: Lock) -> Relocked:
    before = {pin.key: pin for pin in previous.sources} if previous else {}
    now = {pin.key: pin for pin in lock.sources}
    recorded_before = recorded(previous) if previous else {}
    recorded_now = recorded(lock)
    return Relocked(
        layer=layer,
        added=tuple(sorted(now.keys() - before.keys())),
        moved=tuple(sorted(key for key in now.keys() & before.keys() if now[key] != before[key])),
        removed=tuple(sorted(before.keys() - now.keys())),
        replanned=tuple(
            d.name for d in lock.derivations if previous is None or _planned(previous, d.name) != d.planned
        ),
        unrecorded=tuple(sorted(recorded_before.keys() - recorded_now.keys())),
    )
