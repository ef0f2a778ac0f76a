"""What a store holds at a moment, with sizes and times of last use: what a collection decides upon."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from layerlock.errors import StoreError
from layerlock.store.layout import Layout
from layerlock.store.records import read_realisation


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """A record of a build: its place, hashes and output; a damaged one tells only its place, as `resolved`."""

    path: Path
    planned: str
    resolved: str
    output: str
    damaged: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """Files and trees by hash, records and logs, and the bytes of each path's files."""

    files: dict[str, Path]
    trees: dict[str, Path]
    records: tuple[Record, ...]
    logs: tuple[Path, ...]
    sizes: dict[Path, int]

    @property
    def bytes(self) -> int:
        """The bytes of everything."""
        return sum(self.sizes.values())

    def size(self, path: Path) -> int:
        """The bytes of an entry."""
        return self.sizes[path]

    def used(self, path: Path) -> int:
        """When an entry was last used, in nanoseconds: files and trees when they were last found, by their ctime."""
        return max(1, path.lstat().st_ctime_ns)


def read_contents(layout: Layout) -> Contents:
    """Read a store; the caller holds the collector's lock, so that nothing comes or goes meanwhile."""
    files = sorted(layout.files.iterdir())
    trees = sorted(layout.trees.iterdir())
    logs = tuple(sorted(layout.logs.iterdir()))
    records = [_record(path) for path in sorted(layout.realisations.glob("*.json"))]
    records += [_record(path) for path in sorted(layout.planned.glob("*.json"))]
    paths = (*files, *trees, *logs, *(record.path for record in records))
    return Contents(
        files={path.name[:64]: path for path in files},
        trees={path.name[:64]: path for path in trees},
        records=tuple(records),
        logs=logs,
        sizes={path: tree_size(path) for path in paths},
    )


def _record(path: Path) -> Record:
    try:
        found = read_realisation(path)
    except StoreError:
        found = None
    if found is None:
        return Record(path=path, planned=path.stem, resolved=path.stem, output="", damaged=True)
    return Record(
        path=path, planned=found.planned, resolved=found.resolved, output=found.output, damaged=False
    )


def tree_size(path: Path) -> int:
    """Count the bytes of a file, or of all files of a tree."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(os.lstat(f"{folder}/{name}").st_size for folder, _, names in os.walk(path) for name in names)
