"""What one layer of the driver asks of another: protocols, by which siblings work together without imports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path  # noqa: TID251 -- only named here, never opened
from typing import Protocol


class TreeEntry(Protocol):
    """A tree that stands in a store: its NAR hash (SRI), its place, and its size in bytes."""

    @property
    def sri(self) -> str: ...
    @property
    def path(self) -> Path: ...
    @property
    def size(self) -> int: ...


class FileStore(Protocol):
    """A keep of files by content."""

    def file(self, sha256: str) -> Path | None:
        """Give the file with this hexadecimal sha256, if it is here."""
        ...

    def add_file(
        self,
        sha256: str,
        filename: str,
        fill: Callable[[Path], None],
        waiting: Callable[[], None] | None = None,
    ) -> Path:
        """Give the file, made by `fill` where it is missing; what `fill` leaves is verified before it stays.

        `waiting` is called now and then while another driver makes the same file.

        Raises:
            HashMismatch: `fill` made other bytes.
            StoreError: the store cannot be written.
        """
        ...


class TreeStore(Protocol):
    """A keep of trees by content."""

    def tree(self, sri: str) -> Path | None:
        """Give the tree with this NAR hash, if it is here."""
        ...

    def add_tree(self, path: Path, name: str) -> TreeEntry:
        """Take over a folder that stands in a scratch of this store."""
        ...

    def scratch(self, name: str) -> AbstractContextManager[Path]:
        """Lend an empty folder on the store's file system, removed at the end."""
        ...

    def alone(self, key: str, waiting: Callable[[], None]) -> AbstractContextManager[None]:
        """Do the work that `key` (a hexadecimal sha256) names while no other driver does it.

        `waiting` is called now and then while another driver is at it.
        """
        ...


class SourceStore(FileStore, TreeStore, Protocol):
    """A keep of files and trees: what sources are fetched into."""
