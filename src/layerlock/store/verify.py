"""Hashes every entry of a store again, and compares it with its name."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerlock.errors import LayerlockError
from layerlock.events import Noted
from layerlock.io.nar import nar_sha256
from layerlock.model.digest import unsri
from layerlock.store.layout import MTIME
from layerlock.store.records import read_realisation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerlock.events import Listener
    from layerlock.store.layout import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """One thing that is wrong: the entry's path, and what is the matter with it."""

    path: Path
    problem: str


def verify(layout: Layout, emit: Listener) -> tuple[Damage, ...]:
    """Check all files, trees and records; each entry is told to `emit` before it is read. Changes nothing."""
    found: list[Damage] = []
    for check, folder in ((_file, layout.files), (_tree, layout.trees)):
        for path in _entries(folder):
            emit(Noted(name=path.name, message=f"checking {path.relative_to(layout.root)}"))
            try:
                found.extend(Damage(path=path, problem=problem) for problem in check(path))
            except FileNotFoundError:
                continue  # collected meanwhile
            except (OSError, LayerlockError) as error:
                found.append(Damage(path=path, problem=f"it cannot be read: {error}"))
    for folder in (layout.realisations, layout.planned):
        for path in _entries(folder):
            try:
                read_realisation(path)
            except (OSError, LayerlockError) as error:
                found.append(Damage(path=path, problem=str(error)))
    return tuple(found)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _file(path: Path) -> Iterator[str]:
    with path.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != path.name[:64]:
        yield f"its sha256 is {actual}"


def _tree(path: Path) -> Iterator[str]:
    actual = unsri(nar_sha256(path))
    if actual != path.name[:64]:
        yield f"the sha256 of its NAR is {actual}"
    for folder, _, names in os.walk(path):
        for place in (folder, *(f"{folder}/{name}" for name in names)):
            status = os.lstat(place)
            mode = stat.S_IMODE(status.st_mode)
            if stat.S_ISLNK(status.st_mode):
                continue
            allowed = (0o555,) if stat.S_ISDIR(status.st_mode) else (0o444, 0o555)
            if mode not in allowed:
                yield f"{place} has mode {mode:o}"
            if int(status.st_mtime) != MTIME:
                yield f"{place} was modified"
