"""Events and results as JSON, one object a line, for programs."""

from __future__ import annotations

import dataclasses
import json
from threading import Lock
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from layerlock.errors import LayerlockError
    from layerlock.events import Event
from layerlock.ui.text import without_user


class JsonLines:
    """A listener that writes every event as one JSON object on a line of its own.

    `event` is the event's type without a trailing `Event`, `time` the moment in UTC (ISO 8601); the event's
    own fields follow under their names. It may be called from several threads.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], datetime]) -> None:
        """Write to `stream`; `clock` tells the time, with its zone."""
        self._stream = stream
        self._clock = clock
        self._lock = Lock()

    def __call__(self, event: Event) -> None:
        """Write the event."""
        fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
        for name in ("url", "reason", "message"):
            if name in fields:
                fields[name] = without_user(fields[name])
        self.write(type(event).__name__.removesuffix("Event"), fields)

    def error(self, error: LayerlockError) -> None:
        """Write the error that ended the command, as the event `Error`."""
        location = error.location and {
            "file": error.location.file,
            "line": error.location.line,
            "path": error.location.path,
        }
        fields = {
            "kind": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
            "location": location,
            "exit_code": error.exit_code,
        }
        self.write("Error", fields)

    def write(self, event: str, fields: Mapping[str, Any]) -> None:
        """Write an object of any type, such as a command's `Result`."""
        with self._lock:
            # The time is taken under the lock, so that lines are in the order of their times.
            stamp = self._clock().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            # ASCII only: lone surrogates and line separators of hostile logs stay escaped; so does DEL, which
            # JSON would let through.
            line = json.dumps({"event": event, "time": stamp, **fields}).replace("\x7f", "\\u007f")
            self._stream.write(line + "\n")
            self._stream.flush()
