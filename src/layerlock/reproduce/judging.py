"""From rebuilds to verdicts: which derivations match, which do not, and which variation makes the difference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from layerlock.reproduce.bisect import causes
from layerlock.reproduce.orders import Rebuilt

Verdict = Literal["match", "mismatch", "inconclusive"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What a derivation's rebuild is held against: what the lock records and what the store holds, SRI or empty.

    `obstacle` says why it cannot be rebuilt or compared; empty where it can.
    """

    name: str
    planned: str
    recorded: str
    stored: str
    obstacle: str = ""

    @property
    def expected(self) -> tuple[str, ...]:
        """The outputs that a rebuild has to equal, all of them."""
        return tuple(dict.fromkeys(output for output in (self.recorded, self.stored) if output))


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """A derivation rebuilt once. `missing` are variations that were asked for and were not in force for it."""

    variations: tuple[str, ...]
    verdict: Verdict
    output: str
    reason: str
    missing: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A derivation with its verdict over all attempts.

    `causes` are the smallest sets of variations that each make the difference; an empty set means that the output
    differs, or comes and goes, without any. No causes where none was looked for.
    """

    standing: Standing
    verdict: Verdict
    reason: str
    attempts: tuple[Attempt, ...] = ()
    causes: tuple[tuple[str, ...], ...] = ()

    @property
    def different(self) -> str:
        """The first output that differed; empty where none did."""
        return next((each.output for each in self.attempts if each.verdict == "mismatch"), "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Came:
    """What came of a derivation in one run, and the variations that were not in force for it, with the reason."""

    rebuilt: Rebuilt
    missing: Mapping[str, str]


Run = Callable[[tuple[str, ...], tuple[str, ...]], Mapping[str, Came]]
"""Rebuilds derivations under variations, given by name: `run(variations, derivations)`."""


def judge(
    standings: Sequence[Standing],
    groups: Sequence[tuple[str, ...]],
    run: Run,
    *,
    strict: bool,
    bisect: bool,
    tell: Callable[[Judged], None],
) -> tuple[Judged, ...]:
    """Rebuild under each group of variations, compare, and look for causes.

    Args:
        standings: the derivations, in build order.
        groups: each is one run; the empty one is a run without variations.
        run: rebuilds.
        strict: whether a variation that was not in force leaves a match inconclusive.
        bisect: whether to look for the variations that cause a mismatch, by more runs.
        tell: is told of each derivation as soon as its verdict is known.
    """
    able = tuple(standing.name for standing in standings if not standing.obstacle)
    came = [(group, run(group, able) if able else {}) for group in groups]
    judged = []
    for standing in standings:
        if standing.obstacle:
            found = Judged(standing=standing, verdict="inconclusive", reason=standing.obstacle)
        else:
            attempts = [_attempt(standing, group, made[standing.name], strict) for group, made in came]
            found = _over_all(standing, attempts)
            if bisect and found.verdict == "mismatch":
                found = _explained(found, run, strict)
        tell(found)
        judged.append(found)
    return tuple(judged)


def _attempt(standing: Standing, group: tuple[str, ...], came: Came, strict: bool) -> Attempt:
    rebuilt, missing = came.rebuilt, tuple(came.missing)
    verdict: Verdict = "match"
    reason = ""
    if not rebuilt.output:
        verdict, reason = "inconclusive", f"the rebuild failed: {rebuilt.reason}"
    elif standing.expected != (rebuilt.output,):
        verdict, reason = "mismatch", _difference(standing, rebuilt.output)
    elif missing and (strict or len(missing) == len(group)):
        verdict = "inconclusive"
        reason = "; ".join(f"{name} was not in force: {why}" for name, why in came.missing.items())
    return Attempt(variations=group, verdict=verdict, output=rebuilt.output, reason=reason, missing=missing)


def _difference(standing: Standing, output: str) -> str:
    parts = [f"rebuilt {output}"]
    if standing.recorded:
        parts.append(f"the lock records {standing.recorded}")
    if standing.stored and standing.stored != standing.recorded:
        parts.append(f"the store holds {standing.stored}")
    return ", ".join(parts)


def _over_all(standing: Standing, attempts: Sequence[Attempt]) -> Judged:
    worst = next(
        (each for verdict in ("mismatch", "inconclusive") for each in attempts if each.verdict == verdict),
        None,
    )
    return Judged(
        standing=standing,
        verdict=worst.verdict if worst else "match",
        reason=worst.reason if worst else "",
        attempts=tuple(attempts),
    )


def _explained(judged: Judged, run: Run, strict: bool) -> Judged:
    """Find what makes the difference: runs without variations before and after, ever smaller sets in between."""
    standing = judged.standing
    attempts = list(judged.attempts)

    def differs(group: tuple[str, ...], *, again: bool = False) -> bool:
        made = next((each for each in attempts if each.variations == group), None)
        if made is None or again:
            made = _attempt(standing, group, run(group, (standing.name,))[standing.name], strict)
            attempts.append(made)
        return made.verdict == "mismatch"

    groups = [each.variations for each in judged.attempts if each.verdict == "mismatch"]
    found: list[tuple[str, ...]] = []
    if differs(()):
        found.append(())
    else:
        for group in groups:
            if any(set(cause) <= set(group) for cause in found):
                continue
            for cause in causes(group, differs):
                # All of several together: more likely it comes and goes. Once more tells.
                lasting = len(cause) == 1 or len(cause) < len(group) or differs(group, again=True)
                found.append(cause if lasting else ())
        # What changes from minute to minute or now and then looks as if variations did it: look once more without.
        if differs((), again=True):
            found = [()]
    return replace(judged, attempts=tuple(attempts), causes=tuple(dict.fromkeys(found)))
