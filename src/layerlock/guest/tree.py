"""Listing a tree the same way everywhere: names relative to its root, in the order of their bytes."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """One name in a tree. `kind` is "file", "link", "directory" or "other"; `size` is that of a file, in
    bytes.
    """

    name: str
    kind: str
    size: int
    executable: bool
    target: str = ""


def scan(root: Path) -> list[Entry]:
    """Every entry below `root`, directories included, sorted by the bytes of their names; links are not
    followed.
    """
    return sorted(_walk(str(root), ""), key=lambda entry: os.fsencode(entry.name))


def files(root: Path) -> list[Entry]:
    """The regular files among `scan(root)`."""
    return [entry for entry in scan(root) if entry.kind == "file"]


def total(root: Path) -> int:
    """Bytes of all regular files: what counts against Lambda's unzipped limit."""
    return sum(entry.size for entry in files(root))


def _walk(root: str, prefix: str) -> Iterator[Entry]:
    with os.scandir(os.path.join(root, prefix)) as found:
        for item in found:
            name = prefix + item.name
            status = item.stat(follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                yield Entry(name, "link", 0, False, os.readlink(item.path))
            elif stat.S_ISDIR(status.st_mode):
                yield Entry(name, "directory", 0, False)
                yield from _walk(root, name + "/")
            elif stat.S_ISREG(status.st_mode):
                yield Entry(name, "file", status.st_size, bool(status.st_mode & stat.S_IXUSR))
            else:
                yield Entry(name, "other", 0, False)
