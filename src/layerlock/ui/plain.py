"""Progress as plain lines, for logs and for terminals that can do no more."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, TextIO

from layerlock.ui.lines import describe

if TYPE_CHECKING:
    from layerlock.events import Event


class Plain:
    """A listener that writes one line for each event worth one; build logs and steps only where `verbose`.

    It may be called from several threads.
    """

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        """Write to `stream`."""
        self._stream = stream
        self._hidden = frozenset() if verbose else frozenset({"log", "step"})
        self._lock = Lock()

    def __call__(self, event: Event) -> None:
        """Write the event's line, if it has one."""
        line = describe(event)
        if line is None or line.importance in self._hidden:
            return
        with self._lock:
            self._stream.write(f"{line}\n")
            self._stream.flush()
