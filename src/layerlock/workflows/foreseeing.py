"""Saying beforehand what a run will take: how long builds took before, and how much room there is in the store.

How long builds take is noted in the store as they end (`build.noting`), and kept beside the lock by `record`. What is
known of it also says what to begin first.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from layerlock.errors import LayerlockError
from layerlock.events import Event, Listener, PlanMade, RoomExpected, TimeExpected
from layerlock.io.lockfile import read_lock
from layerlock.io.repository import Repository
from layerlock.io.times import SUFFIX, read_note, read_times, write_times
from layerlock.model.lock import Lock
from layerlock.model.times import Expected, History, expect
from layerlock.store.local import LocalStore
from layerlock.workflows.planning import PROGRAM


class Foreseeing:
    """A listener before another one: after a plan it tells what to expect.

    `planned` are the plan's hashes by name, `history` what is known of its builds. It is made before a build puts
    anything into the store: a new one has nothing yet, or the sandbox's program alone, which `doctor` brings.
    """

    def __init__(
        self, emit: Listener, store: LocalStore, planned: Mapping[str, str], history: History
    ) -> None:
        self._emit = emit
        self._store = store
        self._planned = planned
        self._history = history
        self._new = all(tree.name.endswith(f"-{PROGRAM}") for tree in store.layout.trees.glob("*"))

    def __call__(self, event: Event) -> None:
        """Hand an event on, and tell more after a plan."""
        self._emit(event)
        if isinstance(event, PlanMade) and event.to_build:
            # Whether there is anything to tell, no build depends on it.
            with suppress(OSError):
                self._tell(event)

    def _tell(self, plan: PlanMade) -> None:
        wanted = [(name, self._planned[name]) for name in plan.to_build]
        found = expect(wanted, self._history)
        self._emit(_time(plan, found))
        self._emit(
            RoomExpected(
                name=plan.name,
                store=str(self._store.root),
                new=self._new,
                needed=plan.fetch_bytes + found.size,
                free=_free(self._store.root),
            )
        )


def read_history(store: LocalStore, repository: Repository, planned: Iterable[str]) -> History:
    """Read what is known of builds: of those with these planned hashes in the store, of all in and beside the locks."""
    notes = tuple(note for each in planned if (note := read_note(store.log_path(each))) is not None)
    beside = sorted((repository.root / "lockfiles").glob(f"*{SUFFIX}"))
    recorded = tuple(took for path in beside for took in read_times(path))
    # What does not say how many processes it ran was built by a cluster.
    return History(
        here=tuple(note for note in notes if note.processors),
        elsewhere=(*recorded, *(note for note in notes if not note.processors)),
        sizes=dict(_recorded_sizes(repository)),
    )


def _recorded_sizes(repository: Repository) -> Iterator[tuple[str, int]]:
    """Give the bytes of the outputs that locks record, by planned hash; a lock that cannot be read tells nothing."""
    for path in sorted((repository.root / "lockfiles").glob("*.lock")):
        with suppress(LayerlockError, OSError):
            lock = read_lock(path, path.stem)
            yield from ((each.planned, each.size) for each in lock.derivations if each.size is not None)


def keep_times(lock: Lock, path: Path, store: LocalStore) -> None:
    """Write what the builds of a lock took beside it: as the store has noted it, else as it was kept before."""
    before = {took.planned: took for took in read_times(path)}
    found = [
        read_note(store.log_path(derivation.planned)) or before.get(derivation.planned)
        for derivation in lock.derivations
    ]
    known = tuple(took for took in found if took is not None)
    if known:
        write_times(path, known)


def _time(plan: PlanMade, found: Expected) -> TimeExpected:
    return TimeExpected(
        name=plan.name,
        builds=len(plan.to_build),
        known=found.known,
        here=found.here,
        seconds=found.seconds,
        processors=found.processors,
    )


def _free(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
