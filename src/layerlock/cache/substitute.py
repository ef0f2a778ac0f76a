"""Outputs out of caches in place of builds, and sources out of caches in place of downloads.

Whatever is wrong with an object is a warning and a miss: the next cache is asked, and in the end it is built. What a
lock records outranks every signature.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Final

from layerlock.cache.bring import BAD, Cache, OutputStore, bring_file, bring_tree, said
from layerlock.cache.entry import Entry
from layerlock.cache.lookup import Book
from layerlock.cache.place import Unreachable
from layerlock.events import FetchFinished, FetchStarted, Listener, Waiting, Warned, once
from layerlock.io.together import together
from layerlock.model.derivation import Realisation
from layerlock.model.lock import LockedFile, LockedGit
from layerlock.plan.resolve import Plan

AT_ONCE: Final = 8
"""Objects that are fetched at once."""
_MISSES: Final = 8
"""Sources in a row that a cache does not have, after which it is asked for no more of them."""
_LARGEST_TREE: Final = 8 << 30
"""Bytes of a checkout's NAR, of which a lock does not say how large it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What substitution works on.

    `done` are the outputs in the store; `recorded` what the lock says of outputs, by name. With `confirmed` only
    outputs that the lock records are taken. `hold` keeps outputs from a garbage collection; it is called before the
    store is asked for them.
    """

    plan: Plan
    done: Mapping[str, Realisation]
    recorded: Mapping[str, str]
    hold: Callable[[Realisation], None]
    confirmed: bool = False


def substitute(
    targets: Collection[str],
    wanted: Wanted,
    caches: Iterable[Cache],
    store: OutputStore,
    emit: Listener,
) -> dict[str, Realisation]:
    """Bring the outputs of targets into the store; where one cannot be had, those of its inputs, and so on.

    Gives what was brought, by name: a target that is missing there has to be built.

    Raises:
        StoreError: the store cannot be written.
    """
    plan = wanted.plan
    books = [Book(cache, plan, emit) for cache in caches]
    made: dict[str, Realisation] = {}
    seen: set[str] = set()
    wave = [name for name in plan.planned if name in targets and name not in wanted.done]
    needed = _needed(plan, wave, wanted.done)
    with store.filling() if wave and books else nullcontext():
        while wave and not all(book.silent for book in books):
            seen.update(wave)
            # The largest first, by the first cache, so that none of them is left alone at the end.
            wave.sort(key=lambda name: -max((e.size for e in books[0].entries(name, needed)), default=0))
            results = together(
                [partial(_one, name, wanted, needed, books, store, emit) for name in wave], most=AT_ONCE
            )
            below: set[str] = set()
            for name, result in zip(wave, results, strict=True):
                if result is None:
                    below.update(one.name for one in plan[name].inputs)
                else:
                    made[name] = result
            wave = [name for name in plan.planned if name in below - seen - wanted.done.keys()]
        if made:
            store.settle()
    return made


def refusal(entry: Entry, name: str, wanted: Wanted, cache: Cache) -> str:
    """Say why an entry must not be used for a derivation; empty where it may be."""
    problem = cache.trust.doubt(entry) or entry.fits(wanted.plan[name], wanted.plan.planned[name])
    if problem:
        return problem
    expected = wanted.recorded.get(name)
    if expected is not None and entry.output != expected:
        return f"it has the output {entry.output}, and the lock records {expected}"
    for needed, output in sorted(entry.references.items()):
        held = wanted.done.get(needed)
        right = wanted.recorded.get(needed) or (held.output if held is not None else output)
        if output != right:
            return f"it was made from {needed} as {output}, which here is {right}"
    return ""


def _needed(plan: Plan, targets: Collection[str], done: Mapping[str, Realisation]) -> frozenset[str]:
    """Give what building the targets would take: never the inputs of something that is done."""
    found = set(targets)
    for derivation in reversed(plan.derivations):
        if derivation.name in found:
            found.update(one.name for one in derivation.inputs if one.name not in done)
    return frozenset(found)


def _one(
    name: str,
    wanted: Wanted,
    needed: Collection[str],
    books: Iterable[Book],
    store: OutputStore,
    emit: Listener,
) -> Realisation | None:
    """Bring one output from the first cache that has it."""
    if wanted.confirmed and name not in wanted.recorded:
        return None
    for book in books:
        for entry in book.entries(name, needed):
            problem = refusal(entry, name, wanted, book.cache)
            if problem:
                emit(Warned(name=name, message=f"the cache {book.cache.name} is not used: {problem}"))
                continue
            if book.silent:
                break
            try:
                brought = _brought(entry, book.cache, wanted, store, emit)
            except Unreachable as error:
                book.failed(error)
                continue
            except BAD as error:
                emit(Warned(name=name, message=f"the cache {book.cache.name} is not used: {said(error)}"))
                continue
            book.worked()
            if brought:
                return entry.realisation
            emit(Warned(name=name, message=f"the cache {book.cache.name} has lost the output {entry.output}"))
    return None


def _brought(entry: Entry, cache: Cache, wanted: Wanted, store: OutputStore, emit: Listener) -> bool:
    """Bring an entry's tree and register it; False where the tree is not there."""
    made = entry.realisation
    with store.alone(entry.resolved, once(emit, Waiting(name=entry.name, doing="fetches"))):
        # Held first and looked up then, as everywhere.
        wanted.hold(made)
        if store.tree(entry.output) is None:
            started = time.monotonic()
            emit(FetchStarted(name=entry.name, url=cache.place.address, size=entry.size))
            if bring_tree(cache.place, entry.output, entry.size, entry.name, store) is None:
                return False
            emit(FetchFinished(name=entry.name, size=entry.size, seconds=time.monotonic() - started))
        store.register(made, many=True)
    return True


