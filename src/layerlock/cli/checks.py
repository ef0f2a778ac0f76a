"""How the result of a check is written: as a table for people, and as the fields of a result for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerlock.cli.differences import comparison_text
from layerlock.ui.text import count, duration, printable, table

if TYPE_CHECKING:
    from layerlock.reproduce.judging import Judged
    from layerlock.workflows.checking import Check, Kept

NOT_DETERMINISTIC = "differs without any variation too: it is not deterministic by itself"


def check_text(found: Check) -> str:
    """Write what a check found, the table first."""
    lines = [
        table(
            (judged.standing.name, judged.verdict, printable(_because(judged)))
            for judged in found.derivations
        )
    ]
    for judged in found.derivations:
        kept = found.kept.get(judged.standing.name)
        if kept is not None:
            lines += ["", *_mismatch(judged, kept)]
    lines += ["", *_under(found)]
    return "\n".join(lines)


def check_fields(found: Check) -> dict[str, Any]:
    """Give what a check found as plain values: the variations, the runs, and each derivation with every attempt."""
    return {
        "target": found.target,
        "matched": found.matched,
        "seconds": round(found.seconds, 1),
        "runs": [list(group) for group in found.groups],
        "variations": [
            {
                "name": each.name,
                "changes": each.changes,
                "reach": each.reach,
                "obstacle": each.obstacle,
                "named": each.named,
            }
            for each in found.variations
        ],
        "derivations": [
            _derivation(judged, found.kept.get(judged.standing.name)) for judged in found.derivations
        ],
    }


def _derivation(judged: Judged, kept: Kept | None) -> dict[str, Any]:
    return {
        "name": judged.standing.name,
        "planned": judged.standing.planned,
        "recorded": judged.standing.recorded,
        "stored": judged.standing.stored,
        "verdict": judged.verdict,
        "reason": judged.reason,
        "causes": [list(cause) for cause in judged.causes],
        "deterministic": () not in judged.causes,
        "attempts": [
            {
                "variations": list(attempt.variations),
                "verdict": attempt.verdict,
                "output": attempt.output,
                "reason": attempt.reason,
                "missing": list(attempt.missing),
            }
            for attempt in judged.attempts
        ],
        "kept": None
        if kept is None
        else {"rebuilt": str(kept.rebuilt), "stored": str(kept.stored) if kept.stored is not None else None},
    }


def _because(judged: Judged) -> str:
    """Give the gist of a verdict in one line."""
    if judged.verdict == "inconclusive":
        return judged.reason.partition("\n")[0]
    if judged.verdict == "match":
        missing = sorted({name for attempt in judged.attempts for name in attempt.missing})
        return f"not in force for it: {', '.join(missing)}" if missing else ""
    if () in judged.causes:
        return NOT_DETERMINISTIC
    causes = " or ".join(" with ".join(cause) for cause in judged.causes)
    return f"caused by {causes}" if causes else ""


def _mismatch(judged: Judged, kept: Kept) -> list[str]:
    lines = [f"{judged.standing.name}: {judged.reason}"]
    if kept.stored is not None:
        lines.append(f"  stored   {kept.stored}")
    lines.append(f"  rebuilt  {kept.rebuilt}")
    if kept.comparison is not None:
        lines += [f"  {line}" for line in comparison_text(kept.comparison).splitlines()]
    return lines


def _under(found: Check) -> list[str]:
    named = sorted({name for group in found.groups for name in group})
    lines = [
        f"{count(len(found.derivations), 'derivation')} in {count(len(found.groups), 'run')}, "
        f"{duration(found.seconds)}; varied: {', '.join(named) or 'nothing'}"
    ]
    lines += [
        f"not varied: {each.name} ({each.obstacle})"
        for each in found.variations
        if each.obstacle and not each.named
    ]
    return lines
