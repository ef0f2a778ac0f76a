"""Building many layers and functions as one plan, in which each derivation stands once, whoever needs it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from layerlock.errors import LayerlockError, NotReproducible, StaleLock
from layerlock.events import Warned
from layerlock.model.lock import Lock, LockedSource
from layerlock.plan.resolve import Plan, Planner, together
from layerlock.workflows import standing
from layerlock.workflows.building import hinting, realise_targets, targets_of
from layerlock.workflows.built import LayerBuilt
from layerlock.workflows.delivering import deliver_layer
from layerlock.workflows.driver import Driver
from layerlock.workflows.keeping import kept
from layerlock.workflows.planning import load_layer, recorded


@dataclass(frozen=True, kw_only=True, slots=True)
class Everything:
    """What came of many layers: those that were delivered, and why others were not, by name."""

    built: tuple[LayerBuilt, ...]
    failed: Mapping[str, LayerlockError]


@dataclass(kw_only=True, slots=True)
class _Loaded:
    """The locks and plans of layers by name, what their locks pin and record, and why others have none."""

    locks: dict[str, Lock] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    pins: dict[str, LockedSource] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    failed: dict[str, LayerlockError] = field(default_factory=dict)


def build_everything(driver: Driver, names: Iterable[str], out: Path) -> Everything:
    """Build layers and functions and put their zips into the folder `out`.

    A layer that cannot be planned is told of at once, and the others are built all the same; so are those delivered
    whose zips are not at fault where another one's is.

    Raises:
        NotReproducible: an output is not the one that a lock records.
        LayerlockError: a fetch, a build, a check or a smoke test failed; the rest was ended.
    """
    before = standing.inputs(driver.repository.root, standing.FOLDERS)
    loaded = _load(driver, names)
    built: list[LayerBuilt] = []
    if loaded.plans:
        plan = together(loaded.plans.values())
        targets = tuple(dict.fromkeys(name for layer in loaded.plans for name in targets_of(driver, layer)))
        with ExitStack() as keeping, hinting(driver, tuple(loaded.plans)):
            for lock in loaded.locks.values():
                keeping.enter_context(kept(driver, lock))
            made = realise_targets(driver, plan, targets, loaded.pins, loaded.outputs)
        for layer, lock in loaded.locks.items():
            own = {name: made[name] for name in loaded.plans[layer].planned if name in made}
            try:
                built.append(deliver_layer(driver, lock, loaded.plans[layer], own, out, before))
            except LayerlockError as error:
                loaded.failed[layer] = error
    return Everything(built=tuple(built), failed=loaded.failed)


def _load(driver: Driver, names: Iterable[str]) -> _Loaded:
    """Plan each layer by its lock; what several need is planned once."""
    planner = Planner(driver.repository, driver.guest_code)
    loaded = _Loaded()
    for name in names:
        try:
            lock, plan, pins = load_layer(driver, name, planner)
            outputs = recorded(lock)
            _check_agreement(name, loaded, pins, outputs)
        except LayerlockError as error:
            loaded.failed[name] = error
            driver.emit(Warned(name=name, message=f"it is left out: {error}"))
        else:
            loaded.locks[name] = lock
            loaded.plans[name] = plan
            loaded.pins |= pins
            loaded.outputs |= outputs
    return loaded


def _check_agreement(
    name: str, loaded: _Loaded, pins: Mapping[str, LockedSource], outputs: Mapping[str, str]
) -> None:
    """Hold a lock against those of the layers before: one plan has one source, and one output, of a name.

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
