"""Reads of a shared object what the dynamic loader acts on, and edits single fields of it in place.

Only ELF64, little-endian, is read: both of Lambda's architectures are that. pyelftools finds the segments
and the dynamic table; symbols and versions are unpacked here, since hundreds of thousands of them go
through. Sources: the System V ABI's chapter on ELF; "ELF Symbol Versioning" by U. Drepper for the version
sections.
"""

from __future__ import annotations

import io
import posixpath
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MAGIC = b"\x7fELF"
MACHINES = {"x86_64": "EM_X86_64", "arm64": "EM_AARCH64"}

_SYMBOL = struct.Struct("<IBBHQQ")
_NEED = struct.Struct("<HHIII")
_NEED_AUX = struct.Struct("<IHHII")
_DEFINE = struct.Struct("<HHHHIII")
_DEFINE_AUX = struct.Struct("<II")
_HIDDEN = 0x8000
_VER_FLG_BASE = 1
_VER_FLG_WEAK = 2
_STB_LOCAL, _STB_WEAK = 0, 2
_STT_SECTION, _STT_FILE = 3, 4
_PF_X = 1


class NotLoadable(ValueError):
    """Not an ELF64 shared object or program that a dynamic loader could take."""


@dataclass(frozen=True)
class Load:
    """One PT_LOAD: all sizes and addresses in bytes."""

    offset: int
    address: int
    file_size: int
    memory_size: int
    alignment: int


@dataclass(frozen=True)
class Need:
    """One version that is asked of a library: an entry of .gnu.version_r. `aux` is its offset in the file."""

    library: str
    version: str
    index: int
    weak: bool
    aux: int


@dataclass(frozen=True)
class Wanted:
    """An undefined symbol; `library` and `version` are "" where it asks for none."""

    name: str
    library: str
    version: str
    weak: bool
    index: int


@dataclass(frozen=True)
class Reference:
    """Where a string of .dynstr is used. `role` is "symbol", "version", "needed", "soname", "file", "base"
    or "path".
    """

    role: str
    start: int
    length: int


@dataclass(frozen=True)
class Edit:
    """Bytes to put at an offset of a file in place of others; both are of one length."""

    offset: int
    old: bytes
    new: bytes


@dataclass(frozen=True)
class Elf:
    """What one object states. `defined` maps a symbol to the versions it is defined with ("" for none)."""

    machine: str
    soname: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    needs: tuple[Need, ...]
    wanted: tuple[Wanted, ...]
    defined: dict[str, frozenset[str]] = field(repr=False)
    versions: frozenset[str]
    loads: tuple[Load, ...]
    executable_stack: bool | None
    interpreter: str
    size: int
    strings: int = 0
    strings_size: int = 0
    references: tuple[Reference, ...] = field(default=(), repr=False)

    def defines(self, name: str, version: str) -> bool:
        """Whether a reference to `name` at `version` finds it here; without versions here, any reference
        does.
        """
        versions = self.defined.get(name)
        if versions is None:
            return False
        return not version or version in versions or not self.versions


def is_elf(path: Path) -> bool:
    """Whether a regular file starts as ELF files do."""
    with path.open("rb") as stream:
        return stream.read(4) == MAGIC


def read(path: Path) -> Elf:
    """Read one object. Raises NotLoadable: not ELF64 little-endian, a relocatable, without a dynamic table,
    or cut.
    """
    return parse(path.read_bytes())


