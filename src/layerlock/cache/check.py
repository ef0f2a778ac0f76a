"""Looking through a cache: whether everything in it is what it says, and is signed by whom we trust."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from layerlock.cache.bring import BAD, Cache, blob_problem, said
from layerlock.cache.entry import (
    LARGEST_CLOSURE,
    Entry,
    closure_key,
    decode_closure,
    file_key,
    tree_key,
)
from layerlock.events import Listener, Noted
from layerlock.io.together import together
from layerlock.model.digest import sri, unsri
from layerlock.plan.resolve import Plan

_AT_ONCE: Final = 4
_LARGEST: Final = 16 << 30
"""Bytes that anything whose size nobody states may stand for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flaw:
    """An object of a cache, and what is the matter with it."""

    key: str
    problem: str


def verify_plan(
    plan: Plan, files: Iterable[tuple[str, int]], cache: Cache, folder: Path, emit: Listener
) -> tuple[int, tuple[Flaw, ...]]:
    """Check what a cache has of a plan, and of some files (sha256 and size); what it does not have is no flaw.

    Gives how many objects were looked at, and what is wrong. `folder` is a place for downloads.

    Raises:
        Unreachable: the cache does not answer.
    """
    flaws: list[Flaw] = []
    sizes: dict[str, int] = {}
    closures = 0
    for name, planned in plan.planned.items():
        key = closure_key(planned)
        entries = _closure(key, cache, flaws)
        if entries is None:
            continue
        closures += 1
        if not any(entry.planned == planned for entry in entries):
            flaws.append(Flaw(key=key, problem=f"it has no entry for {name}"))
        for entry in entries:
            owner = next((one for one, other in plan.planned.items() if other == entry.planned), None)
            problem = entry.fits(plan[owner], entry.planned) if owner is not None else ""
            if problem:
                flaws.append(Flaw(key=key, problem=f"{entry.name}: {problem}"))
            sizes[entry.output] = max(sizes.get(entry.output, 0), entry.size)
    wanted = [(tree_key(output), unsri(output), size, True) for output, size in sorted(sizes.items())]
    wanted += [(file_key(sha256), sha256, size, False) for sha256, size in sorted(dict(files).items())]
    return closures + len(wanted), (*flaws, *_blobs(wanted, cache, folder, emit))


def verify_all(cache: Cache, folder: Path, emit: Listener) -> tuple[int, tuple[Flaw, ...]]:
    """Check every object of a cache that can be listed. Gives and raises as above."""
    flaws: list[Flaw] = []
    wanted: dict[str, tuple[str, str, int, bool]] = {}
    count = 0
    for key in cache.place.listing():
        count += 1
        folder_name, _, name = key.partition("/")
        digest = name.partition(".")[0]
        try:
            expected = {
                "trees": tree_key(sri(digest)),
                "files": file_key(digest),
                "closures": closure_key(digest),
            }
            known = expected.get(folder_name) == key and len(digest) == 64
        except ValueError:
            known = False
        if not known:
            flaws.append(Flaw(key=key, problem="it is none of a cache's objects"))
        elif folder_name != "closures":
            wanted.setdefault(key, (key, digest, _LARGEST, True))
        else:
            for entry in _closure(key, cache, flaws) or ():
                # Exactly as large as it is signed to be: the size bounds a download before its hash is known.
                wanted[entry.blob] = (entry.blob, unsri(entry.output), entry.size, True)
    return count, (*flaws, *_blobs(wanted.values(), cache, folder, emit))


def _closure(key: str, cache: Cache, flaws: list[Flaw]) -> tuple[Entry, ...] | None:
    try:
        data = cache.place.read(key, LARGEST_CLOSURE)
        entries = None if data is None else decode_closure(data)
    except BAD as error:
        flaws.append(Flaw(key=key, problem=said(error)))
        return None
    for entry in entries or ():
        doubt = cache.trust.doubt(entry)
        if doubt:
            flaws.append(Flaw(key=key, problem=f"{entry.name}: {doubt}"))
    return entries


def _blobs(
    wanted: Iterable[tuple[str, str, int, bool]], cache: Cache, folder: Path, emit: Listener
) -> tuple[Flaw, ...]:
    def look(key: str, expected: str, limit: int, required: bool) -> Flaw | None:
        emit(Noted(name=cache.name, message=f"checking {key}"))
        problem = blob_problem(cache.place, key, expected, limit, folder)
        if not problem or (problem == "it is missing" and not required):
            return None
        return Flaw(key=key, problem=problem)

    works: list[Callable[[], Flaw | None]] = [partial(look, *each) for each in wanted]
    return tuple(flaw for flaw in together(works, most=_AT_ONCE) if flaw is not None)
