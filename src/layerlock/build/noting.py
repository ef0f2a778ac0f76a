"""Noting what builds took, beside their logs: what later runs expect, and begin first, by."""

from __future__ import annotations

from contextlib import suppress

from layerlock.errors import LayerlockError
from layerlock.events import BuildFinished, Event, Listener
from layerlock.io.times import write_note
from layerlock.model.times import Took
from layerlock.store.local import LocalStore


class Noting:
    """A listener before another one; `jobs` are the processes that a build may run at once."""

    def __init__(self, emit: Listener, store: LocalStore, jobs: int) -> None:
        self._emit = emit
        self._store = store
        self._jobs = jobs

    def __call__(self, event: Event) -> None:
        """Note what a build took that ends, and hand the event on."""
        if isinstance(event, BuildFinished):
            took = Took(
                name=event.name,
                planned=event.planned,
                seconds=round(event.seconds),
                memory=event.peak_memory,
                size=event.size,
                processors=self._jobs,
            )
            note(self._store, took)
        self._emit(event)


def note(store: LocalStore, took: Took) -> None:
    """Note what a build took. What was built stands: a note more or less is no matter."""
    with suppress(OSError, LayerlockError):
        write_note(store.log_path(took.planned), took)
