"""Closes the gaps that linkers leave between an object's segments for larger memory pages than the runtime's.

A segment's place in the file equals its address modulo its alignment (System V ABI, "Program Header"), and linkers
align for the largest page that a processor may have (ld's -z max-page-size, on arm64 64 KiB): zeros fill the file up to
there. Smaller pages need fewer of them. Addresses stay, so that neither code nor relocations change.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

_ELF64 = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_PT_LOAD = 1
_SHT_NOBITS = 8
_SHF_ALLOC = 2


class Unusual(ValueError):
    """The object is not laid out as linkers do it: better left alone."""


class Header(NamedTuple):
    """Elf64_Ehdr."""

    identity: bytes
    kind: int
    machine: int
    version: int
    entry: int
    programs: int
    sections: int
    flags: int
    size: int
    program_size: int
    program_count: int
    section_size: int
    section_count: int
    names: int


class Program(NamedTuple):
    """Elf64_Phdr."""

    kind: int
    flags: int
    offset: int
    address: int
    physical: int
    file_size: int
    memory_size: int
    alignment: int

    @property
    def end(self) -> int:
        return self.offset + self.file_size


class Section(NamedTuple):
    """Elf64_Shdr."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int

    @property
    def stored(self) -> int:
        return 0 if self.kind == _SHT_NOBITS else self.size

    @property
    def end(self) -> int:
        return self.offset + self.stored


class Move(NamedTuple):
    """A segment that is loaded, and its new place in the file."""

    load: Program
    offset: int


def close_gaps(root: Path, names: Sequence[str], page: int) -> list[str]:
    """Close the gaps of the objects `names` below `root` in place, for pages of `page` bytes.

    Gives those that became smaller.
    """
    smaller = []
    for name in names:
        path = root / name
        before = path.read_bytes()
        try:
            after = closed(before, page)
        except (Unusual, struct.error):
            continue
        if len(after) < len(before):
            # A new file instead of writing into the old one: it may be linked to from elsewhere.
            mode = path.stat().st_mode & 0o777
            path.unlink()
            path.write_bytes(after)
            path.chmod(mode)
            smaller.append(name)
    return smaller


def closed(content: bytes, page: int) -> bytes:
    """An object with its segments as near to each other as pages of `page` bytes let them be.

    Raises Unusual where it does not start with a segment that holds the program headers, where segments overlap, where
    what is in one needs more than a page's alignment, where a gap is not empty, or where it is cut.
    """
    header = Header(*_HEADER.unpack_from(content))
    if not header.identity.startswith(_ELF64):
        raise Unusual("it is not for 64 bits, little end first")
    rows = (header.programs, header.program_size, header.section_size)
    if rows != (_HEADER.size, _PROGRAM.size, _SECTION.size):
        raise Unusual("its tables are elsewhere, or have rows of another size")
    programs = [Program(*row) for row in _rows(_PROGRAM, content, header.programs, header.program_count)]
    sections = [Section(*row) for row in _rows(_SECTION, content, header.sections, header.section_count)]
    ends = [*(program.end for program in programs), *(section.end for section in sections)]
    if len(sections) != header.section_count or any(end > len(content) for end in ends):
        raise Unusual("it is cut")
    if any(section.flags & _SHF_ALLOC and section.alignment > page for section in sections):
        raise Unusual("a section is aligned to more than a page")
    moves = _moves(programs, page)

    image = bytearray()
    kept = [(header.sections, header.sections + _SECTION.size * len(sections))]
    for load, offset in moves:
        image += bytes(offset - len(image)) + content[load.offset : load.end]
        kept.append((load.offset, load.end))
    placed = []
    for section in sections:
        where = section.offset
        if section.flags & _SHF_ALLOC:
            where = _moved(moves, section.address, section.offset, section.stored)
        elif section.stored:
            # Comments, and names of sections: of no segment, so that they follow the last one.
            image += bytes(-len(image) % max(section.alignment, 1))
            where = len(image)
            image += content[section.offset : section.end]
            kept.append((section.offset, section.end))
        placed.append(section._replace(offset=where))
    _check_gaps(content, kept)
    image += bytes(-len(image) % 8)
    _HEADER.pack_into(image, 0, *header._replace(sections=len(image)))
    image += b"".join(_SECTION.pack(*section) for section in placed)

    for row, program in enumerate(programs):
        changed = program
        if program.memory_size:
            changed = program._replace(
                offset=_moved(moves, program.address, program.offset, program.file_size)
            )
        if program.kind == _PT_LOAD:
            changed = changed._replace(alignment=min(program.alignment, page))
        _PROGRAM.pack_into(image, header.programs + row * _PROGRAM.size, *changed)
    return bytes(image)


def _moves(programs: Sequence[Program], page: int) -> list[Move]:
    """The new places of the segments, each the first behind the one before that its address allows."""
    loads = [program for program in programs if program.kind == _PT_LOAD]
    tables = _HEADER.size + _PROGRAM.size * len(programs)
    if not loads or loads[0].offset or loads[0].address % page or loads[0].file_size < tables:
        raise Unusual("it does not start with a segment")
    moves: list[Move] = []
    end = before = 0
    for load in loads:
        if load.offset < before or (
            moves and load.address < moves[-1].load.address + moves[-1].load.memory_size
        ):
            raise Unusual("segments overlap")
        offset = end + (load.address - end) % page
        moves.append(Move(load, offset))
        end, before = offset + load.file_size, load.end
    return moves


def _moved(moves: Sequence[Move], address: int, offset: int, stored: int) -> int:
    """The new place of what stands at an address; without bytes of its own it may stand behind a segment's."""
    load, new = next(move for move in reversed(moves) if move.load.address <= address or move is moves[0])
    if stored and (address - load.address != offset - load.offset or offset + stored > load.end):
        raise Unusual("a part of a segment stands elsewhere")
    return new + offset - load.offset


def _rows(row: struct.Struct, content: bytes, start: int, count: int) -> Iterable[tuple[int, ...]]:
    return row.iter_unpack(content[start : start + row.size * count])


def _check_gaps(content: bytes, kept: Iterable[tuple[int, int]]) -> None:
    end = 0
    for start, after in (*sorted(kept), (len(content), len(content))):
        if any(content[end:start]):
            raise Unusual("something stands in a gap")
        end = max(end, after)
