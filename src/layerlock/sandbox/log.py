"""A sandbox's output on its way into the log, and line by line to whoever listens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

_LONGEST_LINE = 4096
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x09}


@dataclass(slots=True)
class Log:
    """Writes at most `limit` bytes to `sink`, as they are, and tells of each line without control characters.

    `last` is the line told last.
    """

    sink: BinaryIO
    limit: int
    on_line: Callable[[str], None]
    last: str = ""
    _written: int = 0
    _partial: bytes = b""

    def take(self, data: bytes) -> bool:
        """Take more output; False once the log is full."""
        room = self.limit - self._written
        self.sink.write(data[:room])
        self._written += min(len(data), room)
        lines = (self._partial + data[:room]).split(b"\n")
        self._partial = lines.pop()[-_LONGEST_LINE:]
        for line in lines:
            self._tell(line)
        if lines:
            self.sink.flush()
        return len(data) <= room

    def finish(self) -> None:
        """Tell of the last line, if it has no end, and write out everything."""
        if self._partial:
            self._tell(self._partial)
            self._partial = b""
        self.sink.flush()

    def _tell(self, line: bytes) -> None:
        # A progress bar rewrites its line: what stands last counts.
        shown = line[-_LONGEST_LINE:].decode(errors="replace").rstrip("\r").rpartition("\r")[2]
        self.last = shown.translate(_CONTROLS)
        self.on_line(self.last)
