"""Writing into a cache: what is not there yet, each thing whole before what refers to it.

Trees and files go first, closures last. So whoever is killed in between leaves things that nothing refers to, and the
next push takes them as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

from layerlock.cache.bring import BAD, Cache, file_pieces, said, tree_pieces
from layerlock.cache.entry import (
    LARGEST_CLOSURE,
    Entry,
    closure_key,
    decode_closure,
    encode_closure,
    file_key,
    merged,
    tree_key,
)
from layerlock.cache.frames import compress
from layerlock.events import Listener, Sent, Warned
from layerlock.io.together import together
from layerlock.model.lock import LockedFile, LockedGit, LockedSource
from layerlock.plan.resolve import Plan

_AT_ONCE: Final = 6
"""Objects that are compressed and sent at once."""
_BEGUN: Final = 2
"""Objects that are begun before it is known whether the cache has them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """A tree or a file to write: its key, what people call it, its bytes, and where those come from."""

    key: str
    name: str
    size: int
    pieces: Callable[[], Iterator[bytes | memoryview]]


def source_blobs(
    pins: Iterable[LockedSource],
    file: Callable[[str], Path | None],
    tree: Callable[[str], Path | None],
    named: Callable[[LockedSource, Path], str],
) -> Iterator[Blob]:
    """Give the sources that a store holds; `file` and `tree` look them up, `named` says what errors call them."""
    for pin in pins:
        match pin:
            case LockedFile():
                path = file(pin.sha256)
                if path is not None:
                    pieces = partial(file_pieces, path, pin.sha256, named(pin, path))
                    yield Blob(key=file_key(pin.sha256), name=pin.key, size=pin.size, pieces=pieces)
            case LockedGit():
                path = tree(pin.tree)
                if path is not None:
                    pieces = partial(tree_pieces, path, pin.tree, named(pin, path))
                    yield Blob(key=tree_key(pin.tree), name=pin.key, size=0, pieces=pieces)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pushed:
    """What was written: entries in all, objects, and their bytes as they were and compressed."""

    entries: int
    there: int
    written: int
    bytes: int
    packed: int
    closures: int


def push(
    plan: Plan, entries: Mapping[str, Entry], blobs: Collection[Blob], cache: Cache, emit: Listener
) -> Pushed:
    """Write signed entries with their trees, and more blobs, into a cache.

    Raises:
        Unreachable: the cache cannot be written.
        HashMismatch: something in the store is damaged.
    """
    place = cache.place
    closures = {closure_key(plan.planned[name]): name for name in plan.planned if name in entries}
    by_key = {blob.key: blob for blob in blobs}
    # The largest first: the last ones to be sent are then small, and end at about the same time.
    ordered = sorted(by_key.values(), key=lambda blob: (-blob.size, blob.key))
    with ThreadPoolExecutor(_BEGUN, thread_name_prefix="first") as pool:
        # The first are begun while the cache is asked and the processors would have nothing to do.
        begun = {blob.key: pool.submit(_begin, blob) for blob in ordered[: _BEGUN if place.remote else 0]}
        there = place.present([*by_key, *closures])
    begun = {key: frames for key, frames in begun.items() if key not in there}
    missing = [blob for blob in ordered if blob.key not in there]

    def send(blob: Blob) -> int:
        started = time.monotonic()
        frames = begun[blob.key].result() if blob.key in begun else compress(blob.pieces())
        packed = place.write(blob.key, frames)
        seconds = time.monotonic() - started
        emit(Sent(name=blob.name, to=cache.name, size=blob.size, packed=packed, seconds=seconds))
        return packed

    packed = together([partial(send, blob) for blob in missing], most=_AT_ONCE)
    written = together(
        [
            partial(write_closure, plan, name, entries, cache, emit, there=key in there)
            for key, name in closures.items()
        ],
        most=_AT_ONCE,
    )
    return Pushed(
        entries=len(entries),
        there=len(by_key) - len(missing),
        written=len(missing),
        bytes=sum(blob.size for blob in missing),
        packed=sum(packed),
        closures=sum(written),
    )


def _begin(blob: Blob) -> Iterator[bytes]:
    """Compress the first frames of a blob, which is as many as are held at once."""
    frames = compress(blob.pieces())
    return chain([next(frames)], frames)


def write_closure(
    plan: Plan, name: str, entries: Mapping[str, Entry], cache: Cache, emit: Listener, *, there: bool
) -> bool:
    """Write the closure of a derivation, beside what others have said of it; False where nothing is new."""
    key = closure_key(plan.planned[name])
    mine = [entries[one] for one in plan.needed_for([name]) if one in entries]
    theirs: tuple[Entry, ...] = ()
    if there:
        try:
            data = cache.place.read(key, LARGEST_CLOSURE)
            theirs = decode_closure(data) if data is not None else ()
        except BAD as error:
            emit(Warned(name=name, message=f"a closure in the cache {cache.name} is replaced: {said(error)}"))
            data = None
    else:
        data = None
    new = encode_closure(merged(theirs, mine))
    if new == data:
        return False
    cache.place.write(key, iter((new,)))
    return True
