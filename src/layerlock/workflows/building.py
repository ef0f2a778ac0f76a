"""Building layers and packages, confirming them against locks, and looking into failed builds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from layerlock.build.known import known
from layerlock.build.workshop import FETCHES, Supply
from layerlock.errors import AbiViolation, NotReproducible, SmokeFailed, StoreError, UsageError
from layerlock.events import Warned
from layerlock.io.atomic import write_bytes
from layerlock.io.filehash import file_sha256
from layerlock.io.lockfile import read_lock
from layerlock.layer.result import LayerZip, check_size, read_zip
from layerlock.layer.wheels import name_wheel
from layerlock.model.derivation import GuestRun, Realisation
from layerlock.model.function import FunctionLayer
from layerlock.model.lock import Lock, LockedFile, LockedPath, LockedSource, RecordedZip
from layerlock.plan import layers
from layerlock.plan.functions import names_of
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import Plan, closure_of_package
from layerlock.plan.stack import beneath
from layerlock.store.keep import Keep
from layerlock.workflows import keeping, standing
from layerlock.workflows.built import LayerBuilt
from layerlock.workflows.documents import write_provenance
from layerlock.workflows.driver import GUEST, Driver
from layerlock.workflows.fitting import check_function
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
    recipe = driver.repository.layer(layer)
    names = names_of(recipe)
    targets = (*names.all, *(layers.tree_name(below.name) for below in beneath(recipe, driver.repository)))
    with kept(driver, lock), _hinting(driver, layer):
        made = realise_targets(driver, plan, targets, pins, recorded(lock))
    built = _delivered(driver, lock, made, out)
    outputs = {name: made[name].output for name in (names.tree, names.zip)}
    write_provenance(driver, lock, plan, built.path, built.sha256, outputs)
    _note_down(driver, built, lock, made, before)
    return built


def record_layer(driver: Driver, layer: str, out: Path) -> LayerBuilt:
    """Build a layer and write the outputs of all its derivations and its zip into the lock.

    Recorded outputs of derivations that did not change still hold: a different one stops the build.
    """
    from layerlock.workflows.foreseeing import keep_times  # noqa: PLC0415 - builds with nothing to do need it not

    lock, plan, pins = load_layer(driver, layer)
    # Everything, not only what the zip needs from an earlier build: the record names every derivation.
    with kept(driver, lock), _hinting(driver, layer):
        # Out of a cache comes only what the lock records already: what is recorded newly was built here.
        made = realise_targets(driver, plan, tuple(plan.planned), pins, recorded(lock), confirmed=True)
    built = _delivered(driver, lock, made, out)
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
def _hinting(driver: Driver, layer: str) -> Iterator[None]:
    """Say of failed smoke tests how to find out whether pruning broke them."""
    try:
        yield
    except SmokeFailed as error:
        if driver.repository.layer(layer).prune:
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
    return _zip(driver, lock.layer, made)


def _delivered(driver: Driver, lock: Lock, made: Mapping[str, Realisation], out: Path) -> LayerBuilt:
    """Hold a layer's zip against lock, budget and limits, and put it into the folder `out`."""
    layer = lock.layer
    zipped = _zip(driver, layer, made)
    if lock.zip is not None and lock.zip.sha256 != zipped.sha256:
        raise NotReproducible(f"the zip of {layer} is {zipped.sha256}; the lock records {lock.zip.sha256}")
    recipe = driver.repository.layer(layer)
    runtime = driver.repository.runtime(recipe.layer.runtime)
    check_size(zipped, recipe, runtime)
    notes = (check_function(driver, recipe, zipped, made),) if isinstance(recipe, FunctionLayer) else ()
    return LayerBuilt(
        layer=layer,
        path=deliver(zipped, out, driver),
        sha256=zipped.sha256,
        size=zipped.size,
        unzipped=zipped.unzipped,
        unzipped_limit=runtime.limits.unzipped,
        direct_upload_limit=runtime.limits.direct_upload,
        confirmed=lock.zip is not None,
        warnings=zipped.warnings,
        lock=driver.repository.lock_path(layer),
        report=zipped.report,
        notes=notes,
    )


