"""Garbage collection: removes what no checkout, no running build and no caller needs."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.errors import StoreError
from layerlock.io.atomic import exclusive, remove_tree, try_exclusive
from layerlock.model.digest import unsri
from layerlock.store.keep import Keep, decode
from layerlock.store.records import read_realisation
from layerlock.store.scratch import lock_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from layerlock.store.layout import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Freed:
    """What was removed, or would be: paths relative to the store, and the bytes of their files."""

    entries: tuple[str, ...]
    bytes: int


def collect(layout: Layout, keep: Keep, *, dry_run: bool) -> Freed:
    """Remove what is not kept; with `dry_run` only say so.

    The collector's lock is held alone, so that nothing is added or pinned meanwhile. Raises StoreError,
    before anything is removed, where a root cannot be read.
    """
    with exclusive(layout.collector):
        stale = list(_stale_pins(layout))
        keep = keep | _roots(layout, frozenset(path for path, _ in stale))
        doomed = [*_doomed_roots(layout), *_doomed(layout, keep)]
        abandoned = [*_stale_scratches(layout)]
        try:
            size = sum(_size(path) for path in (*doomed, *(path for path, _ in abandoned)))
            names = sorted(str(path.relative_to(layout.root)) for path in doomed)
            names += [str(path.relative_to(layout.root)) for path, _ in abandoned if os.path.lexists(path)]
            if not dry_run:
                for path in doomed:
                    _remove(layout, path)
                for path, _ in abandoned:
                    _remove_scratch(path)
                for path, _ in stale:
                    path.with_suffix(".json").unlink(missing_ok=True)
                    path.unlink(missing_ok=True)
                _sweep_locks(layout)
        finally:
            for _, descriptor in (*abandoned, *stale):
                os.close(descriptor)
    return Freed(entries=tuple(names), bytes=size)


def sweep(layout: Layout) -> None:
    """Remove temporary directories that a driver left when it was killed; nothing else is touched."""
    with exclusive(layout.collector):
        abandoned = [*_stale_scratches(layout)]
    try:
        for path, _ in abandoned:
            _remove_scratch(path)
    finally:
        for _, descriptor in abandoned:
            os.close(descriptor)


def _remove_scratch(path: Path) -> None:
    remove_tree(path)
    lock_of(path).unlink(missing_ok=True)


def _stale_pins(layout: Layout) -> Iterator[tuple[Path, int]]:
    """Lock files of pins whose process is gone, with the lock now held here."""
    for lock in sorted({path.with_suffix(".lock") for path in layout.roots.glob("pin-*")}):
        descriptor = try_exclusive(lock)
        if descriptor is not None:
            yield lock, descriptor


def _roots(layout: Layout, stale: frozenset[Path]) -> Keep:
    """The union of all live pins and of all checkouts that still exist."""
    keep = Keep()
    for path in layout.roots.glob("*.json"):
        if path.with_suffix(".lock") in stale:
            continue
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # a pin whose build has just ended
        kept, about = decode(data, str(path))
        checkout = about.get("checkout")
        if checkout is None or Path(checkout).is_dir():
            keep |= kept
    return keep


def _doomed_roots(layout: Layout) -> Iterator[Path]:
    for path in sorted(layout.roots.glob("checkout-*.json")):
        _, about = decode(path.read_bytes(), str(path))
        if not Path(about.get("checkout", "")).is_dir():
            yield path


def _doomed(layout: Layout, keep: Keep) -> Iterator[Path]:
    trees = {unsri(text) for text in keep.trees}
    planned = set()
    for path in sorted(layout.realisations.glob("*.json")):
        if path.stem not in keep.realisations:
            yield path
            continue
        try:
            found = read_realisation(path)
        except StoreError:
            yield path  # damaged: it tells of nothing that could be kept
            continue
        if found is not None:
            trees.add(unsri(found.output))
            planned.add(found.planned)
    for folder, kept in ((layout.files, keep.files), (layout.trees, trees)):
        yield from (path for path in sorted(folder.iterdir()) if path.name[:64] not in kept)
    yield from sorted(layout.failed.iterdir())
    for folder in (layout.planned, layout.logs):
        yield from (path for path in sorted(folder.iterdir()) if path.name[:64] not in planned)


def _stale_scratches(layout: Layout) -> Iterator[tuple[Path, int]]:
    """Temporary directories that nobody holds, with their lock now held here."""
    for path in sorted(layout.tmp.iterdir()):
        orphan = path.name.startswith(".") and path.name.endswith(".lock")
        directory = path.with_name(path.name[1 : -len(".lock")]) if orphan else path
        if orphan and directory.exists():
            continue  # comes by itself
        descriptor = try_exclusive(lock_of(directory))
        if descriptor is not None:
            yield directory, descriptor


def _remove(layout: Layout, path: Path) -> None:
    """Remove one entry: first out of sight by a rename, so that nobody ever meets half of it."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    path.chmod(0o755)
    hidden = layout.tmp / f"collected-{secrets.token_hex(6)}"
    path.rename(hidden)
    remove_tree(hidden)


def _sweep_locks(layout: Layout) -> None:
    for path in layout.locks.iterdir():
        if path == layout.collector:
            continue
        descriptor = try_exclusive(path)
        if descriptor is not None:
            # Whoever opened it before this waits, then sees that the name is gone, and makes a new one.
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _size(path: Path) -> int:
    if not os.path.lexists(path):
        return 0
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(os.lstat(f"{folder}/{name}").st_size for folder, _, names in os.walk(path) for name in names)
