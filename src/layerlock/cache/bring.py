"""Bringing trees and files out of a cache into a store, where nothing is kept that is not what was asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from layerlock.cache.entry import BadEntry, file_key, tree_key
from layerlock.cache.frames import decompress, packed_limit
from layerlock.cache.keys import Trust
from layerlock.cache.place import Place, TooLarge
from layerlock.errors import HashMismatch, HostileOutput, LayerlockError, UnsafeArchive
from layerlock.io.atomic import write_all
from layerlock.io.decompress import Damaged
from layerlock.io.treewriter import Caps, TreeWriter
from layerlock.io.unnar import unpack_nar
from layerlock.model.derivation import Realisation
from layerlock.model.ports import TreeEntry

BAD: Final = (Damaged, TooLarge, BadEntry, HashMismatch, HostileOutput, UnsafeArchive)
"""What is raised for an object that is not what it should be. It is a miss; faults of the store are not among them."""


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
    def add_tree(self, path: Path, name: str, expected: str = "", *, many: bool = False) -> TreeEntry: ...
    def scratch(self, name: str) -> AbstractContextManager[Path]: ...
    def alone(self, key: str, waiting: Callable[[], None]) -> AbstractContextManager[None]: ...
    def register(self, realisation: Realisation, *, many: bool = False) -> None: ...
    def settle(self) -> None: ...


def bring_tree(place: Place, output: str, size: int, name: str, store: OutputStore) -> TreeEntry | None:
    """Bring the tree with this NAR hash (SRI), whose NAR has at most `size` bytes; None where there is none.

    The tree is hashed as it stands in the store's scratch, before it becomes an entry of the store.

    Raises:
        One of `BAD`: it is something else.
        Unreachable: the cache does not answer.
    """
    with store.scratch(name) as folder:
        packed = place.bring(tree_key(output), folder / "packed", packed_limit(size))
        if packed is None:
            return None
        tree = folder / "tree"
        tree.mkdir()
        # Rooted: the tree may be a root file system, whose links are absolute. The hash says which links there are.
        with TreeWriter(
            tree,
            archive=f"the tree of {name}",
            caps=Caps(bytes=size),
            mtime=1,
            rooted=True,
            unique=True,
            modes=(0o444, 0o555),
        ) as writer:
            unpack_nar(decompress(packed, size), writer)
            writer.finish()
        (folder / "packed").unlink(missing_ok=True)  # else it would be brought to the disk with the tree
        return store.add_tree(tree, name, output, many=True)


def bring_file(place: Place, sha256: str, size: int, filename: str, store: OutputStore) -> Path | None:
    """Bring the file with this sha256 and of at most `size` bytes; None where there is none. Raises as above."""
    with store.scratch("cached") as folder:
        packed = place.bring(file_key(sha256), folder / "packed", packed_limit(size))
        if packed is None:
            return None

        def fill(dest: Path) -> None:
            with dest.open("wb", buffering=0) as file:
                for piece in decompress(packed, size):
                    write_all(file.fileno(), piece)

        return store.add_file(sha256, filename, fill, many=True)


def blob_problem(place: Place, key: str, expected: str, limit: int, folder: Path) -> str:
    """Say what is wrong with a tree or a file of a cache, without unpacking it; empty for nothing.

    `expected` is the hexadecimal sha256 of what it stands for; `folder` is a place for a download.

    Raises:
        Unreachable: the cache does not answer.
    """
    dest = folder / hashlib.sha256(key.encode()).hexdigest()
    try:
        packed = place.bring(key, dest, packed_limit(limit))
        if packed is None:
            return "it is missing"
        digest = hashlib.sha256()
        for piece in decompress(packed, limit):
            digest.update(piece)
    except BAD as error:
        return said(error)
    finally:
        dest.unlink(missing_ok=True)
    return "" if digest.hexdigest() == expected else f"its contents have the sha256 {digest.hexdigest()}"


def hashed(pieces: Iterator[bytes], expected: str, what: str) -> Iterator[bytes]:
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
