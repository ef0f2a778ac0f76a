"""Whether a function grows or slows down as it is invoked: least squares over what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

WARM_UP = 0.1
"""The part of the invocations that is left out: what is loaded and cached once is no growth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One invocation: its number, from 1; seconds, the mean since the sample before; bytes resident after it."""

    invocation: int
    seconds: float
    resident: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Steadiness:
    """What became of memory and time, after the warm-up.

    `growth` is the slope of the resident size by least squares, in bytes for each invocation; `resident` its first
    and last measured value, in bytes. `first` and `last` are medians of the seconds of an invocation, in the first and
    the last third.
    """

    growth: float
    resident: tuple[int, int]
    first: float
    last: float

    @property
    def slowdown(self) -> float:
        """How many times as long invocations take in the end."""
        return self.last / self.first


def steadiness(samples: Sequence[Sample]) -> Steadiness | None:
    """Judge samples in the order of their invocations; None where fewer than six are left after the warm-up."""
    if not samples:
        return None
    begin = samples[-1].invocation * WARM_UP
    kept = [sample for sample in samples if sample.invocation > begin]
    if len(kept) < 6:
        return None
    fitted = statistics.linear_regression(
        [float(sample.invocation) for sample in kept], [float(sample.resident) for sample in kept]
    )
    third = len(kept) // 3
    return Steadiness(
        growth=fitted.slope,
        resident=(kept[0].resident, kept[-1].resident),
        first=statistics.median(sample.seconds for sample in kept[:third]),
        last=statistics.median(sample.seconds for sample in kept[-third:]),
    )
