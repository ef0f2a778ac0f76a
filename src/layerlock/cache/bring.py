"""Bringing trees and files out of a cache into a store, where nothing is kept that is not what was asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from layerlock.cache.entry import BadEntry, file_key, tree_key
from layerlock.cache.frames import FRAME, decompress, packed_limit
from layerlock.cache.keys import Trust
from layerlock.cache.place import Place, TooLarge
from layerlock.errors import HashMismatch, HostileOutput, LayerlockError, UnsafeArchive
from layerlock.io.atomic import remove_tree, write_all
from layerlock.io.decompress import Damaged
from layerlock.io.nar import NarDigest, nar_chunks
from layerlock.io.treewriter import Caps
from layerlock.io.unnar import unpack_nar
from layerlock.model.derivation import Realisation
from layerlock.model.digest import unsri
from layerlock.model.ports import TreeEntry

BAD: Final = (Damaged, TooLarge, BadEntry, HashMismatch, HostileOutput, UnsafeArchive)
"""What is raised for an object that is not what it should be. It is a miss; faults of the store are not among them."""

_MTIME: Final = 1
"""The one time of everything in a store, in seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cache:
    """A cache by name, where it is, and whose signatures count in it."""

    name: str
    place: Place
    trust: Trust


class OutputStore(Protocol):
    """What is asked of the store that things are brought into."""

    def file(self, sha256: str) -> Path | None: ...
    def add_file(
        self,
        sha256: str,
        filename: str,
        fill: Callable[[Path], None],
        waiting: Callable[[], None] | None = None,
        *,
        many: bool = False,
    ) -> Path: ...
    def tree(self, sri: str) -> Path | None: ...
    def add_tree(
        self,
        path: Path,
        name: str,
        expected: str = "",
        *,
        unpacked: NarDigest | None = None,
        many: bool = False,
    ) -> TreeEntry: ...
    def scratch(self, name: str) -> AbstractContextManager[Path]: ...
    def alone(self, key: str, waiting: Callable[[], None]) -> AbstractContextManager[None]: ...
    def register(self, realisation: Realisation, *, many: bool = False) -> None: ...
    def filling(self) -> AbstractContextManager[None]: ...
    def settle(self) -> None: ...


def bring_tree(place: Place, output: str, size: int, name: str, store: OutputStore) -> TreeEntry | None:
    """Bring the tree with this NAR hash (SRI), whose NAR has at most `size` bytes; None where there is none.

    Its NAR is hashed while it is unpacked, before the tree becomes an entry of the store: one tree has one NAR.

    Raises:
        One of `BAD`: it is something else.
        Unreachable: the cache does not answer.
    """
    with store.scratch(name) as folder:
        packed = place.open(tree_key(output), folder, packed_limit(size))
        if packed is None:
            return None
        tree = folder / "tree"
        tree.mkdir()
        pieces = decompress(packed, size)
        nar = unpack_nar(pieces, tree, what=f"the tree of {name}", caps=Caps(bytes=size), mtime=_MTIME)
        (folder / "packed").unlink(missing_ok=True)  # else it would be brought to the disk with the tree
        return store.add_tree(tree, name, output, unpacked=nar, many=True)


def bring_file(place: Place, sha256: str, size: int, filename: str, store: OutputStore) -> Path | None:
    """Bring the file with this sha256 and of at most `size` bytes; None where there is none. Raises as above."""
    with store.scratch("cached") as folder:
        packed = place.open(file_key(sha256), folder, packed_limit(size))
        if packed is None:
            return None

        def fill(dest: Path) -> None:
            with dest.open("wb", buffering=0) as file:
                for piece in decompress(packed, size):
                    write_all(file.fileno(), piece)
            (folder / "packed").unlink(missing_ok=True)

        return store.add_file(sha256, filename, fill, many=True)


def blob_problem(place: Place, key: str, expected: str, limit: int, folder: Path) -> str:
    """Say what is wrong with a tree or a file of a cache, without unpacking it; empty for nothing.

    `expected` is the hexadecimal sha256 of what it stands for; `folder` is a place for a download.

    Raises:
        Unreachable: the cache does not answer.
    """
    dest = folder / hashlib.sha256(key.encode()).hexdigest()
    dest.mkdir()
    try:
        packed = place.open(key, dest, packed_limit(limit))
        if packed is None:
            return "it is missing"
        digest = hashlib.sha256()
        for piece in decompress(packed, limit):
            digest.update(piece)
    except BAD as error:
        return said(error)
    finally:
        remove_tree(dest)
    return "" if digest.hexdigest() == expected else f"its contents have the sha256 {digest.hexdigest()}"


def tree_pieces(path: Path, output: str, what: str) -> Iterator[bytes | memoryview]:
    """Yield the NAR of a stored tree in frames, and raise HashMismatch at its end where it is not the one meant.

    It is hashed on the way: what a disk has spoiled must not take the place of what is right, for everybody.
    """
    return hashed(nar_chunks(path, FRAME), unsri(output), what)


def file_pieces(path: Path, sha256: str, what: str) -> Iterator[bytes | memoryview]:
    """Yield a stored file likewise."""

    def read() -> Iterator[bytes]:
        with path.open("rb", buffering=0) as file:
            while piece := file.read(FRAME):
                yield piece

    return hashed(read(), sha256, what)


def hashed(pieces: Iterator[bytes | memoryview], expected: str, what: str) -> Iterator[bytes | memoryview]:
    """Pass pieces on, and raise HashMismatch at their end where they are not what was meant."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
        yield piece
    if digest.hexdigest() != expected:
        raise HashMismatch(
            f"{what} is damaged in the store", hint="mend the store: layerlock verify --repair"
        )


def said(error: Exception) -> str:
    """Put an error into a clause."""
    return error.message if isinstance(error, LayerlockError) else str(error)
