"""Which derivations to begin first: those with the longest way still before them, by what earlier builds took.

The priority of a derivation is its upward rank: its own seconds and those of the longest chain of what needs it. It is
the rank of HEFT (Topcuoglu, Hariri, Wu: Performance-effective and low-complexity task scheduling for heterogeneous
computing, IEEE TPDS 13(3), 2002) without its costs of communication, and so the level of Highest Level First with
Estimated Times (Adam, Chandy, Dickson: A comparison of list schedules for parallel processing systems, CACM 17(12),
1974). Any order leaves a list schedule within 2 - 1/m of the best one on m machines (Graham, 1969); this one comes
close to the longer of the critical path and the work for each machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from layerlock.model.derivation import Derivation
from layerlock.model.times import Took

LEAST = 0.5
"""Seconds that a build counts which took none: records are of whole seconds."""

UNKNOWN = 1.0
"""Seconds that every build counts where nothing is known of any: the longest chain in number goes first then."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a build is expected to take: seconds of wall time, bytes of memory at the most."""

    seconds: float
    memory: int


def costs(derivations: Iterable[Derivation], took: Mapping[str, Took]) -> dict[str, Cost]:
    """Say what builds are expected to take, by name; `took` is what is known of earlier ones, by name.

    A build of which nothing is known counts the median of those in `took`, and the memory that it may use.
    """
    usual = median(max(each.seconds, LEAST) for each in took.values()) if took else UNKNOWN
    found: dict[str, Cost] = {}
    for derivation in derivations:
        known = took.get(derivation.name)
        found[derivation.name] = Cost(
            seconds=max(known.seconds, LEAST) if known else usual,
            memory=(known.memory if known else 0) or derivation.needs.memory,
        )
    return found


def priorities(derivations: Sequence[Derivation], costs: Mapping[str, Cost]) -> dict[str, float]:
    """Give the upward rank of derivations in seconds, by name: the higher, the sooner.

    They stand in build order; inputs that are not among them count as done.
    """
    longest_after = dict.fromkeys((each.name for each in derivations), 0.0)
    found: dict[str, float] = {}
    for derivation in reversed(derivations):
        rank = costs[derivation.name].seconds + longest_after[derivation.name]
        found[derivation.name] = rank
        for item in derivation.inputs:
            if item.name in longest_after:
                longest_after[item.name] = max(longest_after[item.name], rank)
    return found


def first_to_last(derivations: Sequence[Derivation], costs: Mapping[str, Cost]) -> tuple[str, ...]:
    """Order names of derivations: by priority, then those that need more memory, which fit in less often."""
    rank = priorities(derivations, costs)
    names = (each.name for each in derivations)
    return tuple(sorted(names, key=lambda name: (-rank[name], -costs[name].memory)))
