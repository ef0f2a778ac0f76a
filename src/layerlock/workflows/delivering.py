"""What was built, out of the store: a layer's zip, held against lock, budget and limits, and what is noted of it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from layerlock.errors import NotReproducible, StoreError
from layerlock.events import Warned
from layerlock.io.atomic import write_bytes
from layerlock.io.filehash import file_sha256
from layerlock.layer.result import LayerZip, check_size, read_zip
from layerlock.model.derivation import Realisation
from layerlock.model.function import FunctionLayer
from layerlock.model.lock import Lock, LockedPath
from layerlock.plan.functions import names_of
from layerlock.plan.resolve import Plan
from layerlock.workflows import standing
from layerlock.workflows.built import LayerBuilt
from layerlock.workflows.documents import write_provenance
from layerlock.workflows.driver import GUEST, Driver
from layerlock.workflows.fitting import check_function


def deliver_layer(
    driver: Driver,
    lock: Lock,
    plan: Plan,
    made: Mapping[str, Realisation],
    out: Path,
    before: tuple[str, ...] | None,
) -> LayerBuilt:
    """Put the zip of a layer that was built into the folder `out`, with a statement of where it comes from.

    `before` is what `standing.inputs` gave before the layer was planned.

    Raises:
        NotReproducible: the zip is not the one that the lock records.
        LayerlockError: it is over its budget, or over a limit of Lambda's.
    """
    names = names_of(driver.repository.layer(lock.layer))
    built = delivered(driver, lock, made, out)
    outputs = {name: made[name].output for name in (names.tree, names.zip)}
    write_provenance(driver, lock, plan, built.path, built.sha256, outputs)
    _note_down(driver, built, lock, made, before)
    return built


def delivered(driver: Driver, lock: Lock, made: Mapping[str, Realisation], out: Path) -> LayerBuilt:
    """Hold a layer's zip against lock, budget and limits, and put it into the folder `out`."""
    layer = lock.layer
    zipped = zip_of(driver, layer, made)
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


def zip_of(driver: Driver, layer: str, made: Mapping[str, Realisation]) -> LayerZip:
    """Read a layer's zip and what is known of it, and tell of what assembly found worth a look."""
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
