"""Makes shared libraries do without others that they name, in place: a library that defines the same symbols stands in for those.

    python3 leave_out.py TABLE.json STAND_IN LIBRARY...

Debian compiles every feature of a program into one library, so that libtorch_cpu asks for OpenCV, FFmpeg and a dozen more. What uses
them is never reached by a function that infers, yet the loader wants all of them. `patchelf` moves sections, which `strip` may then
damage, and cannot take out a symbol's version; here nothing moves and the file keeps its length:

- DT_NEEDED entries of the absent libraries go; the stand-in's takes the place of one of them, its name written over that one's.
- Version needs of the absent libraries go, and their symbols lose their versions.
- A symbol that is renamed (to a name of the same length) loses its version too, so that it binds to the stand-in alone; a version need
  that nothing hangs on any more goes.

The formats are those of the System V gABI and of "Linux Standard Base: Symbol Versioning". 64-bit little-endian only.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

DT_NULL, DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH, DT_VERNEEDNUM = 0, 1, 14, 15, 29, 0x6FFFFFFF
SHT_DYNAMIC, SHT_DYNSYM, SHT_VERDEF, SHT_VERNEED, SHT_VERSYM = 6, 11, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF
UNVERSIONED = 1
WEAK = 2


class Unfit(Exception):
    """A library that cannot be edited in place; the text says why."""


@dataclass
class Section:
    """A section's header: offset and size in bytes, the sections that it links to, and where the header stands."""

    header: int
    kind: int
    offset: int
    size: int
    link: int


@dataclass
class Aux:
    """A version that one library is asked for: its place, its index in .gnu.version, its name's place in .dynstr."""

    at: int
    index: int
    name: int


@dataclass
class Need:
    """What is asked of one library: its place, its name's place in .dynstr, its versions in order."""

    at: int
    file: int
    versions: list[Aux] = field(default_factory=list)


