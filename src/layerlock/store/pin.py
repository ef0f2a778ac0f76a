"""Pins: what a running build needs, kept from garbage collection for as long as its process lives."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layerlock.io.atomic import shared, storing, write_bytes
from layerlock.store.keep import Keep, encode
from layerlock.store.layout import Layout
from layerlock.store.scratch import Held


class Pin:
    """A growing set of entries, written to a file whose lock the process holds."""

    def __init__(self, layout: Layout, path: Path, keep: Keep) -> None:
        self._layout = layout
        self._path = path
        self._keep = keep
        self._guard = threading.Lock()
        self._write(keep)

    def add(self, keep: Keep) -> None:
        """Pin more. Raises StoreError."""
        with storing("pin entries of the store"), shared(self._layout.collector):
            self.add_held(keep)

    def add_held(self, keep: Keep) -> None:
        """Pin more, where the caller holds the collector's lock already. Raises OSError."""
        with self._guard:
            larger = self._keep | keep
            if larger != self._keep:
                self._write(larger)
                self._keep = larger

    def _write(self, keep: Keep) -> None:
        write_bytes(self._path, encode(keep), by_way_of=self._layout.tmp)


class Pins:
    """The pins that this process has on a store. What it adds while it has some is pinned by all of them."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._pins: list[Pin] = []

    @contextmanager
    def adding(self, keep: Keep) -> Iterator[None]:
        """Make sure that no collection begins before what is added here is pinned. Raises OSError."""
        with shared(self._layout.collector):
            for pin in tuple(self._pins):
                pin.add_held(keep)
            yield

    def hold(self, keep: Keep) -> None:
        """Pin more, where anything is pinned. Raises OSError."""
        if self._pins:
            with self.adding(keep):
                pass

    @contextmanager
    def pinned(self, keep: Keep) -> Iterator[Pin]:
        """Pin entries for the length of a `with`. Raises StoreError."""
        path = self._layout.roots / f"pin-{os.getpid()}-{secrets.token_hex(6)}.json"
        with storing("pin entries of the store"):
            held = Held(path.with_suffix(".lock"))
        try:
            with storing("pin entries of the store"), shared(self._layout.collector):
                pin = Pin(self._layout, path, keep)
            self._pins.append(pin)
            try:
                yield pin
            finally:
                self._pins.remove(pin)
        finally:
            path.unlink(missing_ok=True)
            held.release()
