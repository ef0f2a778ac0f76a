"""Hashes every entry of a store again, compares it with its name, and takes out what is bad."""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from layerlock.errors import LayerlockError
from layerlock.events import Noted
from layerlock.io.atomic import exclusive, remove_tree
from layerlock.io.filehash import file_sha256
from layerlock.io.nar import nar_sha256
from layerlock.model.digest import unsri
from layerlock.store.layout import MTIME
from layerlock.store.normalise import normalise
from layerlock.store.records import read_realisation
from layerlock.store.roots import read_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from layerlock.events import Listener
    from layerlock.store.layout import Layout

Kind = Literal["file", "tree", "realisation", "planned", "root"]
_TIMES: Final = (MTIME * 10**9, MTIME * 10**9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Damage:
    """One thing that is wrong: the entry's path and kind, and what is the matter with it.

    `outward` says that the entry's contents are right and only modes or times are not.
    """

    path: Path
    kind: Kind
    problem: str
    outward: bool = False


def verify(layout: Layout, emit: Listener) -> tuple[Damage, ...]:
    """Check all files, trees, records and roots; each entry is told to `emit` before it is read. Changes nothing."""
    found: list[Damage] = []
    checks: tuple[tuple[Kind, Path], ...] = (
        ("file", layout.files),
        ("tree", layout.trees),
        ("realisation", layout.realisations),
        ("planned", layout.planned),
        ("root", layout.roots),
    )
    for kind, folder in checks:
        for path in _entries(folder):
            if kind in ("file", "tree"):
                emit(Noted(name=path.name, message=f"checking {path.relative_to(layout.root)}"))
            try:
                found.extend(_check(kind, path, layout))
            except FileNotFoundError:
                continue  # collected meanwhile
            except LayerlockError as error:
                found.append(Damage(path=path, kind=kind, problem=error.message))
            except OSError as error:
                found.append(Damage(path=path, kind=kind, problem=f"it cannot be read: {error}"))
    return tuple(found)


def mend(layout: Layout, damage: Damage) -> bool:
    """Take a damaged entry out of the store; where only modes and times are wrong, put those right.

    Gives whether the entry is still there. Raises OSError.
    """
    path = damage.path
    with exclusive(layout.collector):
        if damage.outward and damage.kind == "tree":
            normalise(path, MTIME)
            return True
        if damage.outward:
            path.chmod(0o444)
            os.utime(path, ns=_TIMES)
            return True
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            return False
        # Out of sight first, so that nobody ever meets half of it.
        path.chmod(0o755)
        hidden = layout.tmp / f"damaged-{secrets.token_hex(6)}"
        path.rename(hidden)
    remove_tree(hidden)
    return False


def touched(tree: Path) -> Iterator[str]:
    """Say what in a stored tree does not have the modes and the time of everything in a store."""
    for folder, _, names in os.walk(tree):
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


def _check(kind: Kind, path: Path, layout: Layout) -> Iterator[Damage]:
    match kind:
        case "file":
            actual = file_sha256(path)
            if actual != path.name[:64] or not stat.S_ISREG(path.lstat().st_mode):
                yield Damage(path=path, kind=kind, problem=f"its sha256 is {actual}")
                return
            for problem in touched_file(path):
                yield Damage(path=path, kind=kind, problem=problem, outward=True)
        case "tree":
            actual = unsri(nar_sha256(path))
            outward = actual == path.name[:64]
            if not outward:
                yield Damage(path=path, kind=kind, problem=f"the sha256 of its NAR is {actual}")
            # The top folder of a tree whose adder was killed is open still; the next look-up closes it.
            still_open = outward and stat.S_IMODE(path.lstat().st_mode) == 0o755
            for problem in touched(path):
                if not (still_open and problem.startswith((f"{path} has", f"{path} was"))):
                    yield Damage(path=path, kind=kind, problem=problem, outward=outward)
        case "realisation" | "planned":
            found = read_realisation(path)
            if found is not None and path.stem != (
                found.resolved if kind == "realisation" else found.planned
            ):
                yield Damage(path=path, kind=kind, problem=f"{path} is damaged: it tells of another build")
        case "root":
            if path.suffix == ".json":
                read_root(layout, path, path.read_bytes())


def touched_file(path: Path) -> Iterator[str]:
    """Say what of a stored file's mode and time is not as it was stored."""
    status = path.lstat()
    if stat.S_IMODE(status.st_mode) != 0o444:
        yield f"{path} has mode {stat.S_IMODE(status.st_mode):o}"
    if int(status.st_mtime) != MTIME:
        yield f"{path} was modified"


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
