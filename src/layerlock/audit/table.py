"""Every check there is, in the order in which they are listed. A new check is one function and one row."""

from __future__ import annotations

from typing import Final

from layerlock.audit import (
    belonging,
    beside,
    contents,
    identities,
    licences,
    lint,
    objects,
    pins,
    runtimes,
    scripts,
    skips,
    stored,
    unused,
    upstream,
    vulnerabilities,
)
from layerlock.audit.check import Check

CHECKS: Final[tuple[Check, ...]] = (
    *pins.CHECKS,
    *stored.CHECKS,
    *unused.CHECKS,
    *skips.CHECKS,
    *licences.CHECKS,
    *scripts.CHECKS,
    *lint.CHECKS,
    *runtimes.CHECKS,
    *upstream.CHECKS,
    *identities.CHECKS,
    *vulnerabilities.CHECKS,
    *beside.CHECKS,
    *belonging.CHECKS,
    *contents.CHECKS,
    *objects.CHECKS,
)
"""All checks, each area's together."""