class Library:
    """A shared library in memory, with the tables that are edited."""

    def __init__(self, name: str, content: bytes) -> None:
        if content[:6] != b"\x7fELF\x02\x01":
            raise Unfit(f"{name}: not a 64-bit little-endian ELF file")
        self.name = name
        self.data = bytearray(content)
        start, size, count = (self._u("<Q", 40), self._u("<H", 58), self._u("<H", 60))
        sections = [self._section(start + size * number) for number in range(count)]
        by_kind = {section.kind: section for section in sections}
        try:
            self.dynamic, self.symbols = by_kind[SHT_DYNAMIC], by_kind[SHT_DYNSYM]
        except KeyError:
            raise Unfit(f"{name}: it has no dynamic symbols") from None
        self.versions, self.verneed = by_kind.get(SHT_VERSYM), by_kind.get(SHT_VERNEED)
        self.verdef = by_kind.get(SHT_VERDEF)
        self.strings = sections[self.dynamic.link]
        self.needs = self._needs(self.verneed.offset) if self.verneed else []

    def _u(self, form: str, at: int) -> int:
        return int(struct.unpack_from(form, self.data, at)[0])

    def _section(self, at: int) -> Section:
        _, kind, _, _, offset, size, link = struct.unpack_from("<IIQQQQI", self.data, at)
        return Section(at, kind, offset, size, link)

    def _needs(self, at: int) -> list[Need]:
        needs = []
        while True:
            _, _, file, aux, following = struct.unpack_from("<HHIII", self.data, at)
            need = Need(at, file)
            place = at + aux
            while True:
                _, _, index, name, more = struct.unpack_from("<IHHII", self.data, place)
                need.versions.append(Aux(place, index, name))
                if not more:
                    break
                place += more
            needs.append(need)
            if not following:
                return needs
            at += following

    def text(self, start: int) -> str:
        """The string at `start` of .dynstr."""
        begin = self.strings.offset + start
        return self.data[begin : self.data.index(b"\0", begin)].decode("ascii")

    def entries(self) -> list[tuple[int, int]]:
        """The dynamic section's (tag, value), the closing DT_NULL left out."""
        pairs = []
        for at in range(self.dynamic.offset, self.dynamic.offset + self.dynamic.size, 16):
            tag, value = struct.unpack_from("<QQ", self.data, at)
            if tag == DT_NULL:
                break
            pairs.append((tag, value))
        return pairs

    def undefined(self) -> dict[int, tuple[str, int]]:
        """Undefined symbols by number: name, and binding (2 is weak)."""
        found = {}
        for number in range(1, self.symbols.size // 24):
            name, info, _, section = struct.unpack_from("<IBBH", self.data, self.symbols.offset + 24 * number)
            if section == 0:
                found[number] = (self.text(name), info >> 4)
        return found

    def defined(self) -> set[str]:
        """The names of the symbols that it offers to others."""
        names = set()
        for number in range(1, self.symbols.size // 24):
            name, info, _, section = struct.unpack_from("<IBBH", self.data, self.symbols.offset + 24 * number)
            if section and info >> 4:
                names.add(self.text(name))
        return names

    def _references(self) -> list[int]:
        """Every place in .dynstr that a symbol, a version or a dynamic entry points at, as often as it does."""
        places = [self._u("<I", self.symbols.offset + 24 * n) for n in range(self.symbols.size // 24)]
        places += [need.file for need in self.needs] + [
            aux.name for need in self.needs for aux in need.versions
        ]
        places += [
            value for tag, value in self.entries() if tag in (DT_NEEDED, DT_SONAME, DT_RPATH, DT_RUNPATH)
        ]
        return places + self._defined_versions()

    def _defined_versions(self) -> list[int]:
        if self.verdef is None:
            return []
        places, at = [], self.verdef.offset
        while True:
            count, aux, following = self._u("<H", at + 6), self._u("<I", at + 12), self._u("<I", at + 16)
            place = at + aux
            for _ in range(count):
                places.append(self._u("<I", place))
                place += self._u("<I", place + 4)
            if not following:
                return places
            at += following

    def overwrite(self, start: int, name: str) -> None:
        """Write `name` over the string at `start`.

        Raises:
            Unfit: the old string is shorter, or somebody else's name is a part of it or ends with it.
        """
        old = self.text(start)
        if len(name) > len(old):
            raise Unfit(f"{self.name}: {name} has no room in the place of {old}")
        places = self._references()
        others = [
            place
            for place in places
            if place != start and place <= start + len(old) <= place + len(self.text(place))
        ]
        if others or places.count(start) > 1:
            shared = self.text(others[0]) if others else old
            raise Unfit(f"{self.name}: {shared} shares the text of {old} in its string table")
        begin = self.strings.offset + start
        self.data[begin : begin + len(old)] = name.encode("ascii").ljust(len(old), b"\0")

    def leave_out(self, absent: set[str], stand_in: str) -> list[str]:
        """Drop the libraries `absent` and need `stand_in` in their place; the names of those that it did need."""
        entries = self.entries()
        dropped = [value for tag, value in entries if tag == DT_NEEDED and self.text(value) in absent]
        names = sorted(self.text(value) for value in dropped)
        gone = {aux.index for need in self.needs for aux in need.versions if self.text(need.file) in absent}
        self._clear(gone)
        self.needs = [need for need in self.needs if self.text(need.file) not in absent]
        if dropped:
            room = max(dropped, key=lambda value: (len(self.text(value)), value))
            kept = [
                pair for pair in entries if pair[0] != DT_NEEDED or pair[1] not in dropped or pair[1] == room
            ]
            self._write_entries(kept)
            self._chain()
            self.overwrite(room, stand_in)
        return names

    def rename(self, names: Mapping[str, str]) -> list[str]:
        """Give undefined symbols other names of the same length, without versions; the old names of those found."""
        found = []
        for number, (old, _) in self.undefined().items():
            if old in names:
                if len(names[old]) != len(old):
                    raise Unfit(f"{names[old]} is not as long as {old}")
                self.overwrite(self._u("<I", self.symbols.offset + 24 * number), names[old])
                self._unversion(number)
                found.append(old)
        used = {self._index(number) for number in range(self.symbols.size // 24)}
        for need in self.needs:
            need.versions = [aux for aux in need.versions if aux.index in used]
        self.needs = [need for need in self.needs if need.versions]
        self._chain()
        return sorted(found)

    def _index(self, number: int) -> int:
        return (
            UNVERSIONED
            if self.versions is None
            else self._u("<H", self.versions.offset + 2 * number) & 0x7FFF
        )

    def _clear(self, indices: set[int]) -> None:
        for number in range(1, self.symbols.size // 24):
            if self._index(number) in indices:
                self._unversion(number)

    def _unversion(self, number: int) -> None:
        if self.versions is not None:
            struct.pack_into("<H", self.data, self.versions.offset + 2 * number, UNVERSIONED)

    def _write_entries(self, entries: list[tuple[int, int]]) -> None:
        room = self.dynamic.size // 16
        padded = [*entries, *[(DT_NULL, 0)] * (room - len(entries))]
        for number, pair in enumerate(padded):
            struct.pack_into("<QQ", self.data, self.dynamic.offset + 16 * number, *pair)

    def _chain(self) -> None:
        """Link the needs that are left, and count them where the loader and binutils look."""
        if self.verneed is None:
            return
        if not self.needs:
            raise Unfit(f"{self.name}: no version need would be left")
        # The loader starts at the section's first entry: where that one goes, the next takes its place. Versions stay where they are.
        self.needs[0].at = self.verneed.offset
        for need, following in zip(self.needs, [*self.needs[1:], None]):
            count, versions = len(need.versions), need.versions[0].at - need.at
            struct.pack_into(
                "<HHIII",
                self.data,
                need.at,
                1,
                count,
                need.file,
                versions,
                following.at - need.at if following else 0,
            )
            for aux, later in zip(need.versions, [*need.versions[1:], None]):
                struct.pack_into("<I", self.data, aux.at + 12, later.at - aux.at if later else 0)
        struct.pack_into("<I", self.data, self.verneed.header + 44, len(self.needs))
        entries = [(tag, len(self.needs) if tag == DT_VERNEEDNUM else value) for tag, value in self.entries()]
        self._write_entries(entries)


def main(table: str, stand_in: str, *paths: str) -> None:
    """Edit the libraries at `paths` as the JSON document `table` says: `absent`, names, and `renamed`, old to new."""
    rules = json.loads(Path(table).read_text(encoding="utf-8"))
    for path in map(Path, paths):
        library = Library(path.name, path.read_bytes())
        dropped = library.leave_out(set(rules["absent"]), stand_in)
        renamed = library.rename(rules["renamed"])
        if renamed and not dropped:
            raise Unfit(f"{path.name}: it uses {renamed[0]} and has no place for the name of {stand_in}")
        path.write_bytes(library.data)
        print(
            f"{path.name}: without {' '.join(dropped) or 'nothing'}; renamed {' '.join(renamed) or 'nothing'}"
        )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Unfit as error:
        sys.exit(f"leave_out: {error}")
