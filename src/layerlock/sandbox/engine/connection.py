"""The tie between the driver and a process in a container: its standard streams over one socket.

The engine packs both output streams into one (Docker Engine API, "Attach to a container", "Stream format"): a header
of eight bytes, of which the first names the stream and the last four give the length of what follows.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from typing import Any

OUTPUT, REPORT = 1, 2
_HEADER = struct.Struct(">BxxxL")


class Connection:
    """Standard streams over a socket; `holder` is what keeps the socket open."""

    def __init__(self, plain: socket.socket, holder: Any) -> None:
        self._socket = plain
        self._holder = holder
        self._buffer = b""

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Give (stream, bytes) as they come, until the process or the connection has ended."""
        while header := self._exactly(_HEADER.size):
            stream, size = _HEADER.unpack(header)
            while size:
                piece = self._some(size)
                if not piece:
                    return
                size -= len(piece)
                yield stream, piece

    def receive(self) -> bytes:
        """Give what has come, unframed as terminals send it; nothing at the end."""
        return self._some(65536)

    def send(self, data: bytes) -> None:
        """Write to the process's standard input; what nobody reads any more is dropped."""
        with contextlib.suppress(OSError):
            self._socket.sendall(data)

    def end_input(self) -> None:
        """End the process's standard input."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Let whoever waits for the other side wait no longer."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the socket up."""
        self.cut()
        for each in (self._holder, self._socket):
            with contextlib.suppress(OSError):
                each.close()

    def fileno(self) -> int:
        """Give the socket's descriptor."""
        return self._socket.fileno()

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            piece = self._read()
            if not piece:
                return b""
            self._buffer += piece
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def _some(self, most: int) -> bytes:
        data = self._buffer or self._read()
        self._buffer = data[most:]
        return data[:most]

    def _read(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except OSError:
            return b""
