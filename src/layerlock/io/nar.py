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
_SMALL: Final = 64 << 10
"""Files up to this size are gathered in one buffer: a tree of small files costs few hash updates."""
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
def _beside(work: Callable[[bytes], None]) -> Iterator[Callable[[bytes], None]]:
    """Lend what does `work` on pieces in order in a second thread; all of it is done at the end.

    Hashing leaves the interpreter to others, so the next files are read meanwhile. The thread starts with the
    second piece: a small tree is over before a thread would be worth its start.
    """
    pieces: SimpleQueue[bytes | None] = SimpleQueue()
    places: SimpleQueue[None] = SimpleQueue()
    for _ in range(_AHEAD):
        places.put(None)
    first: bytes | None = None
    worker: Thread | None = None

    def go_on() -> None:
        while (piece := pieces.get()) is not None:
            work(piece)
            places.put(None)

    def give(piece: bytes) -> None:
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


def nar_chunks(path: Path) -> Iterator[bytes]:
    """Yield the NAR of `path` piece by piece."""
    pending = bytearray(_string(b"nix-archive-1"))
    # A stack instead of recursion: a tree may be deeper than Python's recursion limit.
    # Bytes on it are ready to be written, tuples are nodes still to be visited.
    stack: list[bytes | tuple[bytes, int]] = [(os.fsencode(path), os.lstat(path).st_mode)]
    while stack:
        top = stack.pop()
        if isinstance(top, bytes):
            pending += top
            continue
        node, mode = top
        if stat.S_ISREG(mode):
            yield from _file(node, pending)
        elif stat.S_ISDIR(mode):
            pending += _DIRECTORY
            stack.append(_CLOSE)
            with os.scandir(node) as entries:
                # Sorted last to first, since a stack turns the order around.
                for entry in sorted(entries, key=_name, reverse=True):
                    stack.append(_CLOSE)
                    stack.append((entry.path, _mode(entry)))
                    stack.append(_ENTRY + _string(entry.name) + _NODE)
        elif stat.S_ISLNK(mode):
            pending += _SYMLINK + _string(os.readlink(node)) + _CLOSE  # noqa: PTH115 -- a bytes path
        else:
            raise StoreError(f"{os.fsdecode(node)} is neither a file, a directory nor a link: it has no NAR")
        if len(pending) >= _CHUNK:
            yield bytes(pending)
            pending.clear()
    yield bytes(pending)


def _name(entry: os.DirEntry[bytes]) -> bytes:
    return entry.name


def _mode(entry: os.DirEntry[bytes]) -> int:
    # What a directory listing tells for free is enough; a file's execute bit is read when it is opened.
    if entry.is_symlink():
        return stat.S_IFLNK
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    return stat.S_IFREG if entry.is_file(follow_symlinks=False) else 0


def _file(node: bytes, pending: bytearray) -> Iterator[bytes]:
    """Append a file to `pending`; a large one goes out in pieces of its own, without being copied."""
    descriptor = os.open(node, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        size = status.st_size
        pending += _REGULAR
        if status.st_mode & stat.S_IXUSR:
            pending += _EXECUTABLE
        pending += _CONTENTS + size.to_bytes(8, "little")
        if size > _SMALL:
            yield bytes(pending)
            pending.clear()
        left = size
        # One byte is asked for past the end, which tells a file that grew without a read of its own.
        while left >= 0 and (piece := os.read(descriptor, min(left + 1, _CHUNK))):
            left -= len(piece)
            if size > _SMALL:
                yield piece
            else:
                pending += piece
            if not left and len(piece) < _CHUNK:
                break
        if left:
            raise StoreError(f"{os.fsdecode(node)} changed while it was hashed")
        pending += bytes(-size % 8) + _CLOSE
    finally:
        os.close(descriptor)
