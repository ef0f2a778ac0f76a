"""Garbage collection: removes what no checkout, no running build and no caller needs."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.io.atomic import exclusive, remove_tree, try_exclusive
from layerlock.model.digest import unsri
from layerlock.store.contents import Contents, read_contents, tree_size
from layerlock.store.keep import Keep
from layerlock.store.roots import Root, read_roots
from layerlock.store.scratch import lock_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from layerlock.store.layout import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What one holder keeps: how many files and trees that are there, and their bytes. Holders may share them."""

    holder: str
    entries: int
    bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Freed:
    """What was removed, or would be: paths relative to the store, and the bytes of their files.

    `held` are the bytes that the store holds afterwards, `kept` says what keeps them.
    """

    entries: tuple[str, ...]
    bytes: int
    held: int
    kept: tuple[Kept, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Doomed:
    """Entries that go together, when they were last used (nanoseconds; 0: at once), and their bytes."""

    paths: tuple[Path, ...]
    used: int
    bytes: int


def collect(layout: Layout, keeps: Mapping[str, Keep], *, dry_run: bool, most: int | None) -> Freed:
    """Remove what is not kept; with `dry_run` only say so, with `most` only until the store is that small.

    `keeps` is what callers keep, by who they are; one without a name is not listed. The collector's lock is held
    alone, so that nothing is added or pinned meanwhile. Raises StoreError, before anything is removed, where a root
    cannot be read.
    """
    with exclusive(layout.collector):
        stale = list(_stale_pins(layout))
        roots = _live_roots(layout, frozenset(path for path, _ in stale))
        holders = dict(keeps)
        for root in roots:
            if root.stands:  # a process may have several pins
                holders[root.holder] = holders.get(root.holder, Keep()) | root.keep
        abandoned = [*_stale_scratches(layout)]
        try:
            contents = read_contents(layout)
            keep = reduce(Keep.__or__, holders.values(), Keep())
            doomed = [*_rubbish(layout, roots, abandoned), *_doomed(contents, keep)]
            held = contents.bytes + sum(each.bytes for each in doomed if each.used == 0)
            chosen = doomed if most is None else _oldest(doomed, held - most)
            if not dry_run:
                scratches = {path for path, _ in abandoned}
                for path in (path for each in chosen for path in each.paths):
                    if path in scratches:
                        _remove_scratch(path)
                    else:
                        _remove(layout, path)
                for path in scratches:
                    if not os.path.lexists(path):
                        _remove_scratch(path)  # of one that died early there is but the lock file
                for path, _ in stale:
                    path.with_suffix(".json").unlink(missing_ok=True)
                    path.unlink(missing_ok=True)
                _sweep_locks(layout)
        finally:
            for _, descriptor in (*abandoned, *stale):
                os.close(descriptor)
    freed = sum(each.bytes for each in chosen)
    return Freed(
        entries=tuple(sorted(str(path.relative_to(layout.root)) for each in chosen for path in each.paths)),
        bytes=freed,
        held=held - freed,
        kept=tuple(_kept(contents, holder, each) for holder, each in sorted(holders.items()) if holder),
    )


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


def _live_roots(layout: Layout, stale: frozenset[Path]) -> list[Root]:
    """All live pins, and the roots of all checkouts, gone ones too."""
    return [root for root in read_roots(layout) if root.path.with_suffix(".lock") not in stale]


def _rubbish(layout: Layout, roots: list[Root], abandoned: list[tuple[Path, int]]) -> Iterator[_Doomed]:
    """What nobody can ever use again: of checkouts that are gone, failed builds, what killed drivers left."""
    standing = {root.path.name for root in roots if root.stands}
    for path in (
        *(root.path for root in roots if not root.stands),
        *(path for path in sorted(layout.standing.iterdir()) if path.name not in standing),
        *sorted(layout.failed.iterdir()),
        *(path for path, _ in abandoned if os.path.lexists(path)),
    ):
        yield _Doomed(paths=(path,), used=0, bytes=tree_size(path))


def _doomed(contents: Contents, keep: Keep) -> Iterator[_Doomed]:
    """What is not kept: files; trees with the records of the builds that made them; records and logs of others."""
    built = {
        record.output
        for record in contents.records
        if not record.damaged and record.resolved in keep.realisations
    }
    trees = {unsri(text) for text in keep.trees | built}
    planned = {record.planned for record in contents.records if record.resolved in keep.realisations}
    going = {digest for digest in contents.trees if digest not in trees}
    with_tree: dict[str, list[Path]] = {}
    for record in contents.records:
        if record.resolved in keep.realisations and not record.damaged:
            continue
        digest = unsri(record.output) if record.output else ""
        if digest in going:
            with_tree.setdefault(digest, []).append(record.path)
        else:
            yield _Doomed(
                paths=(record.path,), used=contents.used(record.path), bytes=contents.size(record.path)
            )
    for log in contents.logs:
        if log.stem not in planned:
            yield _Doomed(paths=(log,), used=contents.used(log), bytes=contents.size(log))
    for digest in sorted(going):
        path = contents.trees[digest]
        paths = (path, *with_tree.get(digest, ()))
        yield _Doomed(paths=paths, used=contents.used(path), bytes=sum(map(contents.size, paths)))
    for digest, path in contents.files.items():
        if digest not in keep.files:
            yield _Doomed(paths=(path,), used=contents.used(path), bytes=contents.size(path))


def _oldest(doomed: list[_Doomed], excess: int) -> list[_Doomed]:
    """Choose what was used longest ago, until enough bytes are chosen."""
    chosen: list[_Doomed] = []
    for each in sorted(doomed, key=lambda each: (each.used, each.paths)):
        if excess <= 0:
            break
        chosen.append(each)
        excess -= each.bytes
    return chosen


def _kept(contents: Contents, holder: str, keep: Keep) -> Kept:
    trees = {unsri(text) for text in keep.trees}
    trees |= {unsri(r.output) for r in contents.records if r.output and r.resolved in keep.realisations}
    paths = [contents.files[digest] for digest in keep.files if digest in contents.files]
    paths += [contents.trees[digest] for digest in trees if digest in contents.trees]
    return Kept(holder=holder, entries=len(paths), bytes=sum(map(contents.size, paths)))


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
