"""What a shared object states about itself, read from its bytes alone: nothing is executed, every read is bounded.

Only ELF64, little-endian, is read further than its header: both of Lambda's architectures are that. Headers and
tables are unpacked here and not by pyelftools, which makes an object of every symbol and takes several times as long
for a layer of a hundred objects; the tests hold the two against each other. This is a reading of its own, apart from
the one that assembly does in the sandbox: an audit that shared its code would share its mistakes.

Sources: the System V ABI's chapters on object files and dynamic linking; elf.h of glibc; "ELF Symbol Versioning" by
U. Drepper; "ELF: the GNU hash table" for the count of symbols.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

MAGIC: Final = b"\x7fELF"
MACHINES: Final = {62: "x86_64", 183: "arm64"}

Relro = Literal["full", "partial", "none"]

_HEADER: Final = struct.Struct("<HHIQQQIHHHHHH")
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC: Final = struct.Struct("<qQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_NEED: Final = struct.Struct("<HHIII")
_NEED_AUX: Final = struct.Struct("<IHHII")
_DEFINE: Final = struct.Struct("<HHHHIII")
_DEFINE_AUX: Final = struct.Struct("<II")
_ET_DYN, _ET_EXEC = 3, 2
_PT_LOAD, _PT_DYNAMIC, _PT_INTERP, _PT_STACK, _PT_RELRO = 1, 2, 3, 0x6474E551, 0x6474E552
_NEEDED, _HASH, _STRTAB, _SYMTAB, _STRSZ, _SONAME, _RPATH, _RUNPATH = 1, 4, 5, 6, 10, 14, 15, 29
_TEXTREL, _JMPREL, _BIND_NOW, _FLAGS, _FLAGS_1 = 22, 23, 24, 30, 0x6FFFFFFB
_GNU_HASH, _VERSYM, _VERDEF, _VERDEFNUM, _VERNEED, _VERNEEDNUM = (
    *(0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF),
)
_HIDDEN: Final = 0x8000
_LOCAL, _WEAK = 0, 2
_SECTION_SYMBOL, _FILE_SYMBOL = 3, 4
_X, _W = 1, 2
_NO_BITS, _SYMBOLS = 8, 2
_MOST_VERSIONS: Final = 1 << 15
_LONGEST_NAME: Final = 1 << 16
_NAMES: Final = 256 << 20
"""Characters of all names of one object: a hostile one could name half of itself a million times."""


class DamagedElf(ValueError):
    """The tables of an object lead out of it, or say what cannot be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A version that is asked of a library."""

    library: str
    name: str
    weak: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """An undefined symbol; `library` and `version` are empty where it asks for none."""

    name: str
    library: str
    version: str
    weak: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Elf:
    """What one object states.

    Args:
        kind: `dynamic` is what a loader takes; `other` are relocatables, static programs and cores.
        machine: the architecture as layers call it, else the number in the header.
        executable_stack: None where it does not say.
        writable_code: whether some segment is writable and executable.
        text_relocations: whether the loader has to write into code.
        relro: `full` if nothing that the loader fills stays writable.
        debug: bytes of sections that only a debugger reads.
        symbols: bytes of the symbol table that only a linker or debugger reads, with its names.
        versions: of symbols that it defines.
        defined: the versions of each symbol that it defines; the empty one is none.
    """

    kind: Literal["dynamic", "other"] = "other"
    machine: str = ""
    soname: str = ""
    interpreter: bool = False
    needed: tuple[str, ...] = ()
    rpath: tuple[str, ...] = ()
    runpath: tuple[str, ...] = ()
    executable_stack: bool | None = None
    writable_code: bool = False
    text_relocations: bool = False
    relro: Relro = "none"
    debug: int = 0
    symbols: int = 0
    asked: tuple[Version, ...] = ()
    wanted: tuple[Wanted, ...] = field(default=(), repr=False)
    defined: dict[str, frozenset[str]] = field(default_factory=dict, repr=False)
    versions: frozenset[str] = frozenset()

    def defines(self, name: str, version: str) -> bool:
        """Whether a reference to `name` at `version` finds it here; without versions here, any reference does."""
        found = self.defined.get(name)
        return found is not None and (not version or version in found or not self.versions)


def is_elf(content: bytes) -> bool:
    """Whether these bytes start as ELF files do."""
    return content[:4] == MAGIC


def read_elf(content: bytes) -> Elf:
    """Read an object.

    Raises:
        DamagedElf: it is cut short, or its tables are not sound.
    """
    try:
        return _Reader(content).read()
    except (struct.error, IndexError, OverflowError, MemoryError) as error:
        raise DamagedElf(f"cut short, or tables that lead out of it ({error})") from error


class _Reader:
    """Walks the headers and the dynamic table of one object."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._tags: dict[int, list[int]] = {}
        self._names = 0
        self._known: dict[int, str] = {}

    def read(self) -> Elf:
        content = self._content
        if len(content) < 64:
            raise DamagedElf("shorter than its header")
        if content[4:6] != b"\2\1":
            return Elf(machine="32-bit or big-endian")
        header = _HEADER.unpack_from(content, 16)
        kind, machine = header[0], MACHINES.get(header[1], f"machine {header[1]}")
        debug, symbols = self._debug(header[5], header[10], header[11], header[12])
        if kind not in (_ET_DYN, _ET_EXEC):
            return Elf(machine=machine, debug=debug, symbols=symbols)
        if header[8] != _SEGMENT.size:
            raise DamagedElf("segment headers of an unknown size")
        place, count = header[4], header[9]
        self._segments = [_SEGMENT.unpack_from(content, place + n * _SEGMENT.size) for n in range(count)]
        stack = [segment[1] for segment in self._segments if segment[0] == _PT_STACK]
        facts = Elf(
            machine=machine,
            debug=debug,
            symbols=symbols,
            executable_stack=bool(stack[0] & _X) if stack else None,
            writable_code=any(s[0] == _PT_LOAD and s[1] & _X and s[1] & _W for s in self._segments),
            interpreter=any(segment[0] == _PT_INTERP for segment in self._segments),
        )
        dynamic = next((segment for segment in self._segments if segment[0] == _PT_DYNAMIC), None)
        return facts if dynamic is None else self._dynamic(facts, dynamic[2], dynamic[5])

    def _debug(self, place: int, size: int, count: int, names_at: int) -> tuple[int, int]:
        """Add up what only debuggers read. Section headers may be gone; nothing that runs needs them."""
        if not place or size != _SECTION.size or not count:
            return 0, 0
        sections = [_SECTION.unpack_from(self._content, place + n * size) for n in range(count)]
        names = sections[names_at][4] if names_at < count else 0
        debug = symbols = 0
        for section in sections:
            if section[1] == _NO_BITS:
                continue
            name = self._content[names + section[0] : names + section[0] + 16]
            if name.startswith((b".debug_", b".zdebug_", b".gdb_index")):
                debug += section[5]
            elif section[1] == _SYMBOLS:
                symbols += section[5]
                if section[6] < count:
                    symbols += sections[section[6]][5]
        return debug, symbols

    def _dynamic(self, facts: Elf, place: int, size: int) -> Elf:
        table = self._content[place : place + size // _DYNAMIC.size * _DYNAMIC.size]
        for tag, value in _DYNAMIC.iter_unpack(table):
            if tag == 0:
                break
            self._tags.setdefault(tag, []).append(value)
        self._strings = self._offset(self._one(_STRTAB)) if _STRTAB in self._tags else 0
        self._strings_end = self._strings + self._one(_STRSZ)
        asked = dict(self._asked())
        versions = dict(self._versions())
        wanted, defined = self._symbols(asked, versions)
        return Elf(
            kind="dynamic",
            machine=facts.machine,
            soname=self._string(self._one(_SONAME)) if _SONAME in self._tags else "",
            interpreter=facts.interpreter,
            needed=tuple(self._string(value) for value in self._tags.get(_NEEDED, ())),
            rpath=self._paths(_RPATH),
            runpath=self._paths(_RUNPATH),
            executable_stack=facts.executable_stack,
            writable_code=facts.writable_code,
            text_relocations=_TEXTREL in self._tags or bool(self._one(_FLAGS) & 4),
            relro=self._relro(),
            debug=facts.debug,
            symbols=facts.symbols,
            asked=tuple(asked.values()),
            wanted=tuple(wanted),
            defined={name: frozenset(found) for name, found in defined.items()},
            versions=frozenset(versions.values()),
        )

    def _relro(self) -> Relro:
        if not any(segment[0] == _PT_RELRO for segment in self._segments):
            return "none"
        now = _BIND_NOW in self._tags or self._one(_FLAGS) & 8 or self._one(_FLAGS_1) & 1
        # Without a table of lazily bound functions there is nothing that stays writable.
        return "full" if now or _JMPREL not in self._tags else "partial"

    def _one(self, tag: int) -> int:
        return self._tags.get(tag, (0,))[0]

    def _paths(self, tag: int) -> tuple[str, ...]:
        return tuple(self._string(self._one(tag)).split(":")) if tag in self._tags else ()

    def _offset(self, address: int) -> int:
        for kind, _, offset, start, _, size, _, _ in self._segments:
            if kind == _PT_LOAD and start <= address < start + size:
                return int(address - start + offset)
        raise DamagedElf(f"the address {address:#x} is in no segment")

    def _string(self, start: int) -> str:
        known = self._known.get(start)
        if known is not None:
            return known
        place = self._strings + start
        if not self._strings <= place < self._strings_end:
            raise DamagedElf("a name lies outside of the string table")
        end = self._content.find(b"\0", place, place + _LONGEST_NAME)
        self._names += end - place
        if end < 0 or self._names > _NAMES:
            raise DamagedElf("names without an end")
        made = self._known[start] = self._content[place:end].decode("utf-8", "backslashreplace")
        return made

    def _asked(self) -> Iterator[tuple[int, Version]]:
        if _VERNEED not in self._tags:
            return
        read = 0
        for file, at, count in self._chain(_NEED, _VERNEED, _VERNEEDNUM):
            library = self._string(file[2])
            place = at + file[3]
            for _ in range(count):
                read += 1
                if read > _MOST_VERSIONS:
                    raise DamagedElf("more versions than there are numbers for")
                _, flags, index, name, following = _NEED_AUX.unpack_from(self._content, place)
                yield (
                    index & ~_HIDDEN,
                    Version(library=library, name=self._string(name), weak=bool(flags & 2)),
                )
                if not following:
                    break
                place += following

    def _versions(self) -> Iterator[tuple[int, str]]:
        if _VERDEF not in self._tags:
            return
        for found, at, _ in self._chain(_DEFINE, _VERDEF, _VERDEFNUM):
            if not found[1] & 1:  # the first one is the library's own name
                name, _ = _DEFINE_AUX.unpack_from(self._content, at + found[5])
                yield found[2] & ~_HIDDEN, self._string(name)

    def _chain(
        self, row: struct.Struct, first: int, number: int
    ) -> Iterator[tuple[tuple[int, ...], int, int]]:
        """Follow rows that tell the way to the next one; only ever forward, so that there is an end."""
        place = self._offset(self._one(first))
        if self._one(number) > _MOST_VERSIONS:
            raise DamagedElf("more versions than there are numbers for")
        for _ in range(self._one(number)):
            found = row.unpack_from(self._content, place)
            yield found, place, found[1] if row is _NEED else found[3]
            if not found[-1]:
                break
            place += found[-1]

    def _count(self) -> int:
        if _HASH in self._tags:
            return int(struct.unpack_from("<II", self._content, self._offset(self._one(_HASH)))[1])
        if _GNU_HASH not in self._tags:
            return 0
        place = self._offset(self._one(_GNU_HASH))
        buckets, start, bloom, _ = struct.unpack_from("<IIII", self._content, place)
        place += 16 + 8 * bloom
        if place + 4 * buckets > len(self._content):
            raise DamagedElf("a hash table that leads out of it")
        last = max(struct.unpack_from(f"<{buckets}I", self._content, place), default=0)
        if last < start:
            return int(start)
        place += 4 * buckets + 4 * (last - start)
        while not struct.unpack_from("<I", self._content, place)[0] & 1:
            last += 1
            place += 4
            if last * _SYMBOL.size > len(self._content):
                raise DamagedElf("a hash table without an end")
        return int(last + 1)

    def _symbols(
        self, asked: dict[int, Version], versions: dict[int, str]
    ) -> tuple[list[Wanted], dict[str, set[str]]]:
        wanted: list[Wanted] = []
        defined: dict[str, set[str]] = {}
        count = self._count() if _SYMTAB in self._tags else 0
        if not count:
            return wanted, defined
        place = self._offset(self._one(_SYMTAB))
        if place + count * _SYMBOL.size > len(self._content):
            raise DamagedElf("a symbol table that leads out of it")
        indices: tuple[int, ...] = ()
        if _VERSYM in self._tags:
            indices = struct.unpack_from(f"<{count}H", self._content, self._offset(self._one(_VERSYM)))
        table = self._content[place : place + count * _SYMBOL.size]
        for number, (start, info, _, section, _, _) in enumerate(_SYMBOL.iter_unpack(table)):
            if not start or info >> 4 == _LOCAL or info & 15 in (_SECTION_SYMBOL, _FILE_SYMBOL):
                continue
            index = indices[number] & ~_HIDDEN if indices else 1
            if not section:
                need = asked.get(index)
                wanted.append(
                    Wanted(
                        name=self._string(start),
                        library=need.library if need else "",
                        version=need.name if need else "",
                        weak=info >> 4 == _WEAK,
                    )
                )
            elif index:
                defined.setdefault(self._string(start), set()).add(versions.get(index, ""))
        return wanted, defined
