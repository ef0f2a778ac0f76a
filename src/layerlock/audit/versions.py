"""Whether a version lies in the ranges of an advisory, by the ordering of its ecosystem.

The evaluation is that of the OSV schema ("Evaluation"): events in order, `introduced` begins, `fixed` ends before its
version and `last_affected` after it; a range counts below its `limit`s alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cmp_to_key
from typing import Any, Final

from packaging.version import InvalidVersion, Version

from layerlock.audit.osv import Affected, Range
from layerlock.sources.debian_packages import older

Key = Callable[[str], Any]
"""Makes what a version is ordered by; raises ValueError where it is no version of the ecosystem."""

_SEMVER: Final = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")


def includes(affected: Affected, version: str, ecosystem: str) -> bool:
    """Say whether an entry of a record holds for a version.

    A version that is listed is affected. Ranges of commits cannot be judged without the repository's history, nor
    ranges of an ecosystem whose order is not known here; such entries hold for the versions that they list.
    """
    if {version, f"v{version}"} & affected.versions:
        return True
    return any(_holds(each, version, ecosystem) for each in affected.ranges)


def ordering(kind: str, ecosystem: str) -> Key | None:
    """Give the ordering of a range; None where it is not known here."""
    family = ecosystem.partition(":")[0]
    if kind == "SEMVER":
        return _semver
    if kind == "ECOSYSTEM" and family == "PyPI":
        return Version
    if kind == "ECOSYSTEM" and family == "Debian":
        return _DEBIAN
    return None


def _holds(given: Range, version: str, ecosystem: str) -> bool:
    order = ordering(given.kind, ecosystem)
    if order is None:
        return False
    key = _forgiving(order)
    mine = key(version)
    limits = [key(event.version) for event in given.events if event.kind == "limit"]
    if limits and not any(mine < limit for limit in limits):
        return False
    hit = False
    # At one version an `introduced` comes after a `fixed`: what is broken anew there is broken.
    ends = [e for e in given.events if e.kind != "limit"]
    for event in sorted(ends, key=lambda e: (key(e.version), e.kind == "introduced")):
        at = key(event.version)
        match event.kind:
            case "introduced":
                hit = hit or mine >= at
            case "fixed":
                hit = hit and mine < at
            case _:
                hit = hit and mine <= at
    return hit


def _forgiving(order: Key) -> Callable[[str], Any]:
    """Order what is no version before everything, as `0`, OSV's word for the beginning."""

    def key(version: str) -> tuple[int, Any]:
        if version == "0":
            return (0, 0)
        try:
            return (1, order(version))
        except (ValueError, InvalidVersion):
            return (0, 0)

    return key


def _compare(one: str, other: str) -> int:
    return -1 if older(one, other) else int(older(other, one))


_DEBIAN: Final[Key] = cmp_to_key(_compare)


def _semver(version: str) -> tuple[object, ...]:
    """Make the key of Semantic Versioning 2.0.0, section 11; missing numbers count as 0."""
    found = _SEMVER.fullmatch(version)
    if found is None:
        raise ValueError(f"not a semantic version: {version!r}")
    numbers = tuple(int(found[part] or 0) for part in (1, 2, 3))
    if found[4] is None:
        return (*numbers, (1,))
    steps = tuple((0, int(s), "") if s.isdigit() else (1, 0, s) for s in found[4].split("."))
    return (*numbers, (0, steps))
