"""NAR, Nix's archive form of a tree: the one encoding by which trees are hashed.

A NAR knows file type, the owner's execute bit, contents, link targets and names sorted by their bytes;
nothing of owners, times, other mode bits, hard links or extended attributes. Hashes here equal what `nix
hash path` says. The encoding is that of the Nix manual, "Nix Archive (NAR) format".
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Final

from layerlock.errors import StoreError
from layerlock.model.digest import sri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_CHUNK: Final = 256 << 10
_AHEAD: Final = 32
"""Pieces that are read before the first of them is hashed, at most."""


def _string(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text + bytes(-len(text) % 8)


_OPEN: Final = _string(b"(")
_CLOSE: Final = _string(b")")
_REGULAR: Final = _OPEN + _string(b"type") + _string(b"regular")
_EXECUTABLE: Final = _string(b"executable") + _string(b"")
_CONTENTS: Final = _string(b"contents")
_SYMLINK: Final = _OPEN + _string(b"type") + _string(b"symlink") + _string(b"target")
_DIRECTORY: Final = _OPEN + _string(b"type") + _string(b"directory")
_ENTRY: Final = _string(b"entry") + _OPEN + _string(b"name")
_NODE: Final = _string(b"node")


@dataclass(frozen=True, kw_only=True, slots=True)
class NarDigest:
    """A tree's hash (SRI, `sha256-…`) and the bytes of its NAR."""

    sri: str
    size: int


def nar_sha256(path: Path) -> str:
    """Return the SRI sha256 of the NAR of a file, directory or symlink (which is not followed)."""
    return nar_digest(path).sri


def nar_size(path: Path) -> int:
    """Return the length of the NAR of `path` in bytes."""
    return nar_digest(path).size


def nar_digest(path: Path) -> NarDigest:
    """Return hash and length of the NAR of `path` in one pass.

    Raises StoreError for devices, pipes and sockets, and for a file that changes while it is read.
    """
    digest = hashlib.sha256()
    size = 0
    with _beside(digest.update) as update:
        for chunk in nar_chunks(path):
            update(chunk)
            size += len(chunk)
    return NarDigest(sri=sri(digest.hexdigest()), size=size)


@contextmanager
def _beside(work: Callable[[memoryview], None]) -> Iterator[Callable[[memoryview], None]]:
    """Lend what does `work` on pieces in order in a second thread; all of it is done at the end.

    Hashing leaves the interpreter to others, so the next files are read meanwhile. The thread starts with the
    second piece: a small tree is over before a thread would be worth its start.
    """
    pieces: SimpleQueue[memoryview | None] = SimpleQueue()
    places: SimpleQueue[None] = SimpleQueue()
    for _ in range(_AHEAD):
        places.put(None)
    first: memoryview | None = None
    worker: Thread | None = None

    def go_on() -> None:
        while (piece := pieces.get()) is not None:
            work(piece)
            places.put(None)

    def give(piece: memoryview) -> None:
        nonlocal first, worker
        if first is None:
            first = piece
            return
        if worker is None:
            worker = Thread(target=go_on, name="hash", daemon=True)
            worker.start()
            pieces.put(first)
        places.get()
        pieces.put(piece)

    try:
        yield give
    finally:
        if worker is not None:
            pieces.put(None)
            worker.join()
    if first is not None and worker is None:
        work(first)


def nar_chunks(path: Path, size: int = _CHUNK) -> Iterator[memoryview]:
    """Yield the NAR of `path` in pieces of `size` bytes, the last of fewer; files are read right into them."""
    out = _Pieces(size)
    out.put(_string(b"nix-archive-1"))
    # A stack instead of recursion: a tree may be deeper than Python's recursion limit.
    # Bytes on it are ready to be written, tuples are nodes still to be visited.
    stack: list[bytes | tuple[bytes, int]] = [(os.fsencode(path), os.lstat(path).st_mode)]
    while stack:
        top = stack.pop()
        if isinstance(top, bytes):
            out.put(top)
            continue
        node, mode = top
        if stat.S_ISREG(mode):
            yield from _file(node, out)
        elif stat.S_ISDIR(mode):
            out.put(_DIRECTORY)
            stack.append(_CLOSE)
            with os.scandir(node) as entries:
                # Sorted last to first, since a stack turns the order around.
                for entry in sorted(entries, key=_name, reverse=True):
                    stack.append(_CLOSE)
                    stack.append((entry.path, _mode(entry)))
                    stack.append(_ENTRY + _string(entry.name) + _NODE)
        elif stat.S_ISLNK(mode):
            out.put(_SYMLINK + _string(os.readlink(node)) + _CLOSE)  # noqa: PTH115 -- a bytes path
        else:
            raise StoreError(f"{os.fsdecode(node)} is neither a file, a directory nor a link: it has no NAR")
        yield from out.full()
    yield from out.full()
    yield out.rest()


class _Pieces:
    """Pieces that are filled one after the other: `put` copies into them, and what is read goes into `room`."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._full: list[memoryview] = []
        self._view = memoryview(bytearray(size))
        self._at = 0

    def put(self, data: bytes) -> None:
        """Append some bytes."""
        end = self._at + len(data)
        if end < self._size:
            self._view[self._at : end] = data
            self._at = end
            return
        view = memoryview(data)
        while view:
            room = self.room(len(view))
            room[:] = view[: len(room)]
            view = view[len(room) :]
            self.took(len(room))

    def room(self, most: int) -> memoryview:
        """Give the place for the next bytes, at most so many; there is always some."""
        return self._view[self._at : self._at + most]

    def took(self, count: int) -> None:
        """Take note of bytes that were written to `room`."""
        self._at += count
        if self._at == self._size:
            self._full.append(self._view)
            self._view = memoryview(bytearray(self._size))
            self._at = 0

    def full(self) -> list[memoryview]:
        """Give the pieces that are full, once."""
        given, self._full = self._full, []
        return given

    def rest(self) -> memoryview:
        """Give what was begun."""
        return self._view[: self._at]


def _name(entry: os.DirEntry[bytes]) -> bytes:
    return entry.name


def _mode(entry: os.DirEntry[bytes]) -> int:
    # What a directory listing tells for free is enough; a file's execute bit is read when it is opened.
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if entry.is_file(follow_symlinks=False) else 0


def _file(node: bytes, out: _Pieces) -> Iterator[memoryview]:
    """Append a file, and yield the pieces that it fills."""
    descriptor = os.open(node, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        left = status.st_size
        out.put(
            _REGULAR
            + (_EXECUTABLE if status.st_mode & stat.S_IXUSR else b"")
            + _CONTENTS
            + left.to_bytes(8, "little")
        )
        ended = False
        while left and not ended:
            # One byte is asked for past the end, which tells a file that grew without a read of its own.
            room = out.room(left + 1)
            count = os.readv(descriptor, (room,))
            if count > left:
                break
            left -= count
            ended = count < len(room)
            out.took(count)
            yield from out.full()
        if left or not (ended or not os.read(descriptor, 1)):
            raise StoreError(f"{os.fsdecode(node)} changed while it was hashed")
        out.put(bytes(-status.st_size % 8) + _CLOSE)
    finally:
        os.close(descriptor)
