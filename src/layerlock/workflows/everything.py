"""Building many layers, functions and packages as one plan, in which each derivation stands once, whoever needs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from layerlock.errors import LayerlockError, NotReproducible, StaleLock
from layerlock.events import Warned
from layerlock.model.derivation import Realisation
from layerlock.model.lock import Lock, LockedSource
from layerlock.plan.resolve import Plan, Planner, together
from layerlock.store.keep import Keep
from layerlock.workflows import standing
from layerlock.workflows.building import complete_pins, hinting, realise_targets, targets_of
from layerlock.workflows.built import LayerBuilt
from layerlock.workflows.delivering import deliver_layer
from layerlock.workflows.driver import Driver
from layerlock.workflows.keeping import kept
from layerlock.workflows.planning import load


@dataclass(frozen=True, kw_only=True, slots=True)
class Everything:
    """What came of many: layers that were delivered, packages with their places, and why others failed, by name."""

    built: tuple[LayerBuilt, ...]
    packages: tuple[tuple[Realisation, Path], ...]
    failed: Mapping[str, LayerlockError]


@dataclass(kw_only=True, slots=True)
class _Loaded:
    """The locks of layers and all plans by name, what locks pin and record, and why others have none."""

    locks: dict[str, Lock] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    pins: dict[str, LockedSource] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    failed: dict[str, LayerlockError] = field(default_factory=dict)


def build_everything(driver: Driver, names: Iterable[str], out: Path) -> Everything:
    """Build layers, functions and packages, and put the zips into the folder `out`.

    What cannot be planned is told of at once, and the others are built all the same; so are those delivered whose
    zips are not at fault where another one's is.

    Raises:
        NotReproducible: an output is not the one that a lock records.
        LayerlockError: a fetch, a build, a check or a smoke test failed; the rest was ended.
    """
    before = standing.inputs(driver.repository.root, standing.FOLDERS)
    loaded = _load(driver, names)
    built: list[LayerBuilt] = []
    packages: list[tuple[Realisation, Path]] = []
    if loaded.plans:
        targets = tuple(
            dict.fromkeys(each for name in loaded.plans for each in _targets(driver, name, loaded))
        )
        with ExitStack() as keeping, hinting(driver, tuple(loaded.locks)):
            for lock in loaded.locks.values():
                keeping.enter_context(kept(driver, lock))
            keeping.enter_context(driver.store.pin(Keep()))
            made = realise_targets(
                driver,
                together(loaded.plans.values()),
                targets,
                loaded.pins,
                loaded.outputs,
                complete=partial(_complete, driver, loaded),
            )
            packages = [(made[name], driver.store.held_tree(made[name].output)) for name in _packages(loaded)]
        for layer, lock in loaded.locks.items():
            own = {name: made[name] for name in loaded.plans[layer].planned if name in made}
            try:
                built.append(deliver_layer(driver, lock, loaded.plans[layer], own, out, before))
            except LayerlockError as error:
                loaded.failed[layer] = error
    return Everything(built=tuple(built), packages=tuple(packages), failed=loaded.failed)


def _load(driver: Driver, names: Iterable[str]) -> _Loaded:
    """Plan each layer by its lock, and each package; what several need is planned once."""
    planner = Planner(driver.repository, driver.guest_code)
    loaded = _Loaded()
    for name in names:
        try:
            found = load(driver, name, planner)
            _check_agreement(name, loaded, found.pins, found.recorded)
        except LayerlockError as error:
            loaded.failed[name] = error
            driver.emit(Warned(name=name, message=f"it is left out: {error}"))
        else:
            if found.lock is not None:
                loaded.locks[name] = found.lock
            loaded.plans[name] = found.plan
            loaded.pins |= found.pins
            loaded.outputs |= found.recorded
    return loaded


def _packages(loaded: _Loaded) -> tuple[str, ...]:
    return tuple(name for name in loaded.plans if name not in loaded.locks)


def _targets(driver: Driver, name: str, loaded: _Loaded) -> tuple[str, ...]:
    return targets_of(driver, name) if name in loaded.locks else (name,)


def _complete(driver: Driver, loaded: _Loaded) -> Mapping[str, LockedSource]:
    """Pin what no lock holds of packages."""
    pins: Mapping[str, LockedSource] = loaded.pins
    for name in _packages(loaded):
        pins = complete_pins(driver, name, pins)
    return pins


def _check_agreement(
    name: str, loaded: _Loaded, pins: Mapping[str, LockedSource], outputs: Mapping[str, str]
) -> None:
    """Hold what is pinned and recorded against what was before: one plan has one source, and one output, of a name.

    Raises:
        StaleLock: a source is pinned differently.
        NotReproducible: another output is recorded of the same derivation.
    """
    source = next((key for key, pin in pins.items() if loaded.pins.get(key, pin) != pin), None)
    if source is not None:
        raise StaleLock(
            f"the lock of {name} pins `{source}` differently from another layer's",
            hint=f"run: nox -s lock -- {name}",
        )
    output = next((key for key, sri in outputs.items() if loaded.outputs.get(key, sri) != sri), None)
    if output is not None:
        raise NotReproducible(
            f"the lock of {name} records another output of {output} than another layer's does",
            hint=f"which of them is built now: layerlock check {output}",
        )
