"""How long builds take in all: the least that there is, and what a list schedule comes to without any overhead."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

from layerlock.model.derivation import Derivation
from layerlock.plan.priority import Cost, priorities


def bound(derivations: Sequence[Derivation], seconds: Mapping[str, float], machines: int) -> float:
    """Give what no schedule can be under: the longer of the critical path and the work for each machine."""
    return max(critical_path(derivations, seconds), sum(seconds.values()) / machines)


def critical_path(derivations: Sequence[Derivation], seconds: Mapping[str, float]) -> float:
    """Give the seconds of the longest chain."""
    costs = {name: Cost(seconds=each, memory=0) for name, each in seconds.items()}
    return max(priorities(derivations, costs).values())


def list_schedule(
    derivations: Sequence[Derivation], seconds: Mapping[str, float], order: Iterable[str], machines: int
) -> float:
    """Give when the last build ends if a machine that is free takes the first in order that could begin."""
    place = {name: index for index, name in enumerate(order)}
    lacking = {one.name: {item.name for item in one.inputs} for one in derivations}
    users: dict[str, list[str]] = {name: [] for name in lacking}
    for name, inputs in lacking.items():
        for item in inputs:
            users[item].append(name)
    ready = [(place[name], name) for name, inputs in lacking.items() if not inputs]
    heapq.heapify(ready)
    running: list[tuple[float, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < machines:
            _, name = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[name], name))
        now, ended = heapq.heappop(running)
        for name in users[ended]:
            lacking[name].discard(ended)
            if not lacking[name]:
                heapq.heappush(ready, (place[name], name))
    return now
