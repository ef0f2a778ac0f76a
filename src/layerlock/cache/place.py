"""What the kinds of caches have in common: objects by key, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from layerlock.errors import FetchError


class Unreachable(FetchError):
    """A cache does not answer, or refuses, or breaks off: nothing is known of the object. No build ends with it."""


class TooLarge(Exception):
    """An object is larger than it may be; the text says by how much."""


class Packed(Protocol):
    """An object that is read in parts, by several threads at once."""

    @property
    def size(self) -> int: ...

    def read(self, start: int, end: int) -> bytes | memoryview:
        """Give the bytes from `start` to before `end`. Raises Unreachable; fewer come of a file that was cut."""
        ...


class PackedFile:
    """An object that is a file of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size = path.stat().st_size

    def read(self, start: int, end: int) -> bytes:
        """Give the bytes from `start` to before `end`."""
        try:
            with self._path.open("rb", buffering=0) as file:
                return os.pread(file.fileno(), end - start, start)
        except OSError as error:
            raise Unreachable(f"{self._path} cannot be read: {error.strerror or error}") from error


class Place(Protocol):
    """Where a cache keeps its objects. Safe for several threads.

    Every method raises Unreachable. `address` is for people, and holds no credentials.
    """

    @property
    def address(self) -> str: ...

    @property
    def remote(self) -> bool:
        """Whether it takes a network to reach it."""
        ...

    def read(self, key: str, limit: int) -> bytes | None:
        """Give a small object; None where there is none. Raises TooLarge."""
        ...

    def open(self, key: str, folder: Path, limit: int) -> Packed | None:
        """Give an object to be read in parts, each resumed where it was cut; None where there is none.

        A place that has no parts to give brings it whole into `folder` first. Raises TooLarge past `limit` bytes.
        """
        ...

    def write(self, key: str, pieces: Iterator[bytes]) -> int:
        """Write an object, which others see when all of it is there; give its bytes.

        Pieces are taken as fast as they are sent, and few are held.
        """
        ...

    def present(self, keys: Collection[str]) -> frozenset[str]:
        """Say which of some keys are there, in few requests where there are many."""
        ...

    def listing(self) -> Iterator[str]:
        """List everything."""
        ...
