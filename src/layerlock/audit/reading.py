"""One pass over a layer's zip or tree: what each file is, what objects state, and what should not stand in it.

Nothing is extracted, executed or followed out of the layer, whoever made it. Checks are pure over what is found here.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from layerlock.audit.bytecode import Bytecode, fits, read_bytecode, source_of
from layerlock.audit.elf import DamagedElf, Elf, is_elf, read_elf
from layerlock.audit.traces import Trace, find_traces
from layerlock.errors import UnsafeArchive
from layerlock.io.entries import Caps, Entry, Holding, open_holding

CAPS: Final = Caps(entries=200_000, bytes=1 << 30)
"""Four times what Lambda lets a function and all its layers have: what is larger is no layer."""
_LARGEST: Final = 300 << 20
"""Bytes of one file that are looked into: they are held in memory."""
_LINKS: Final = 40
"""Links that are followed one after the other: what Linux follows."""
_STEPS: Final = 256
"""Names on the way of one link that are looked up: a hostile zip may have many links, all of them long."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compiled:
    """Bytecode in a layer: its header, the module that it should belong to, and whether it does.

    `fits` is None where there is no such module.
    """

    header: Bytecode
    source: str
    tag: str
    fits: bool | None


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What a layer holds.

    Args:
        name: of the zip or tree.
        entries: by path.
        oddities: what is wrong with a zip as such.
        sha256: of the zip, empty for a tree.
        packed: the bytes that each file takes in the zip, by path; empty for a tree.
        objects: what a loader would take, by path.
        others: other ELF files (relocatables, static programs), by path.
        damaged: ELF files that no loader would take, and why.
        traces: strings that have no business there.
        bytecode: by path; None for a `.pyc` that is none.
        records: the text of each `RECORD` that an installer left in a `.dist-info`, by path.
    """

    name: str
    entries: Mapping[str, Entry] = field(repr=False)
    oddities: tuple[str, ...] = ()
    sha256: str = ""
    packed: Mapping[str, int] = field(repr=False)
    objects: Mapping[str, Elf] = field(repr=False)
    others: Mapping[str, Elf] = field(repr=False)
    damaged: Mapping[str, str]
    traces: tuple[Trace, ...]
    bytecode: Mapping[str, Compiled | None] = field(repr=False)
    records: Mapping[str, str] = field(repr=False)

    @cached_property
    def files(self) -> tuple[Entry, ...]:
        """The files alone, by path."""
        return tuple(entry for entry in self.entries.values() if entry.kind == "file")

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder, those among them that a zip need not name."""
        found = {""}
        for entry in self.entries.values():
            folder = entry.path if entry.kind == "folder" else posixpath.dirname(entry.path)
            while folder not in found:
                found.add(folder)
                folder = posixpath.dirname(folder)
        return frozenset(found)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Every path and link that leads to an object, and the object's path."""
        found = {path: path for path in self.objects}
        for entry in self.entries.values():
            if entry.kind == "link":
                target = self.follow(entry.path)
                if target in self.objects:
                    found[entry.path] = target
        return found

    @property
    def size(self) -> int:
        """Bytes of all files: what counts against Lambda's limit."""
        return sum(entry.size for entry in self.files)

    def follow(self, path: str) -> str:
        """Give where a path leads through links, as the loader would go; empty where it leads out or in a circle."""
        waiting = path.split("/")[::-1]
        reached: list[str] = []
        links = 0
        for _ in range(_STEPS):
            if not waiting:
                return "/".join(reached)
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not reached:
                    return ""
                reached.pop()
                continue
            entry = self.entries.get("/".join((*reached, part)))
            if entry is None or entry.kind != "link":
                reached.append(part)
                continue
            links += 1
            if links > _LINKS or entry.target.startswith("/"):
                return ""
            waiting += entry.target.split("/")[::-1]
        return ""


def take_inventory(path: Path, *, caps: Caps = CAPS, traces: bool = True) -> Inventory:
    """Read a zip or a tree; without `traces` no strings are looked for.

    Raises:
        UsageError: there is no such file or folder.
        UnsafeArchive: it is a damaged zip, or larger than a layer can be.
    """
    with closing(open_holding(path, caps)) as holding:
        return _Taking(holding, path.name, traces).inventory()


class _Taking:
    """The pass itself."""

    def __init__(self, holding: Holding, name: str, traces: bool) -> None:
        self._holding = holding
        self._name = name
        self._wants_traces = traces
        self._entries = {entry.path: entry for entry in holding.entries}
        self._objects: dict[str, Elf] = {}
        self._others: dict[str, Elf] = {}
        self._damaged: dict[str, str] = {}
        self._found: list[Trace] = []
        self._records: dict[str, str] = {}
        self._headers: dict[str, Bytecode | None] = {}

    def inventory(self) -> Inventory:
        for entry in self._entries.values():
            if entry.kind == "file" and not entry.problem and 0 < entry.size <= _LARGEST:
                self._read(entry.path)
        bytecode = {path: self._compiled(path, header) for path, header in self._headers.items()}
        return Inventory(
            name=self._name,
            entries=self._entries,
            oddities=self._holding.oddities,
            sha256=self._holding.sha256,
            packed={e.path: e.packed for e in self._entries.values() if e.packed is not None},
            objects=self._objects,
            others=self._others,
            damaged=self._damaged,
            traces=tuple(self._found),
            bytecode=bytecode,
            records=self._records,
        )

    def _contents(self, path: str) -> bytes:
        with self._holding.open(path) as file:
            content = file.read(_LARGEST + 1)
        if len(content) > _LARGEST:
            raise UnsafeArchive(f"{self._name}: {path} holds more bytes than it says")
        return content

    def _read(self, path: str) -> None:
        content = self._contents(path)
        if is_elf(content):
            try:
                elf = read_elf(content)
            except DamagedElf as error:
                self._damaged[path] = str(error)
            else:
                (self._objects if elf.kind == "dynamic" else self._others)[path] = elf
        elif path.endswith(".pyc"):
            self._headers[path] = read_bytecode(content)
        elif path.endswith(".dist-info/RECORD"):
            self._records[path] = content.decode("utf-8", "replace")
        if self._wants_traces:
            self._found += find_traces(path, content)

    def _compiled(self, path: str, header: Bytecode | None) -> Compiled | None:
        if header is None:
            return None
        source, tag = source_of(path)
        entry = self._entries.get(source)
        there = entry is not None and entry.kind == "file" and not entry.problem and entry.size <= _LARGEST
        return Compiled(
            header=header,
            source=source,
            tag=tag,
            fits=fits(header, self._contents(source)) if there else None,
        )
