"""Findings for people: worst first, each with its place and its remedy, and a summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from layerlock.audit.check import Check
from layerlock.model.findings import Finding, Severity
from layerlock.ui.text import count, printable, table

SHOWN = 12
"""Findings of one check that are listed; the rest are counted."""

_TITLES = {Severity.ERROR: "errors", Severity.WARNING: "warnings", Severity.NOTE: "notes"}
_COLOURS = {Severity.ERROR: "1;31", Severity.WARNING: "1;33", Severity.NOTE: "1;36"}


def render_findings(
    found: Sequence[tuple[Finding, Sequence[str]]], *, several: bool, everything: bool, colour: bool
) -> str:
    """Write findings, sorted worst first, with the layers that each holds for where there are several."""
    made: list[str] = []
    for severity, of_severity in groupby(found, key=lambda each: each[0].severity):
        made.append(_style(_TITLES[severity], _COLOURS[severity], colour))
        for check, of_check in groupby(of_severity, key=lambda each: each[0].check):
            rows = list(of_check)
            shown = rows if everything else rows[:SHOWN]
            made.append(f"  {check}")
            for finding, layers in shown:
                made += _one(finding, layers if several else ())
            if len(rows) > len(shown):
                made.append(f"    and {len(rows) - len(shown)} more; --all lists them")
        made.append("")
    return "\n".join(made).rstrip()


def render_skipped(skipped: Iterable[tuple[Finding, str]]) -> str:
    """Write what recipes leave out: the reason once, and how many findings of which check it covers."""
    counted = Counter((finding.check, reason) for finding, reason in skipped)
    return "\n".join(
        f"  {check}: {count(number, 'finding')} left out: {printable(reason)}"
        for (check, reason), number in sorted(counted.items())
    )


def summary(found: Iterable[Finding]) -> str:
    """Count findings: `2 errors, 1 warning`, or `no findings`."""
    counted = Counter(finding.severity for finding in found)
    parts = [count(counted[severity], severity.value) for severity in Severity if counted[severity]]
    return ", ".join(parts) or "no findings"


def render_checks(checks: Iterable[Check]) -> str:
    """Write the table of checks."""
    rows = [("check", "area", "worst", "needs")]
    rows += [(check.name, check.area, check.severity.value, check.needs) for check in checks]
    return table(rows)


def _one(finding: Finding, layers: Sequence[str]) -> list[str]:
    first, *rest = finding.message.split("\n")
    of = f" [{', '.join(layers)}]" if layers else ""
    lines = [f"    {printable(first)}{of}", *(f"      {printable(line)}" for line in rest)]
    if finding.location is not None:
        lines.append(f"      at {printable(str(finding.location))}")
    if finding.hint:
        lines.append(f"      {printable(finding.hint)}")
    return lines


def _style(text: str, code: str, colour: bool) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
