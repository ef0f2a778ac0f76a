"""Writes the ELF file of a stub library: everything a linker reads of a shared object, and no code.

Sources: the System V ABI's chapter on ELF for the format, "ELF Symbol Versioning" by U. Drepper for the version
sections, binutils' elflink.c for what GNU ld reads of a shared library and copies of its variables.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_HIDDEN = 0x8000
# Data is laid out in steps of this many bytes: what the linker aligns a copy of a variable to follows from
# it.
_ALIGNMENT = 64
_PAGE = 0x1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Symbol:
    """One symbol at one version. `place` tells aliases: equal for symbols that are one object in the real
    library.
    """

    name: str
    version: str
    default: bool
    kind: int
    bind: int
    size: int
    place: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Interface:
    """What a library offers to a linker. `versions` are in the library's own order."""

    soname: str
    machine: int
    versions: tuple[str, ...]
    symbols: tuple[Symbol, ...]


def write(interface: Interface) -> bytes:
    """The ELF file of an interface. Its one writer: a change of any byte asks for a new number in FLOOR."""
    strings = _Strings()
    text_size, data, thread = _layout(interface.symbols)
    soname = strings.add(interface.soname)
    numbers = {version: index for index, version in enumerate(interface.versions, 2)}

    # Sections that are read only come first, at addresses equal to their offsets; .dynamic and data on
    # pages after.
    hash_size = 4 * (2 + _buckets(len(interface.symbols)) + len(interface.symbols) + 1)
    symbol_size = 24 * (len(interface.symbols) + 1)
    names = [strings.add(symbol.name) for symbol in interface.symbols]
    version_names = [strings.add(version) for version in interface.versions]
    layout = _Sections(64 + 56 * 4)
    layout.add(".hash", 5, 2, hash_size, 8, link=".dynsym", entry=4)
    layout.add(".dynsym", 11, 2, symbol_size, 8, link=".dynstr", info=1, entry=24)
    layout.add(".dynstr", 3, 2, len(strings.content), 1)
    layout.add(".gnu.version", 0x6FFFFFFF, 2, 2 * (len(names) + 1), 2, link=".dynsym", entry=2)
    definitions = len(interface.versions) + 1
    layout.add(".gnu.version_d", 0x6FFFFFFD, 2, 28 * definitions, 8, link=".dynstr", info=definitions)
    layout.add(".text", 1, 6, text_size, 16)
    layout.next_page()
    if thread.size:
        layout.add(".tbss", 8, 0x403, thread.size, _ALIGNMENT)
    layout.add(".dynamic", 6, 3, 16 * 11, 16, link=".dynstr", entry=16)
    layout.add(".bss", 8, 3, data.size, _ALIGNMENT)

    dynamic = [
        (14, soname),
        (4, layout[".hash"].address),
        (5, layout[".dynstr"].address),
        (6, layout[".dynsym"].address),
        (10, len(strings.content)),
        (11, 24),
        (0x6FFFFFF0, layout[".gnu.version"].address),
        (0x6FFFFFFC, layout[".gnu.version_d"].address),
        (0x6FFFFFFD, definitions),
        (0, 0),
        (0, 0),
    ]
    layout.fill(".hash", _hash_table([symbol.name for symbol in interface.symbols]))
    layout.fill(".dynsym", _symbol_table(interface.symbols, names, layout, data, thread))
    layout.fill(".dynstr", bytes(strings.content))
    layout.fill(
        ".gnu.version",
        struct.pack("<H", 0)
        + b"".join(
            struct.pack("<H", numbers[symbol.version] | (0 if symbol.default else _HIDDEN))
            for symbol in interface.symbols
        ),
    )
    layout.fill(".gnu.version_d", _definitions(interface, soname, version_names))
    layout.fill(".dynamic", b"".join(struct.pack("<qQ", tag, value) for tag, value in dynamic))
    return layout.file(interface.machine)


class _Strings:
    """A string table that is filled in the order of first use."""

    def __init__(self) -> None:
        self.content = bytearray(b"\0")
        self._places: dict[str, int] = {}

    def add(self, text: str) -> int:
        if text not in self._places:
            self._places[text] = len(self.content)
            self.content += text.encode() + b"\0"
        return self._places[text]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Room:
    """Where objects stand in a section without content: offsets by their place in the real library."""

    size: int
    offsets: dict[int, int]


