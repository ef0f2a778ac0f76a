"""Findings as SARIF 2.1.0, the format in which code hosts take the results of scanners (OASIS, 2020)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from layerlock import __version__
from layerlock.audit.check import Check
from layerlock.model.findings import Finding

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(found: Sequence[tuple[Finding, Sequence[str], str]], checks: Sequence[Check]) -> dict[str, Any]:
    """Give a SARIF log of one run.

    Args:
        found: findings, the layers that each holds for, and the reason why it is left out or nothing.
        checks: the checks that ran; they become the tool's rules.
    """
    ids = {check.name: index for index, check in enumerate(checks)}
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "layerlock",
                        "version": __version__,
                        "rules": [_rule(check) for check in checks],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {
                    "REPOSITORY": {"description": {"text": "The top of the recipe repository."}}
                },
                "results": [_result(finding, layers, reason, ids) for finding, layers, reason in found],
            }
        ],
    }


def _rule(check: Check) -> dict[str, Any]:
    return {
        "id": check.name,
        "name": "".join(part.capitalize() for part in check.name.split("-")),
        "shortDescription": {"text": check.explanation.split(". ")[0].rstrip(".") + "."},
        "fullDescription": {"text": check.explanation},
        "defaultConfiguration": {"level": check.severity.value},
        "properties": {"tags": [check.area]},
    }


def _result(finding: Finding, layers: Sequence[str], reason: str, ids: Mapping[str, int]) -> dict[str, Any]:
    hint = f"\n{finding.hint}" if finding.hint else ""
    made: dict[str, Any] = {
        "ruleId": finding.check,
        "level": finding.severity.value,
        "message": {"text": finding.message + hint},
        "partialFingerprints": {"layerlock/v1": _fingerprint(finding)},
        "properties": {"subject": finding.subject, "layers": list(layers)},
        "locations": [_location(finding)],
    }
    if finding.check in ids:
        made["ruleIndex"] = ids[finding.check]
    if reason:
        made["suppressions"] = [{"kind": "inSource", "justification": reason}]
    return made


def _location(finding: Finding) -> dict[str, Any]:
    """Give the place; of a finding that has none in the repository, what it is about."""
    logical = [{"fullyQualifiedName": finding.subject}]
    if finding.location is None:
        return {"logicalLocations": logical}
    place: dict[str, Any] = {
        "artifactLocation": {"uri": quote(finding.location.file), "uriBaseId": "REPOSITORY"},
    }
    if finding.location.line is not None:
        place["region"] = {"startLine": finding.location.line}
    return {"physicalLocation": place, "logicalLocations": logical}


def _fingerprint(finding: Finding) -> str:
    """Tell the same finding in another revision, where it stands on another line."""
    text = "\0".join((finding.check, finding.subject, finding.message))
    return hashlib.sha256(text.encode()).hexdigest()
