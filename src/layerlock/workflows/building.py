"""Building layers and packages, confirming them against locks, and looking into failed builds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from layerlock.build.known import known
from layerlock.build.workshop import FETCHES, Supply
from layerlock.errors import AbiViolation, SmokeFailed, UsageError
from layerlock.io.lockfile import read_lock
from layerlock.layer.result import LayerZip
from layerlock.layer.wheels import name_wheel
from layerlock.model.derivation import GuestRun, Realisation
from layerlock.model.lock import Lock, LockedFile, LockedSource, RecordedZip
from layerlock.plan import layers
from layerlock.plan.functions import names_of
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import Plan, closure_of_package
from layerlock.plan.stack import beneath
from layerlock.store.keep import Keep
from layerlock.workflows import keeping, standing
from layerlock.workflows.built import LayerBuilt
from layerlock.workflows.delivering import deliver_layer, delivered, zip_of
from layerlock.workflows.documents import write_provenance
from layerlock.workflows.driver import Driver
from layerlock.workflows.keeping import kept, needed
from layerlock.workflows.locking import write_record
from layerlock.workflows.planning import load, load_layer, load_package, recorded


def build_layer(driver: Driver, layer: str, out: Path) -> LayerBuilt:
    """Build a layer, try it, and put its zip into the folder `out`.

    Raises:
        StaleLock: the recipes do not fit the lock.
        NotReproducible: an output is not the one that the lock records.
        LayerlockError: a fetch, a build, a check or a smoke test failed.
    """
    before = standing.inputs(driver.repository.root, standing.FOLDERS)
    lock, plan, pins = load_layer(driver, layer)
    with kept(driver, lock), hinting(driver, (layer,)):
        made = realise_targets(driver, plan, targets_of(driver, layer), pins, recorded(lock))
    return deliver_layer(driver, lock, plan, made, out, before)


def targets_of(driver: Driver, layer: str) -> tuple[str, ...]:
    """Name the derivations that a layer's zip needs to be built, tried and weighed."""
    recipe = driver.repository.layer(layer)
    below = (layers.tree_name(other.name) for other in beneath(recipe, driver.repository))
    return (*names_of(recipe).all, *below)


def record_layer(driver: Driver, layer: str, out: Path) -> LayerBuilt:
    """Build a layer and write the outputs of all its derivations and its zip into the lock.

    Recorded outputs of derivations that did not change still hold: a different one stops the build.
    """
    from layerlock.workflows.foreseeing import keep_times  # noqa: PLC0415 - builds with nothing to do need it not

    lock, plan, pins = load_layer(driver, layer)
    # Everything, not only what the zip needs from an earlier build: the record names every derivation.
    with kept(driver, lock), hinting(driver, (layer,)):
        # Out of a cache comes only what the lock records already: what is recorded newly was built here.
        made = realise_targets(driver, plan, tuple(plan.planned), pins, recorded(lock), confirmed=True)
    built = delivered(driver, lock, made, out)
    record = RecordedZip(
        sha256=built.sha256,
        size=built.size,
        unzipped=built.unzipped,
        tree=made[names_of(driver.repository.layer(layer)).tree].output,
    )
    lock = write_record(driver, lock, made, record)
    keep_times(lock, driver.repository.times_path(layer), driver.store)
    write_provenance(driver, lock, plan, built.path, built.sha256, {})
    return replace(built, confirmed=True)


@contextmanager
def hinting(driver: Driver, names: tuple[str, ...]) -> Iterator[None]:
    """Say of failed smoke tests of some layers how to find out whether pruning broke them."""
    try:
        yield
    except SmokeFailed as error:
        for layer in names:
            recipe = driver.repository.layer(layer)
            if recipe.prune and error.message.startswith(f"{names_of(recipe).smoke}:"):
                error.hint += f"\nwhether a prune rule broke it, and which: layerlock prune-check {layer}"
        raise


def rebuild(driver: Driver, lock: Lock, plan: Plan, pins: Mapping[str, LockedSource]) -> LayerZip:
    """Build everything that a lock records, and hold each output against its record; give the zip.

    No cache is asked for outputs: that they can be made again is what is to be seen.

    Raises:
        NotReproducible: an output is not the one that the lock records.
        LayerlockError: a fetch or a build failed.
    """
    # The smoke tests record nothing: how long they took is no part of the layer.
    targets = tuple(name for name in plan.planned if name in recorded(lock))
    with driver.store.pin(needed(lock, driver.store)):
        made = realise_targets(replace(driver, substitutes=None), plan, targets, pins, recorded(lock))
    return zip_of(driver, lock.layer, made)


def build_package(driver: Driver, name: str) -> tuple[Realisation, Path]:
    """Build one package; give its realisation and its place in the store."""
    loaded = load_package(driver, name)
    with driver.store.pin(Keep()):
        made = realise_targets(
            driver,
            loaded.plan,
            (name,),
            loaded.pins,
            loaded.recorded,
            complete=lambda: complete_pins(driver, name, loaded.pins),
        )[name]
    return made, driver.store.held_tree(made.output)