def _note_down(
    driver: Driver,
    built: LayerBuilt,
    lock: Lock,
    made: Mapping[str, Realisation],
    before: tuple[str, ...] | None,
) -> None:
    """Remember a finished build for the next one, if nothing that decided it changed meanwhile."""
    root, store = driver.repository.root, driver.store
    own = {source.path: source.tree for source in lock.sources if isinstance(source, LockedPath)}
    folders = (*standing.FOLDERS, *own)
    decided = standing.inputs(root, folders)
    if decided is None or decided[: len(standing.FOLDERS)] != before or driver.guest != GUEST:
        return
    # One's own code is not what the build read, but what the lock says: that it is the same now, its hash tells.
    if any(driver.supplier.folder_hash(root / path) != tree for path, tree in own.items()):
        return
    if own and standing.inputs(root, folders) != decided:
        return
    outputs = [path for each in made.values() if (path := store.tree(each.output)) is not None]
    standing.note_down(
        store.root,
        root,
        built,
        folders=folders,
        decided=decided,
        planned=[each.planned for each in made.values()],
        outputs=outputs,
        reports=[path for path in outputs if (path / "report.json").is_file()],
    )


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
            complete=lambda: _complete(driver, name, loaded.pins),
        )[name]
    return made, driver.store.held_tree(made.output)


def fetch_all(driver: Driver, name: str) -> int:
    """Bring every source of a layer or a package, and the sandbox's program, into the store; count the sources."""
    from layerlock.io.together import together  # noqa: PLC0415 - not every verb runs threads

    pins = _complete(driver, name, load(driver, name).pins)
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
    pins = _complete(driver, name, loaded.pins)
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


def _complete(driver: Driver, name: str, pins: Mapping[str, LockedSource]) -> Mapping[str, LockedSource]:
    """Pin what no lock holds, for this run: a package that is in no layer yet can be built all the same."""
    if name in driver.repository.targets():
        return pins
    closure = closure_of_package(driver.repository, name)
    missing = [
        (recipe, source) for recipe, _, source in closure.sources() if source_key(recipe, source) not in pins
    ]
    pinned = [driver.supplier.pin(recipe, source, None, upgrade=False) for recipe, source in missing]
    return {**pins, **{pin.key: pin for pin in pinned}}


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
    """Realise targets: out of the store, else out of a cache, else by building.

    Where all of them are in the store, what builds and what asks caches is not even loaded. With `confirmed` a cache
    gives only what the lock records. `complete` gives all pins where `pins` lacks some, once something has to be built.
    """
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
    from layerlock.plan.priority import costs  # noqa: PLC0415 - see above
    from layerlock.workflows.foreseeing import Foreseeing, read_history  # noqa: PLC0415 - see above

    wanted = {name: planned for name, planned in plan.planned.items() if name not in made}
    history = read_history(driver.store, driver.repository, wanted.values())
    foreseeing = Foreseeing(driver.emit, driver.store, plan.planned, history, driver.jobs)
    workshop = replace(driver.workshop, emit=foreseeing)
    if complete is not None:
        pins = complete()
        driver.store.hold(keeping.sources(pins.values()))
    driver.store.sweep()
    supply = Supply(pins=pins, missing=driver.supplier.missing, fetch=driver.supplier.fetch)
    try:
        return realise_all(
            plan,
            targets,
            workshop,
            supply,
            driver.capacity,
            outputs,
            made,
            costs=costs(plan.derivations, history.of(wanted.items())),
        )
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


def _zip(driver: Driver, layer: str, made: Mapping[str, Realisation]) -> LayerZip:
    names = names_of(driver.repository.layer(layer))
    zipped = read_zip(
        layer, driver.store.held_tree(made[names.zip].output), driver.store.held_tree(made[names.tree].output)
    )
    for warning in zipped.warnings:
        driver.emit(Warned(name=layer, message=warning))
    return zipped


def deliver(zipped: LayerZip, out: Path, driver: Driver) -> Path:
    """Put the zip into the folder `out` unless it stands there, byte for byte.

    Its contents are read every time: a file of the same size and time may still be another one.
    """
    path = out / zipped.path.name
    if path.is_file() and not path.is_symlink():
        if file_sha256(path) == zipped.sha256:
            return path
        driver.emit(
            Warned(name=zipped.name, message=f"{path} was not the zip that was built; it is written anew")
        )
    data = zipped.path.read_bytes()
    if hashlib.sha256(data).hexdigest() != zipped.sha256:
        raise StoreError(f"{zipped.path} is damaged", hint="run: layerlock verify")
    out.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)
    return path
