"""Leaves out what a layer does not need, rule by rule, and says what each rule saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collect import Owned
from globs import BadPattern, matches
from task import Finding, Violation


@dataclass(frozen=True)
class Pruned:
    """What is left, and for each rule, in order, what it took: a file counts for the first rule that
    selects it.
    """

    kept: tuple[Owned, ...]
    rules: tuple[dict[str, Any], ...]
    findings: tuple[Finding, ...]


def prune(owned: Sequence[Owned], rules: Sequence[Mapping[str, Any]], keep: Sequence[str]) -> Pruned:
    """Apply `rules`; whatever a `keep` pattern selects stays. Patterns are those of globs.py.

    A rule or keep pattern that selects nothing is reported as a warning: it is out of date, or mistyped.
    Raises Violation of kind "usage" for a bad pattern.
    """
    try:
        return _prune(owned, rules, keep)
    except BadPattern as error:
        raise Violation("usage", str(error), hint="see the pattern language in the manual") from error


def _prune(owned: Sequence[Owned], rules: Sequence[Mapping[str, Any]], keep: Sequence[str]) -> Pruned:
    taken: list[dict[str, Any]] = [
        {"name": rule["name"], "reason": rule.get("reason", ""), "files": 0, "bytes": 0} for rule in rules
    ]
    selected = [False] * len(rules)
    kept = []
    for item in owned:
        is_kept = matches(item.name, keep)
        chosen = -1
        for index, rule in enumerate(rules):
            packages = rule.get("packages")
            if (not packages or item.package in packages) and matches(item.name, rule["patterns"]):
                selected[index] = True
                chosen = index if chosen < 0 else chosen
        if chosen < 0 or is_kept:
            kept.append(item)
        else:
            taken[chosen]["files"] += 1
            taken[chosen]["bytes"] += item.entry.size
    findings = [
        Finding(
            "prune",
            "check",
            f"the prune rule {rule['name']!r} selects nothing",
            "correct or drop it",
            severity="warning",
        )
        for rule, used in zip(rules, selected)
        if not used
    ]
    findings += [
        Finding(
            "keep",
            "check",
            f"the keep pattern {pattern!r} selects nothing",
            "correct or drop it",
            severity="warning",
        )
        for pattern in keep
        if not any(matches(item.name, [pattern]) for item in owned)
    ]
    return Pruned(tuple(kept), tuple(taken), tuple(findings))
