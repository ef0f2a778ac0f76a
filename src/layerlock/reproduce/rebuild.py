"""Rebuilding derivations whose inputs all are there, side by side; one that fails stops no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path

from layerlock.build.one import Order, build
from layerlock.build.workshop import Capacity, Workshop
from layerlock.errors import LayerlockError
from layerlock.model.derivation import Derivation
from layerlock.reproduce.orders import Rebuilt

Sources = Callable[[Derivation], Mapping[str, Path]]
"""Gives a derivation's fetched sources by key."""


def rebuild_all(
    orders: Sequence[Order], workshop: Workshop, sources: Sources, capacity: Capacity
) -> tuple[Rebuilt, ...]:
    """Build every order, whatever the store has of it already; in the order in which they were given.

    The outputs land in the workshop's store. A failure is told in its place.
    """
    waiting = list(orders)
    running: dict[Future[Rebuilt], Order] = {}
    done: dict[str, Rebuilt] = {}
    with ThreadPoolExecutor(capacity.builds, thread_name_prefix="rebuild") as pool:
        try:
            while waiting or running:
                while waiting and _room(waiting[0], list(running.values()), capacity):
                    order = waiting.pop(0)
                    running[pool.submit(_rebuild, order, workshop, sources)] = order
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    done[running.pop(future).derivation.name] = future.result()
        except BaseException:
            workshop.cancel.set()
            raise
    return tuple(done[order.derivation.name] for order in orders)


def _rebuild(order: Order, workshop: Workshop, sources: Sources) -> Rebuilt:
    name = order.derivation.name
    try:
        made = build(order, workshop, sources(order.derivation))
    except LayerlockError as error:
        return Rebuilt(name=name, reason=error.message)
    return Rebuilt(name=name, output=made.output, size=made.size)


def _room(order: Order, running: Sequence[Order], capacity: Capacity) -> bool:
    """Say whether a build fits beside those that run; one alone always does."""
    needed = sum(each.derivation.needs.memory for each in (*running, order))
    return not running or (len(running) < capacity.builds and needed <= capacity.memory)
