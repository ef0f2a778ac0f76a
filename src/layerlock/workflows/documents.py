"""Documents of a layer: its bill of materials, and where its zip comes from, signed if a key is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.audit import provenance
from layerlock.errors import BadAttestation, UsageError
from layerlock.io.atomic import write_bytes
from layerlock.io.filehash import file_sha256
from layerlock.model.lock import Lock
from layerlock.plan.resolve import Plan, closure_of_layer
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import load_layer, recorded

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    from layerlock.audit.inventory import Inventory
    from layerlock.audit.sbom import Format


@dataclass(frozen=True, kw_only=True, slots=True)
class Attested:
    """A signed statement: where it stands, the zip's sha256, and the id of the key."""

    path: Path
    statement: Path
    sha256: str
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What a signed statement says: subjects' sha256 by name, the layer, the lock's sha256, and who built."""

    subjects: Mapping[str, str]
    layer: str
    lock: str
    builder: str
    key: str


def inventory(driver: Driver, layer: str) -> Inventory:
    """List what a layer is made of, by its lock.

    Raises:
        StaleLock: there is no lock, or the recipes do not fit it.
    """
    from layerlock.audit.inventory import take_inventory  # noqa: PLC0415 - builds write provenance without it

    lock, _, _ = load_layer(driver, layer)
    closure = closure_of_layer(driver.repository, layer)
    return take_inventory(driver.repository, layer, closure, lock, _lock_sha256(driver, layer))


def bill_of_materials(driver: Driver, layer: str, form: Format) -> str:
    """Write a layer's bill of materials."""
    from layerlock.audit.sbom import write_sbom  # noqa: PLC0415 - as above

    return write_sbom(inventory(driver, layer), form)


def write_provenance(
    driver: Driver, lock: Lock, plan: Plan, zipped: Path, sha256: str, made: Mapping[str, str]
) -> Path:
    """Put the statement of where a zip comes from beside it, as NAME.intoto.json.

    `made` are the outputs (SRI) of the layer's tree and zip; what the lock records of others is told too.
    """
    path = zipped.with_suffix(".intoto.json")
    data = _statement(driver, lock, plan, sha256, made)
    if not path.is_file() or path.read_bytes() != data:
        write_bytes(path, data)
    return path


def attest(driver: Driver, layer: str, zipped: Path, key: Ed25519PrivateKey) -> Attested:
    """Sign where a layer's recorded zip comes from; the envelope goes beside it, as NAME.intoto.dsse.json.

    Raises:
        UsageError: the zip is not there.
        BadAttestation: the lock records no zip, or another one.
    """
    from layerlock.audit.dsse import key_id, seal  # noqa: PLC0415 - as above

    lock, plan, _ = load_layer(driver, layer)
    if not zipped.is_file():
        raise UsageError(f"there is no {zipped}", hint=f"build it first: layerlock build {layer}")
    sha256 = file_sha256(zipped)
    if lock.zip is None:
        raise BadAttestation(
            f"the lock of {layer} records no zip",
            hint=f"record what was built first: layerlock record {layer}",
        )
    if sha256 != lock.zip.sha256:
        raise BadAttestation(
            f"{zipped} has the sha256 {sha256}; the lock of {layer} records {lock.zip.sha256}",
            hint=f"layerlock build {layer} writes the recorded one",
        )
    statement = write_provenance(driver, lock, plan, zipped, sha256, {})
    path = zipped.with_suffix(".intoto.dsse.json")
    write_bytes(path, seal(statement.read_bytes(), key))
    return Attested(path=path, statement=statement, sha256=sha256, key=key_id(key.public_key()))


def verify(envelope: Path, key: Ed25519PublicKey, zipped: Path | None) -> Verified:
    """Check a signed statement, and that it speaks of a zip, where one is given.

    Raises:
        BadAttestation: it is malformed, not signed by the key, or speaks of another zip.
        UsageError: a file is not there.
    """
    from layerlock.audit.dsse import LARGEST, key_id, opened  # noqa: PLC0415 - as above

    with _existing(envelope).open("rb") as file:
        data = file.read(LARGEST + 1)
    subjects, document = provenance.read_statement(opened(data, key))
    if zipped is not None:
        sha256 = file_sha256(_existing(zipped))
        if sha256 not in subjects.values():
            told = ", ".join(f"{name} ({digest})" for name, digest in sorted(subjects.items()))
            raise BadAttestation(f"{zipped} has the sha256 {sha256}; the attestation speaks of {told}")
    return Verified(
        subjects=subjects,
        layer=_text(document, "predicate", "buildDefinition", "externalParameters", "layer"),
        lock=_text(
            document, "predicate", "buildDefinition", "externalParameters", "lock", "digest", "sha256"
        ),
        builder=_text(document, "predicate", "runDetails", "builder", "id"),
        key=key_id(key),
    )


def _statement(driver: Driver, lock: Lock, plan: Plan, sha256: str, made: Mapping[str, str]) -> bytes:
    recipe = driver.repository.layer(lock.layer)
    outputs = {**made, **recorded(lock)}
    lock_sha256 = _lock_sha256(driver, lock.layer)
    return provenance.encode(provenance.statement(recipe, lock, lock_sha256, plan, sha256, outputs))


def _lock_sha256(driver: Driver, layer: str) -> str:
    """Hash the lock file as it stands: what `sha256sum lockfiles/LAYER.lock` says."""
    return file_sha256(driver.repository.lock_path(layer))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    return path


def _text(document: object, *steps: str) -> str:
    """Look up a text of a statement; empty where another builder's statement has none there."""
    for step in steps:
        document = document.get(step) if isinstance(document, dict) else None
    return document if isinstance(document, str) else ""
