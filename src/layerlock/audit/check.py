"""A check: its name, what it needs, how bad its findings are, why anyone should care, and the function."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from layerlock.audit.subject import Contents, Subject
from layerlock.errors import Location
from layerlock.model.findings import Finding, Severity

Needs = Literal["nothing", "store", "network"]
"""What a check looks at besides recipes and locks: nothing, the store (and the built layer in it), the network."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One row of the table.

    `severity` is that of its worst findings. `explanation` says in one or two sentences what is looked for, and why
    it matters; `--explain` prints it. `run` looks at a layer of this repository; `foreign`, where there is one, at
    a zip that this repository may know nothing of. A check never prints, and raises only what is beyond its own
    matter (a store that cannot be read).
    """

    name: str
    area: str
    needs: Needs
    severity: Severity
    explanation: str
    run: Callable[[Subject], Iterable[Finding]]
    foreign: Callable[[Contents], Iterable[Finding]] | None = None

    def found(
        self,
        subject: str,
        message: str,
        *,
        hint: str = "",
        location: Location | None = None,
        severity: Severity | None = None,
    ) -> Finding:
        """Make a finding of this check, of the check's own severity where none is given."""
        return Finding(
            check=self.name,
            severity=severity or self.severity,
            message=message,
            subject=subject,
            hint=hint,
            location=location,
        )


def of_contents(
    *,
    name: str,
    area: str,
    severity: Severity,
    explanation: str,
    look: Callable[[Contents], Iterable[Finding]],
) -> Check:
    """Make a check that looks at what was built, and at nothing else: it can judge any layer zip."""

    def run(subject: Subject) -> Iterable[Finding]:
        return () if subject.contents is None else look(subject.contents)

    return Check(
        name=name,
        area=area,
        needs="store",
        severity=severity,
        explanation=explanation,
        run=run,
        foreign=look,
    )


def with_severity(finding: Finding, severity: Severity) -> Finding:
    """Give the same finding, worse or less bad."""
    return replace(finding, severity=severity)
