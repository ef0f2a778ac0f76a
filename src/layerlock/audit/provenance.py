"""Where a layer zip comes from: an in-toto Statement (v1) with a SLSA provenance predicate (v1).

It is made of the lock and the plan alone, without a time and without anything of the machine, so that the same lock
gives the same statement. Formats: in-toto's attestation framework (Statement v1, ResourceDescriptor) and
https://slsa.dev/provenance/v1. Nothing heavy is imported: every build writes one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from layerlock import __version__
from layerlock.errors import BadAttestation
from layerlock.model.derivation import Derivation, GuestRun
from layerlock.model.digest import unsri
from layerlock.model.layer import LayerRecipe
from layerlock.model.lock import Lock, LockedFile, LockedGit, LockedPath, LockedSource
from layerlock.plan.functions import names_of
from layerlock.plan.packages import environment_name
from layerlock.plan.resolve import Plan

STATEMENT: Final = "https://in-toto.io/Statement/v1"
PREDICATE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:layerlock:build:layer:1"
"""The kind of build, as docs/provenance.md describes it. A change of what the parameters mean needs a new number."""
BUILDER: Final = "urn:layerlock:driver"

_SANDBOX: Final = {
    "backends": ["bubblewrap", "docker"],
    "capabilities": [],
    "environment": "cleared",
    "network": "none",
    "root": "read-only",
}
"""What holds in every build, whichever backend ran it: the backend is no part of any derivation."""

Json = dict[str, Any]


def statement(
    recipe: LayerRecipe,
    lock: Lock,
    lock_sha256: str,
    plan: Plan,
    zip_sha256: str,
    outputs: Mapping[str, str],
) -> Json:
    """Say how the zip of this sha256 was made. `outputs` are tree hashes (SRI) by derivation, those that are known."""
    about = recipe.layer
    return {
        "_type": STATEMENT,
        "subject": [{"name": f"{recipe.name}.zip", "digest": {"sha256": zip_sha256}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "layer": recipe.name,
                    "lock": {"name": f"lockfiles/{recipe.name}.lock", "digest": {"sha256": lock_sha256}},
                },
                "internalParameters": {
                    "architecture": about.architecture,
                    "runtime": about.runtime,
                    "environment": environment_name(about.environment),
                    "sandbox": _SANDBOX,
                    "derivations": [_derivation(d, plan, outputs) for d in plan.derivations],
                },
                "resolvedDependencies": _dependencies(lock, plan),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"layerlock": __version__}},
                "byproducts": [
                    {"name": name, "digest": {"narSha256": unsri(outputs[name])}}
                    for name in (names_of(recipe).tree,)
                    if name in outputs
                ],
            },
        },
    }


def encode(document: Json) -> bytes:
    """Spell a statement: JSON with sorted keys, so that equal statements are equal bytes."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def read_statement(payload: bytes) -> tuple[dict[str, str], Json]:
    """Read a provenance statement: the sha256 of each subject by name, and the whole document.

    Raises:
        BadAttestation: it is no Statement v1 with SLSA's provenance, or names no subject by its sha256.
    """
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        raise BadAttestation("the payload is not JSON") from None
    match document:
        case {"_type": "https://in-toto.io/Statement/v1", "subject": [_, *_] as subjects}:
            pass
        case _:
            raise BadAttestation("the payload is no in-toto Statement v1 with a subject")
    if document.get("predicateType") != PREDICATE or not isinstance(document.get("predicate"), dict):
        raise BadAttestation(f"the statement is of another kind than {PREDICATE}")
    digests: dict[str, str] = {}
    for subject in subjects:
        match subject:
            case {"name": str(name), "digest": {"sha256": str(sha256)}}:
                digests[name] = sha256.lower()
            case _:
                raise BadAttestation("a subject of the statement has no name or no sha256")
    return digests, document


def _derivation(derivation: Derivation, plan: Plan, outputs: Mapping[str, str]) -> Json:
    told = {"name": derivation.name, "planned": plan.planned[derivation.name]}
    if derivation.name in outputs:
        told["output"] = outputs[derivation.name]
    return told


def _dependencies(lock: Lock, plan: Plan) -> list[Json]:
    """Give everything that went in, by content: sources, patches, files of the recipes, the driver's guest code."""
    found = {source.key: _source(source) for source in lock.sources}
    for derivation in plan.derivations:
        for patch in derivation.patches:
            found[f"patches/{patch.path}"] = _file(f"patches/{patch.path}", patch.sha256)
        for data in derivation.data:
            found[data.path] = _file(data.path, data.sha256)
        if isinstance(derivation.action, GuestRun):
            for file in derivation.action.guest:
                found[f"guest/{file.name}"] = _file(f"guest/{file.name}", file.sha256)
    return [found[name] for name in sorted(found)]


def _file(name: str, sha256: str) -> Json:
    return {"name": name, "digest": {"sha256": sha256}}


def _source(source: LockedSource) -> Json:
    match source:
        case LockedFile(key=key, urls=urls, sha256=sha256):
            told: Json = {"name": key, "uri": urls[0], "digest": {"sha256": sha256}}
            return told | ({"annotations": {"mirrors": list(urls[1:])}} if urls[1:] else {})
        case LockedGit(key=key, urls=urls, commit=commit, tree=tree):
            digests = {"gitCommit": commit, "narSha256": unsri(tree)}
            return {"name": key, "uri": f"git+{urls[0]}@{commit}", "digest": digests}
        case LockedPath(key=key, tree=tree):
            return {"name": key, "digest": {"narSha256": unsri(tree)}}
