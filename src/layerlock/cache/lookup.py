"""Finding out what a cache has of a plan, in few requests.

Who pushes a build pushes what it needs first, so what a cache has is closed below: a target's closure tells of all
of it at once. Where a target is not there, what most of the rest waits for is asked for next: without that, nothing
above it is there either, and an empty cache has said so after a few requests. At worst (a cache that has lost
objects) something is built that could have been fetched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from threading import Lock
from typing import Final

from layerlock.cache.bring import BAD, Cache, said
from layerlock.cache.entry import LARGEST_CLOSURE, Entry, closure_key, decode_closure
from layerlock.cache.place import Unreachable
from layerlock.events import Listener, Warned
from layerlock.plan.resolve import Plan

_PATIENCE: Final = 3
"""Failures in a row, each after several tries, after which a cache is asked no more."""


class Book:
    """What one cache has of a plan. It is found out when it is first asked for. Safe for several threads."""

    def __init__(self, cache: Cache, plan: Plan, emit: Listener) -> None:
        self.cache = cache
        self._plan = plan
        self._emit = emit
        self._lock = Lock()
        self._known: dict[str, tuple[Entry, ...]] | None = None
        self._failures = 0
        self.requests = 0

    @property
    def silent(self) -> bool:
        """Whether the cache has failed so often that it is asked no more."""
        return self._failures >= _PATIENCE

    def entries(self, name: str, wanted: Collection[str]) -> tuple[Entry, ...]:
        """Give the entries for a derivation; with the first question all that are `wanted` are looked up."""
        with self._lock:
            if self._known is None:
                self._known = self._walk(set(wanted) | {name})
            return self._known.get(self._plan.planned[name], ())

    def failed(self, error: Unreachable) -> None:
        """Take note that the cache did not answer."""
        self._failures += 1
        last = "; it is asked no more" if self.silent else ""
        self._emit(Warned(name=f"cache {self.cache.name}", message=f"{error.message}{last}"))

    def worked(self) -> None:
        """Take note that the cache did answer."""
        self._failures = 0

    def _walk(self, unknown: set[str]) -> dict[str, tuple[Entry, ...]]:
        found: dict[str, tuple[Entry, ...]] = {}
        ordered = [derivation.name for derivation in self._plan.derivations]
        inputs = {d.name: frozenset(i.name for i in d.inputs) for d in self._plan.derivations}

        def ask(name: str) -> bool:
            unknown.discard(name)
            entries = self._closure(name)
            if entries is None:
                return False
            for entry in entries:
                known = found.get(entry.planned, ())
                if entry not in known:
                    found[entry.planned] = (*known, entry)
            unknown.difference_update(
                {one for one in unknown if self._plan.planned[one] in found},
            )
            return True

        while unknown and not self.silent:
            if ask(next(name for name in reversed(ordered) if name in unknown)):
                continue
            leaves = [name for name in ordered if name in unknown and not inputs[name] & unknown]
            above = {leaf: _above(leaf, ordered, inputs) & unknown for leaf in leaves}
            leaf = max(leaves, key=lambda one: len(above[one]), default=None)
            if leaf is not None and not self.silent and not ask(leaf):
                unknown -= above[leaf]
        return found

    def _closure(self, name: str) -> tuple[Entry, ...] | None:
        self.requests += 1
        try:
            data = self.cache.place.read(closure_key(self._plan.planned[name]), LARGEST_CLOSURE)
            self.worked()
            return None if data is None else decode_closure(data)
        except Unreachable as error:
            self._failures = _PATIENCE  # nothing that it may hold can be found
            self.failed(error)
        except BAD as error:
            self._emit(Warned(name=name, message=f"the cache {self.cache.name} is not used: {said(error)}"))
        return None


def _above(leaf: str, ordered: Iterable[str], inputs: dict[str, frozenset[str]]) -> set[str]:
    """Give what needs a derivation, directly or not."""
    found = {leaf}
    for name in ordered:
        if inputs[name] & found:
            found.add(name)
    return found - {leaf}