def fetch_all(driver: Driver, name: str) -> int:
    """Bring every source of a layer or a package, and the sandbox's program, into the store; count the sources."""
    from layerlock.io.together import together  # noqa: PLC0415 - not every verb runs threads

    pins = complete_pins(driver, name, load(driver, name).pins)
    works: list[Callable[[], object]] = [partial(driver.supplier.fetch, pin) for pin in pins.values()]
    with ExitStack() as stack:
        if name in driver.repository.targets():
            stack.enter_context(kept(driver, read_lock(driver.repository.lock_path(name), name)))
        else:
            stack.enter_context(driver.store.pin(keeping.sources(pins.values())))
        together([*works, driver.sandbox.prepare], most=FETCHES)
    return len(pins)


@contextmanager
def shell(driver: Driver, name: str, derivation_name: str) -> Iterator[Callable[[], int]]:
    """Lay out a build as it was before its commands ran; lend what opens a shell there and gives its exit status.

    `name` is the layer or package that the derivation belongs to. Laying out may fetch and build, which is shown;
    the shell has the terminal for itself.
    """
    from layerlock.build.stage import stage  # noqa: PLC0415 - brings every kind of archive in

    loaded = load(driver, name)
    derivation = loaded.plan[derivation_name]
    if not isinstance(derivation.action, GuestRun):
        raise UsageError(f"`{derivation_name}` is not built in a sandbox")
    pins = complete_pins(driver, name, loaded.pins)
    needed = tuple(item.name for item in derivation.inputs)
    with driver.store.pin(Keep()), driver.store.scratch(f"shell-{derivation_name}") as scratch:
        made = realise_targets(driver, loaded.plan, needed, pins, loaded.recorded)
        staged = stage(
            derivation,
            derivation.action,
            driver.workshop,
            {item: driver.store.held_tree(made[item].output) for item in needed},
            {source.key: driver.supplier.fetch(pins[source.key]) for source in derivation.sources},
            scratch,
        )
        driver.sandbox.prepare()
        spec = replace(staged.spec, argv=("/bin/bash", "--norc", "-i"), interactive=True)
        yield partial(driver.sandbox.shell, spec)


def complete_pins(driver: Driver, name: str, pins: Mapping[str, LockedSource]) -> Mapping[str, LockedSource]:
    """Pin what no lock holds of a package, for this run: one that is in no layer yet can be built all the same."""
    from layerlock.io.together import together  # noqa: PLC0415 - not every verb runs threads

    if name in driver.repository.targets():
        return pins
    closure = closure_of_package(driver.repository, name)
    works = [
        partial(driver.supplier.pin, recipe, source, None, upgrade=False)
        for recipe, _, source in closure.sources()
        if source_key(recipe, source) not in pins
    ]
    return {**pins, **{pin.key: pin for pin in together(works, most=FETCHES)}}


def realise_targets(
    driver: Driver,
    plan: Plan,
    targets: tuple[str, ...],
    pins: Mapping[str, LockedSource],
    outputs: Mapping[str, str],
    *,
    confirmed: bool = False,
    complete: Callable[[], Mapping[str, LockedSource]] | None = None,
) -> Mapping[str, Realisation]:
    """Realise targets: out of the store, else out of a cache, else by building; by a cluster where there is one.

    Where all of them are in the store, what builds and what asks caches is not even loaded. With `confirmed` a cache
    gives only what the lock records. `complete` gives all pins where `pins` lacks some, once something has to be built.
    """
    if driver.cluster is not None:
        return driver.cluster.realise(driver, plan, targets, complete() if complete else pins, outputs)
    made = known(plan, driver.store, outputs)
    # Held first and looked up then: a collection that runs just now cannot take anything away in between.
    driver.store.hold(keeping.outputs(made.values()) | keeping.sources(pins.values()))
    made = {name: found for name, found in made.items() if driver.store.tree(found.output) is not None}
    if all(name in made for name in targets):
        return made
    if driver.substitutes is not None:
        made |= driver.substitutes.outputs(
            plan, targets, made, outputs, driver.store, driver.emit, confirmed=confirmed
        )
        if all(name in made for name in targets):
            return made
    from layerlock.build.many import realise_all  # noqa: PLC0415 - see above
    from layerlock.build.noting import Noting  # noqa: PLC0415 - see above
    from layerlock.workflows.foreseeing import Foreseeing, read_history  # noqa: PLC0415 - see above

    wanted = {name: planned for name, planned in plan.planned.items() if name not in made}
    history = read_history(driver.store, driver.repository, wanted.values())
    noting = Noting(driver.emit, driver.store, driver.jobs)
    workshop = replace(driver.workshop, emit=Foreseeing(noting, driver.store, plan.planned, history))
    if complete is not None:
        pins = complete()
        driver.store.hold(keeping.sources(pins.values()))
    driver.store.sweep()
    supply = Supply(pins=pins, missing=driver.supplier.missing, fetch=driver.supplier.fetch)
    try:
        took = history.of(wanted.items())
        return realise_all(plan, targets, workshop, supply, driver.capacity, outputs, made, took=took)
    except AbiViolation as error:
        name_wheel(error, _wheels(driver, plan, pins))
        raise


def _wheels(driver: Driver, plan: Plan, pins: Mapping[str, LockedSource]) -> dict[str, Path]:
    """Give the wheels of a plan that the store holds, by file name."""
    found: dict[str, Path] = {}
    for source in (source for derivation in plan.derivations for source in derivation.sources):
        pin = pins.get(source.key)
        held = driver.store.file(pin.sha256) if isinstance(pin, LockedFile) else None
        if source.place.endswith(".whl") and held is not None:
            found[source.place.rpartition("/")[2]] = held
    return found