def parse(content: bytes) -> Elf:
    """As `read`, from the bytes of a file."""
    from elftools.common.exceptions import ELFError  # from the task's python_path
    from elftools.elf.elffile import ELFFile

    try:
        elf = ELFFile(io.BytesIO(content))
        if elf.elfclass != 64 or not elf.little_endian:
            raise NotLoadable("not a 64-bit little-endian object")
        if elf["e_type"] not in ("ET_DYN", "ET_EXEC"):
            raise NotLoadable(f"of type {elf['e_type']}")
        return _Reader(elf, content).elf()
    except (ELFError, struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise NotLoadable(f"damaged: {error}") from error


def elf_hash(name: str) -> int:
    """The hash of symbol and version names that the System V ABI defines."""
    value = 0
    for byte in name.encode():
        value = (value << 4) + byte
        value = (value ^ (value & 0xF0000000) >> 24) & 0x0FFFFFFF
    return value


def apply(path: Path, edits: Sequence[Edit]) -> None:
    """Write all edits into the file; each must find the bytes that it was planned on."""
    content = bytearray(path.read_bytes())
    for edit in edits:
        end = edit.offset + len(edit.old)
        if len(edit.old) != len(edit.new) or content[edit.offset : end] != edit.old:
            raise RuntimeError(f"{path}: an edit at {edit.offset} does not fit the file")
        content[edit.offset : end] = edit.new
    # A new file instead of writing into the old one: it may be linked to from elsewhere.
    mode = path.stat().st_mode & 0o777
    path.unlink()
    path.write_bytes(content)
    path.chmod(mode)


def origin(path: str, folder: str) -> str:
    """One search path entry with $ORIGIN replaced by `folder` (absolute), without `.` and `..`."""
    text = path.replace("${ORIGIN}", folder).replace("$ORIGIN", folder)
    return posixpath.normpath(text) if text else ""


def shared_with(elf: Elf, start: int, length: int, roles: set[str]) -> list[Reference]:
    """References that would see a change of `length` bytes at `start` of .dynstr and are not `roles` at
    `start`.
    """
    return [
        reference
        for reference in elf.references
        if reference.start < start + length
        and reference.start + reference.length > start
        and not (reference.start == start and reference.role in roles)
    ]


class _Reader:
    """Walks the dynamic table of one object."""

    def __init__(self, elf: Any, content: bytes) -> None:
        self.content = content
        self.header = elf
        self.segments = list(elf.iter_segments())
        self.loads = tuple(
            Load(s["p_offset"], s["p_vaddr"], s["p_filesz"], s["p_memsz"], s["p_align"])
            for s in self.segments
            if s["p_type"] == "PT_LOAD"
        )
        dynamic = [s for s in self.segments if s["p_type"] == "PT_DYNAMIC"]
        if not dynamic:
            raise NotLoadable("without a dynamic table")
        self.dynamic = dynamic[0]
        self.tags: dict[int, list[int]] = {}
        place, end = self.dynamic["p_offset"], self.dynamic["p_offset"] + self.dynamic["p_filesz"]
        while place + 16 <= end:
            tag, value = struct.unpack_from("<qQ", content, place)
            if tag == 0:
                break
            self.tags.setdefault(tag, []).append(value)
            place += 16
        self.strings = self.offset(self.one(5)) if 5 in self.tags else 0  # DT_STRTAB
        self.strings_size = self.one(10)  # DT_STRSZ
        self.references: list[Reference] = []

    def one(self, tag: int, default: int = 0) -> int:
        return self.tags.get(tag, [default])[0]

    def offset(self, address: int) -> int:
        for load in self.loads:
            if load.address <= address < load.address + load.file_size:
                return address - load.address + load.offset
        raise NotLoadable(f"damaged: address {address:#x} is in no segment")

    def string(self, start: int, role: str) -> str:
        if start >= self.strings_size:
            raise NotLoadable("damaged: a name lies outside of the string table")
        place = self.strings + start
        end = self.content.index(b"\0", place)
        self.references.append(Reference(role, start, end - place))
        return self.content[place:end].decode("utf-8")

    def elf(self) -> Elf:
        needed = tuple(self.string(value, "needed") for value in self.tags.get(1, []))
        soname = self.string(self.one(14), "soname") if 14 in self.tags else ""
        rpath, runpath = (
            tuple(self.string(self.one(tag), "path").split(":")) if tag in self.tags else ()
            for tag in (15, 29)
        )
        for tag in (0x7FFFFFFD, 0x7FFFFFFF, 0x6FFFFEFB, 0x6FFFFEFC):  # auxiliary, filter, depaudit, audit
            for value in self.tags.get(tag, []):
                self.string(value, "path")
        needs = tuple(self.needs())
        definitions = dict(self.definitions())
        wanted, defined = self.symbols({need.index: need for need in needs}, definitions)
        stack = [s["p_flags"] for s in self.segments if s["p_type"] == "PT_GNU_STACK"]
        interpreters = [s for s in self.segments if s["p_type"] == "PT_INTERP"]
        return Elf(
            machine=self.header["e_machine"],
            soname=soname,
            needed=needed,
            rpath=rpath,
            runpath=runpath,
            needs=needs,
            wanted=tuple(wanted),
            defined=defined,
            versions=frozenset(definitions.values()),
            loads=self.loads,
            executable_stack=bool(stack[0] & _PF_X) if stack else None,
            interpreter=interpreters[0].get_interp_name() if interpreters else "",
            size=len(self.content),
            strings=self.strings,
            strings_size=self.strings_size,
            references=tuple(self.references),
        )

    def needs(self) -> Iterator[Need]:
        if 0x6FFFFFFE not in self.tags:  # DT_VERNEED
            return
        place = self.offset(self.one(0x6FFFFFFE))
        for _ in range(self.one(0x6FFFFFFF)):  # DT_VERNEEDNUM
            _, count, file, aux, following = _NEED.unpack_from(self.content, place)
            library = self.string(file, "file")
            at = place + aux
            for _ in range(count):
                _, flags, other, name, next_aux = _NEED_AUX.unpack_from(self.content, at)
                version = self.string(name, "version")
                yield Need(library, version, other & ~_HIDDEN, bool(flags & _VER_FLG_WEAK), at)
                at += next_aux
            place += following

    def definitions(self) -> Iterator[tuple[int, str]]:
        if 0x6FFFFFFC not in self.tags:  # DT_VERDEF
            return
        place = self.offset(self.one(0x6FFFFFFC))
        for _ in range(self.one(0x6FFFFFFD)):  # DT_VERDEFNUM
            _, flags, index, count, _, aux, following = _DEFINE.unpack_from(self.content, place)
            at = place + aux
            for number in range(count):
                name, next_aux = _DEFINE_AUX.unpack_from(self.content, at)
                text = self.string(name, "base" if flags & _VER_FLG_BASE else "version")
                if number == 0 and not flags & _VER_FLG_BASE:
                    yield index & ~_HIDDEN, text
                at += next_aux
            place += following

    def symbols(
        self, needs: dict[int, Need], definitions: dict[int, str]
    ) -> tuple[list[Wanted], dict[str, frozenset[str]]]:
        if 6 not in self.tags:  # DT_SYMTAB
            return [], {}
        place, count = self.offset(self.one(6)), self.dynamic.num_symbols()
        versions: Sequence[int] = ()
        if 0x6FFFFFF0 in self.tags:  # DT_VERSYM
            versions = struct.unpack_from(f"<{count}H", self.content, self.offset(self.one(0x6FFFFFF0)))
        wanted: list[Wanted] = []
        defined: dict[str, set[str]] = {}
        table = self.content[place : place + count * _SYMBOL.size]
        for number, (start, info, _, section, _, _) in enumerate(_SYMBOL.iter_unpack(table)):
            if start == 0 or info >> 4 == _STB_LOCAL or info & 15 in (_STT_SECTION, _STT_FILE):
                continue
            name = self.string(start, "symbol")
            index = versions[number] & ~_HIDDEN if versions else 1
            if section == 0:
                need = needs.get(index)
                library, version = (need.library, need.version) if need else ("", "")
                wanted.append(Wanted(name, library, version, info >> 4 == _STB_WEAK, index))
            elif index != 0:
                defined.setdefault(name, set()).add(definitions.get(index, ""))
        return wanted, {name: frozenset(found) for name, found in defined.items()}
