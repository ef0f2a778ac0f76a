"""Whether the runtime that a layer is for is still supported, by the dates in its recipe."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Final

from layerlock.audit.check import Check
from layerlock.audit.subject import Subject
from layerlock.model.findings import Finding, Severity

SOON: Final = datetime.timedelta(days=180)
"""How long ahead the end of a runtime is told: AWS gives notice of that length."""


def _deprecation(subject: Subject) -> Iterator[Finding]:
    runtime, dates, today = subject.runtime, subject.runtime.dates, subject.today
    hint = "move the layer to a newer runtime, or skip the check with a reason"
    if today >= dates.updates_blocked:
        severity, said = (
            Severity.ERROR,
            f"cannot be used any more: updates are blocked since {dates.updates_blocked}",
        )
    elif today >= dates.deprecated:
        severity, said = (
            Severity.WARNING,
            f"is deprecated since {dates.deprecated}; updates end {dates.updates_blocked}",
        )
    elif today >= dates.deprecated - SOON:
        severity, said = Severity.NOTE, f"will be deprecated on {dates.deprecated}"
    else:
        return
    yield RUNTIME_DEPRECATED.found(
        runtime.name,
        f"the runtime {runtime.name} {said}",
        hint=hint,
        location=subject.repository.locate("runtimes", runtime.name, "dates.deprecated"),
        severity=severity,
    )


RUNTIME_DEPRECATED = Check(
    name="runtime-deprecated",
    area="upstream",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="The dates at which AWS ends support for the runtime stand in its recipe. A layer for a runtime whose "
    "updates are blocked is an error, one for a deprecated runtime a warning, and half a year ahead a note.",
    run=_deprecation,
)

CHECKS = (RUNTIME_DEPRECATED,)
