"""Finding which of several changes cause a failure: delta debugging.

`minimise` is ddmin of Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (IEEE TSE 28(2),
2002): the result is 1-minimal, so that leaving out any single name makes the failure go away.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

Fails = Callable[[tuple[str, ...]], bool]
Find = Callable[[Sequence[tuple[str, ...]], Fails], tuple[str, ...] | None]
"""What finds the first of some sets that fails; it may try several at once, as long as it gives the first."""


def causes(names: Sequence[str], fails: Fails) -> tuple[tuple[str, ...], ...]:
    """Give minimal sets of names that each cause the failure by themselves, disjoint from each other.

    The whole of `names` is known to fail, and nothing at all is known not to.
    """
    found: list[tuple[str, ...]] = []
    rest = tuple(names)
    while True:
        least = minimise(rest, fails)
        found.append(least)
        rest = tuple(name for name in rest if name not in least)
        if not rest or not fails(rest):
            return tuple(found)


def in_turn(subsets: Sequence[tuple[str, ...]], fails: Fails) -> tuple[str, ...] | None:
    """Find the first of some sets that fails, one after the other."""
    return next((subset for subset in subsets if fails(subset)), None)


def minimise(names: Sequence[str], fails: Fails, find: Find = in_turn) -> tuple[str, ...]:
    """Give a 1-minimal subset that fails; the whole is known to fail, the empty set not to."""
    left = tuple(names)
    parts = 2
    while len(left) > 1:
        chunks = _split(left, parts)
        rests = [tuple(n for n in left if n not in chunk) for chunk in chunks]
        smaller = find(chunks, fails)
        if smaller is not None:
            left, parts = smaller, 2
            continue
        # Of two parts the rest of one is the other, which was tried.
        smaller = find(rests, fails) if parts > 2 else None
        if smaller is not None:
            left, parts = smaller, parts - 1
        elif parts < len(left):
            parts = min(len(left), 2 * parts)
        else:
            break
    return left


def _split(names: tuple[str, ...], parts: int) -> list[tuple[str, ...]]:
    edges = [len(names) * i // parts for i in range(parts + 1)]
    return [names[start:end] for start, end in itertools.pairwise(edges)]
