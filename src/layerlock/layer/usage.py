"""What a layer's files are, and which of them its smoke tests used, from a listing and the lines of a trace."""

from __future__ import annotations

import os
import posixpath
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

_OPT: Final = "/opt/"
_BYTECODE: Final = re.compile(r"(.*/)?__pycache__/([^/]+)\.cpython-\d+\.pyc")
_OBJECT: Final = re.compile(r"(.+?)(?:\.(?:cpython-\d+[a-z]*-[\w-]+|abi3))?\.so(?:\.[\w.]+)?")
_ENTRY: Final = 46 + 30
"""Bytes of a zip besides a file's contents and, twice, its name: local and central header (PKWARE's APPNOTE)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerFile:
    """A file or link of a layer: bytes unpacked and in the zip, and what goes where it goes.

    `also` are its bytecode and the links that lead to it; their bytes are counted here.
    """

    path: str
    size: int
    packed: int
    also: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """An import statement that ran: the module that it names, and where it stands, as the runtime sees it."""

    module: str
    file: str
    line: int

    @property
    def top(self) -> str:
        """The package that the module is of."""
        return self.module.partition(".")[0]


@dataclass(frozen=True, kw_only=True)
class Holding:
    """A layer's tree: its files by path, the folders that modules are found in, and the links in it."""

    files: Mapping[str, LayerFile]
    sites: tuple[str, ...]
    links: Mapping[str, str] = field(repr=False)
    bytecode: Mapping[str, str] = field(repr=False)

    def site(self, path: str) -> str:
        """Give the innermost folder of modules that a path lies in; empty for none."""
        return next((site for site in self._inner if path.startswith(f"{site}/")), "")

    def top(self, path: str) -> str:
        """Give the entry of a folder of modules that a path is of, or lies in; empty for none."""
        site = self.site(path)
        return f"{site}/{path[len(site) + 1 :].partition('/')[0]}" if site else ""

    @cached_property
    def _inner(self) -> tuple[str, ...]:
        return tuple(sorted(self.sites, key=len, reverse=True))

    @cached_property
    def tops(self) -> Mapping[str, tuple[str, ...]]:
        """The files of each entry of the folders of modules."""
        found: dict[str, list[str]] = {}
        for path in self.files:
            if top := self.top(path):
                found.setdefault(top, []).append(path)
        return {top: tuple(paths) for top, paths in found.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """What a traced run used: files that were opened or loaded, those of them that were mapped, and imports.

    `called` names what was called of packages in whose place empty ones stood.
    """

    files: frozenset[str]
    mapped: frozenset[str]
    statements: tuple[Statement, ...]
    called: tuple[str, ...]


def read_holding(tree: Path, archive: Path, modules: Iterable[str]) -> Holding:
    """List a layer's tree, with the bytes that each file takes in its zip; `modules` are the runtime's search path."""
    sizes: dict[str, int] = {}
    links: dict[str, str] = {}
    for folder, folders, names in os.walk(tree):
        inside = os.path.relpath(folder, tree)
        for place in (Path(folder, name) for name in (*names, *folders)):
            path = place.name if inside == "." else f"{inside}/{place.name}"
            if place.is_symlink():
                links[path] = str(place.readlink())
                sizes[path] = 0
            elif place.name in names:
                sizes[path] = place.stat().st_size
    with zipfile.ZipFile(archive) as packed:
        weights = {
            info.filename: info.compress_size + _ENTRY + 2 * len(info.filename.encode())
            for info in packed.infolist()
        }
    bytecode = {path: source for path in sizes if (source := _source(path)) in sizes}
    led = {path: resolve(path, links) for path in links}
    follows: dict[str, list[str]] = {}
    for path, source in (*bytecode.items(), *((link, end) for link, end in led.items() if end in sizes)):
        follows.setdefault(source, []).append(path)
    behind = {path for paths in follows.values() for path in paths}
    files = {
        path: LayerFile(
            path=path,
            size=sum(sizes[each] for each in (path, *follows.get(path, ()))),
            packed=sum(weights.get(each, 0) for each in (path, *follows.get(path, ()))),
            also=tuple(sorted(follows.get(path, ()))),
        )
        for path in sorted(sizes)
        if path not in behind
    }
    sites = tuple(place.removeprefix(_OPT) for place in modules if place.startswith(_OPT))
    return Holding(files=files, sites=sites, links=links, bytecode=bytecode)


def read_trace(lines: Iterable[str], holding: Holding) -> Used:
    """Read the lines of `guest/trial_start.py`; paths that are not of the layer are left out."""
    files: set[str] = set()
    mapped: set[str] = set()
    statements: set[tuple[str, str, int]] = set()
    called: set[str] = set()
    for line in lines:
        kind, _, rest = line.partition("\t")
        match kind, rest.split("\t"):
            case "open" | "map", [path]:
                inside = resolve(posixpath.normpath(path).removeprefix(_OPT), holding.links)
                inside = holding.bytecode.get(inside, inside)
                if inside in holding.files:
                    files.add(inside)
                    if kind == "map":
                        mapped.add(inside)
            case "import", [name, file, number] if number.isdigit():
                statements.add((name, file, int(number)))
            case "call", [what]:
                called.add(what)
    found = (Statement(module=name, file=file, line=line) for name, file, line in sorted(statements))
    return Used(
        files=frozenset(files),
        mapped=frozenset(mapped),
        statements=tuple(found),
        called=tuple(sorted(called)),
    )


def resolve(path: str, links: Mapping[str, str]) -> str:
    """Follow the links of a tree, those of folders on the way included; a path that leaves the tree stays as it is."""
    for _ in range(40):
        parts = path.split("/")
        prefix = next((p for p in _prefixes(parts) if p in links), None)
        if prefix is None:
            return path
        target = posixpath.join(posixpath.dirname(prefix), links[prefix])
        path = posixpath.normpath(posixpath.join(target, path[len(prefix) :].lstrip("/")))
    return path


def object_stem(path: str) -> str | None:
    """Give the name of a module or library without tags and versions (`cpython-39-...`); None for other files."""
    found = _OBJECT.fullmatch(posixpath.basename(path))
    return found[1] if found is not None else None


def _source(path: str) -> str:
    found = _BYTECODE.fullmatch(path)
    return f"{found[1] or ''}{found[2]}.py" if found is not None else ""


def _prefixes(parts: Sequence[str]) -> Iterable[str]:
    return ("/".join(parts[: end + 1]) for end in range(len(parts)))