def _layout(symbols: Sequence[Symbol]) -> tuple[int, _Room, _Room]:
    """Bytes of code, and the rooms of data and of thread-local data. Aliases share an address: the linker
    moves all names of a variable that a program takes a copy of (`environ` and `__environ`), and tells them
    by that.
    """
    rooms = []
    for kind in (1, 6):
        sizes: dict[int, int] = {}
        for symbol in symbols:
            if symbol.kind == kind:
                sizes[symbol.place] = max(sizes.get(symbol.place, 1), symbol.size)
        offsets, end = {}, 0
        for place in sorted(sizes):
            offsets[place] = end
            end += -(-sizes[place] // _ALIGNMENT) * _ALIGNMENT
        rooms.append(_Room(size=end, offsets=offsets))
    return 16 * max(1, len(symbols)), rooms[0], rooms[1]


@dataclass(slots=True)
class _Section:
    name: str
    kind: int
    flags: int
    offset: int
    address: int
    size: int
    alignment: int
    link: str
    info: int
    entry: int
    content: bytes = b""


class _Sections:
    """Sections in the order of the file, which is that of their addresses."""

    def __init__(self, start: int) -> None:
        self._all: list[_Section] = []
        self._offset = start
        self._address = start
        self._second = 0

    def __getitem__(self, name: str) -> _Section:
        return next(section for section in self._all if section.name == name)

    def __contains__(self, name: str) -> bool:
        return any(section.name == name for section in self._all)

    def number(self, name: str) -> int:
        return next(index for index, section in enumerate(self._all, 1) if section.name == name)

    def add(
        self,
        name: str,
        kind: int,
        flags: int,
        size: int,
        alignment: int,
        *,
        link: str = "",
        info: int = 0,
        entry: int = 0,
    ) -> None:
        step = -self._address % alignment
        self._address += step
        if kind != 8:
            self._offset += step
        self._all.append(
            _Section(name, kind, flags, self._offset, self._address, size, alignment, link, info, entry)
        )
        if kind != 8:
            self._offset += size
        # .tbss takes room in every thread's block, none among the addresses of the file.
        if not flags & 0x400:
            self._address += size

    def next_page(self) -> None:
        self._second = len(self._all)
        self._offset = self._address = -(-self._address // _PAGE) * _PAGE

    def fill(self, name: str, content: bytes) -> None:
        section = self[name]
        if len(content) != section.size:
            raise RuntimeError(f"{name} has {len(content)} bytes instead of {section.size}")
        section.content = content

    def file(self, machine: int) -> bytes:
        """Header, program headers, sections, section headers."""
        names = _Strings()
        body = bytearray(self._offset)
        for section in self._all:
            if section.kind != 8:
                body[section.offset : section.offset + len(section.content)] = section.content
        rows = [(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)]
        for section in self._all:
            link = self.number(section.link) if section.link else 0
            rows.append(
                (
                    *(names.add(section.name), section.kind, section.flags, section.address, section.offset),
                    *(section.size, link, section.info, section.alignment, section.entry),
                )
            )
        own = names.add(".shstrtab")
        rows.append((own, 3, 0, 0, len(body), len(names.content), 0, 0, 1, 0))
        body += names.content
        body += bytes(-len(body) % 8)
        table = len(body)
        for row in rows:
            body += struct.pack("<IIQQQQIIQQ", *row)
        segments = self._segments()
        body[: 64 + 56 * len(segments)] = struct.pack(
            "<16sHHIQQQIHHHHHH",
            b"\x7fELF\2\1\1",
            *(3, machine, 1, 0, 64, table, 0, 64, 56, len(segments), 64, len(rows), len(rows) - 1),
        ) + b"".join(struct.pack("<IIQQQQQQ", *segment) for segment in segments)
        return bytes(body)

    def _segments(self) -> list[tuple[int, ...]]:
        first, second = self._all[: self._second], self._all[self._second :]
        start = next(section for section in second if section.kind != 8)
        dynamic, end = self[".dynamic"], second[-1]
        text_end = first[-1].offset + first[-1].size
        file_size = dynamic.offset + dynamic.size - start.offset
        memory = end.address + end.size - start.address
        rows: list[tuple[int, ...]] = [
            (1, 5, 0, 0, 0, text_end, text_end, _PAGE),
            (1, 6, start.offset, start.address, start.address, file_size, memory, _PAGE),
            (2, 6, dynamic.offset, dynamic.address, dynamic.address, dynamic.size, dynamic.size, 8),
        ]
        if ".tbss" in self:
            thread = self[".tbss"]
            rows.append(
                (7, 4, thread.offset, thread.address, thread.address, 0, thread.size, thread.alignment)
            )
        else:
            rows.append((0x6474E551, 6, 0, 0, 0, 0, 0, 16))
        return rows


def _symbol_table(
    symbols: Sequence[Symbol], names: Sequence[int], layout: _Sections, data: _Room, thread: _Room
) -> bytes:
    table = bytearray(24)
    text = layout[".text"].address
    for index, (symbol, name) in enumerate(zip(symbols, names, strict=True)):
        if symbol.kind == 1:
            section, value = ".bss", layout[".bss"].address + data.offsets[symbol.place]
        elif symbol.kind == 6:
            section, value = ".tbss", thread.offsets[symbol.place]
        else:
            section, value = ".text", text + 16 * index
        table += struct.pack(
            "<IBBHQQ", name, symbol.bind << 4 | symbol.kind, 0, layout.number(section), value, symbol.size
        )
    return bytes(table)


def _definitions(interface: Interface, soname: int, names: Sequence[int]) -> bytes:
    """One entry for the library itself (flag 1, VER_FLG_BASE) and one a version, each with one name."""
    rows = [(1, 1, interface.soname, soname)]
    rows += [
        (0, index, version, name)
        for index, (version, name) in enumerate(zip(interface.versions, names, strict=True), 2)
    ]
    content = b""
    for position, (flags, index, version, name) in enumerate(rows, 1):
        following = 28 if position < len(rows) else 0
        content += struct.pack("<HHHHIII", 1, flags, index, 1, _elf_hash(version), 20, following)
        content += struct.pack("<II", name, 0)
    return content


def _buckets(count: int) -> int:
    return max(1, count // 2) | 1


def _hash_table(names: Sequence[str]) -> bytes:
    count = _buckets(len(names))
    buckets, chains = [0] * count, [0] * (len(names) + 1)
    for number, name in enumerate(names, 1):
        bucket = _elf_hash(name) % count
        chains[number], buckets[bucket] = buckets[bucket], number
    return struct.pack(f"<{2 + count + len(chains)}I", count, len(chains), *buckets, *chains)


def _elf_hash(name: str) -> int:
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value
