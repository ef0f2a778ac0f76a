"""Checks of what stands beside a layer's zip: whether the statement of where it comes from still holds."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from layerlock.audit.check import Check
from layerlock.audit.provenance import read_statement
from layerlock.audit.subject import Subject
from layerlock.errors import BadAttestation, Location
from layerlock.model.findings import Finding, Severity

_LARGEST = 64 << 20


def _outdated(subject: Subject) -> Iterator[Finding]:
    path = subject.repository.root / "dist" / f"{subject.name}.intoto.json"
    if subject.lock is None or not path.is_file():
        return
    place = Location(file=f"dist/{path.name}")
    hint = f"layerlock build {subject.name} writes it anew"
    try:
        with path.open("rb") as file:
            digests, document = read_statement(file.read(_LARGEST))
    except BadAttestation as error:
        yield PROVENANCE.found(path.name, error.message, hint=hint, location=place, severity=Severity.ERROR)
        return
    if subject.lock.zip is not None and subject.lock.zip.sha256 not in digests.values():
        yield PROVENANCE.found(
            path.name, "it speaks of another zip than the lock records", hint=hint, location=place
        )
        return
    lock = hashlib.sha256(subject.repository.lock_path(subject.name).read_bytes()).hexdigest()
    if lock not in str(document["predicate"]):
        yield PROVENANCE.found(path.name, "it was written by another lock", hint=hint, location=place)


PROVENANCE = Check(
    name="provenance",
    area="identity",
    needs="nothing",
    severity=Severity.WARNING,
    explanation="dist/LAYER.intoto.json says from what a zip was made. One that speaks of another zip or lock than the "
    "repository's misleads whoever is handed both.",
    run=_outdated,
)

CHECKS = (PROVENANCE,)
