"""Pins: what a running build needs, kept from garbage collection for as long as its process lives."""

from __future__ import annotations

import threading
from pathlib import Path

from layerlock.io.atomic import shared, storing, write_bytes
from layerlock.store.keep import Keep, encode
from layerlock.store.layout import Layout


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