class CachedSources:
    """Sources out of caches, before the network: they are named by their contents, and need no signature.

    There is no look-up: a source is asked for by its hash, and a cache that has none of several is left in peace.
    """

    def __init__(self, caches: Callable[[], tuple[Cache, ...]]) -> None:
        self._caches = caches
        self._lock = Lock()
        self._misses: dict[str, int] = {}

    def bring(self, pin: LockedFile | LockedGit, store: OutputStore, emit: Listener) -> Path | None:
        """Bring a pinned source into a store; None where no cache has it."""
        for cache in self._caches():
            if self._misses.get(cache.name, 0) >= _MISSES:
                continue
            began = time.monotonic()
            try:
                found = _source(pin, cache, store)
            except Unreachable as error:
                emit(Warned(name=f"cache {cache.name}", message=f"{error.message}; it is asked no more"))
                self._note(cache, _MISSES)
                continue
            except BAD as error:
                emit(Warned(name=pin.key, message=f"the cache {cache.name} is not used: {said(error)}"))
                found = None
            self._note(cache, 0 if found is not None else 1)
            if found is not None:
                place, size = found
                # Only now is it known that the cache has it: no `FetchStarted` goes before.
                emit(FetchFinished(name=pin.key, size=size, seconds=time.monotonic() - began))
                return place
        return None

    def _note(self, cache: Cache, misses: int) -> None:
        with self._lock:
            self._misses[cache.name] = self._misses.get(cache.name, 0) + misses if misses else 0


def _source(pin: LockedFile | LockedGit, cache: Cache, store: OutputStore) -> tuple[Path, int] | None:
    """Bring a source from a cache; give its place in the store, and its bytes."""
    match pin:
        case LockedFile():
            filename = pin.urls[0].rpartition("/")[2] if pin.urls else ""
            path = bring_file(cache.place, pin.sha256, pin.size, filename or pin.key, store)
            return None if path is None else (path, pin.size)
        case LockedGit():
            made = bring_tree(cache.place, pin.tree, _LARGEST_TREE, pin.key.replace("/", "-"), store)
            return None if made is None else (made.path, made.size)
