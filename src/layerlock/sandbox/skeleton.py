"""The plan of a root with mount points that an environment's own tree lacks, without writing to that tree.

The sandbox's `/` is a small memory file system. Each entry of the environment's top folder is bound
read-only into it or, if a link, made again; only on the way to a mount point that the tree lacks is a
folder made anew and its entries bound one by one. An overlay would be shorter, but needs newer kernels to
work for ordinary users.
"""

from __future__ import annotations

import itertools
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

# Made by the sandbox itself; /sys is left out altogether.
RESERVED = ("/build", "/dev", "/out", "/proc", "/sys", "/tmp")  # noqa: S108 - inside the sandbox
# Files of the kernel that a check of reproducibility may cover with others.
COVERED = ("/proc/cpuinfo", "/proc/stat", "/proc/sys/kernel/osrelease", "/proc/version")
_MAX_LINKS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One entry of the root: a new folder, a link to the text `source`, or a read-only bind of `source`."""

    kind: Literal["folder", "link", "bind"]
    path: str
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skeleton:
    """The steps that make a root, parents first, and where each mount target and file really lies."""

    steps: tuple[Step, ...]
    targets: dict[str, str]


@dataclass(slots=True)
class _Node:
    below: dict[str, _Node] = field(default_factory=dict)
    fresh: bool = False  # a mount point that the tree lacks, or that must not show through


def skeleton(root: Path, targets: Iterable[tuple[str, bool]], files: Iterable[str]) -> Skeleton:
    """Plan the root for mount targets (path, whether a folder) and for files that are written into it.

    Raises:
        ValueError: a target is not absolute and plain, nests in another one, or lies below a file of the
            root.
    """
    wanted = sorted(targets)
    _check([path for path, _ in wanted])
    top = _Node()
    for path in RESERVED:
        _mark(top, path)
    real: dict[str, str] = {}
    for path in files:
        real[path] = _resolved(root, path)
        _mark(top, real[path])
    for path, folder in wanted:
        real[path] = _resolved(root, path)
        if real[path] not in RESERVED and not _exists(root, real[path], folder):
            _mark(top, real[path])
    _check(sorted(real.values()))
    return Skeleton(steps=tuple(_steps(root, "", top)), targets=real)


def _check(paths: list[str]) -> None:
    for path in paths:
        if (
            not path.startswith("/")
            or path == "/"
            or str(PurePosixPath(path)) != path
            or ".." in path.split("/")
        ):
            raise ValueError(f"a mount target must be a plain absolute path, not {path!r}")
    for first, second in itertools.pairwise(paths):
        if first == second or second.startswith(first + "/"):
            raise ValueError(f"the mount targets {first} and {second} nest")
    for path in paths:
        if path not in COVERED and any(path.startswith(reserved + "/") for reserved in RESERVED):
            raise ValueError(f"the mount target {path} lies in a place that the sandbox makes")


def _mark(node: _Node, path: str) -> None:
    for part in path.strip("/").split("/"):
        node = node.below.setdefault(part, _Node())
    node.fresh = True


def _exists(root: Path, path: str, folder: bool) -> bool:
    found = root / path.lstrip("/")
    return (found.is_dir() if folder else found.is_file()) and not found.is_symlink()


def _resolved(root: Path, path: str) -> str:
    """Follow links among the parents of `path` as seen from inside the root (`/lib/x` -> `/usr/lib/x`)."""
    todo = path.strip("/").split("/")
    done: list[str] = []
    links = 0
    while len(todo) > 1:
        part = todo.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        here = root.joinpath(*done, part)
        if here.is_symlink():
            links += 1
            if links > _MAX_LINKS:
                raise ValueError(f"{path} passes too many links in {root}")
            text = str(here.readlink())
            if text.startswith("/"):
                done = []
            todo = [*text.strip("/").split("/"), *todo]
        else:
            done.append(part)
    return "/" + "/".join([*done, *todo])


def _steps(root: Path, path: str, node: _Node) -> Iterable[Step]:
    here = root / path.lstrip("/")
    if here.exists() and not here.is_dir():
        raise ValueError(f"{path} is a file in {root}, but a mount target lies below it")
    present = {entry.name: entry for entry in here.iterdir()} if here.is_dir() else {}
    for name in sorted(present.keys() | node.below.keys()):
        inner, below = f"{path}/{name}", node.below.get(name)
        if below is None:
            yield from _shown(present[name], inner)
        elif not below.fresh:
            yield Step(kind="folder", path=inner)
            yield from _steps(root, inner, below)


def _shown(entry: Path, path: str) -> Iterable[Step]:
    mode = entry.lstat().st_mode
    if stat.S_ISLNK(mode):
        yield Step(kind="link", path=path, source=str(entry.readlink()))
    elif stat.S_ISDIR(mode) or stat.S_ISREG(mode):
        yield Step(kind="bind", path=path, source=str(entry))
