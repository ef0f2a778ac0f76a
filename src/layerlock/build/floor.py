"""Makes a linker see an older glibc than the one that runs: stub libraries in place of the development names.

A stub exports, for every symbol of the real library, the newest version that is not above the floor, as the
default one; older versions stay behind it, and a symbol that came later is absent. It holds no code:
nothing ever loads it. What is linked against it asks for old versions only, and a configure check for a
newer function fails as it should.

This module chooses symbols and versions and puts the stubs in place; `stub_elf` writes their files.
"""

from __future__ import annotations

import io
import os
import posixpath
import re
import struct
from collections.abc import Iterator
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerDefSection, GNUVerSymSection
from elftools.elf.sections import SymbolTableSection

from layerlock.build.stub_elf import Interface, Symbol, write
from layerlock.errors import InvalidRecipe

# The number of this transform: it stands in the derivation of every environment with a floor.
FLOOR = "glibc-floor/1"

_LIBRARY_FOLDERS = ("lib", "usr/lib", "lib64", "usr/lib64")
_MACHINES = {"EM_X86_64": 62, "EM_AARCH64": 183}
_KINDS = {"STT_NOTYPE": 0, "STT_OBJECT": 1, "STT_FUNC": 2, "STT_TLS": 6, "STT_LOOS": 2, "STT_GNU_IFUNC": 2}
_BINDS = {"STB_GLOBAL": 1, "STB_WEAK": 2, "STB_LOOS": 1, "STB_GNU_UNIQUE": 1}
_HIDDEN = 0x8000
_LINKS = 40
# What the compiler's own build found in its glibc and wrote into libstdc++'s headers, by the glibc that brought it:
# the headers would call these functions whatever the linker sees. Without the macro they fall back to older ones.
_CXX_MACROS = {
    "_GLIBCXX_USE_PTHREAD_COND_CLOCKWAIT": "2.30",
    "_GLIBCXX_USE_PTHREAD_MUTEX_CLOCKLOCK": "2.30",
    "_GLIBCXX_USE_PTHREAD_RWLOCK_CLOCKLOCK": "2.30",
}


def stub(library: bytes | Path, floor: str) -> bytes:
    """A stub of a shared library at `floor` ("2.26"): the same bytes for the same library and floor.

    Raises InvalidRecipe if the library is no ELF64 little-endian shared object with symbol versions.
    """
    content = library if isinstance(library, bytes) else library.read_bytes()
    return write(lowered(read(content), floor))


def apply_floor(root: Path, floor: str, libraries: tuple[str, ...]) -> None:
    """Replace the development names of `libraries` (sonames) in the root file system `root` by stubs.

    `libm.so` becomes a stub itself where it was a link. Where it is a linker script, the script stays as it is
    but names stubs, which stand in a folder of their own beside it, instead of shared libraries
    (libc_nonshared.a, which it names too, is kept). libstdc++'s headers are told of what the floor lacks.
    What programs in the root are loaded with is not touched.
    Raises InvalidRecipe if a library or its development name is not there.
    """
    for soname in sorted(libraries):
        real = _real(root, soname)
        development = soname.partition(".so")[0] + ".so"
        places = [place for place in _library_folders(root) if os.path.lexists(place / development)]
        if not places:
            raise InvalidRecipe(
                f"{development} is not in the environment, so it cannot get a floor",
                hint="add the development package that has it, or take the library out of [floor] libraries",
            )
        for folder in places:
            name = folder / development
            if name.is_symlink() or _is_elf(name):
                _replace(name, stub(real, floor))
            else:
                _rewrite_script(root, name, floor)
    for header in sorted(root.glob("usr/include/**/c++/*/bits/c++config.h")):
        # A folder of the root may be an absolute link: what it leads to here is no business of ours.
        if header.resolve().is_relative_to(root.resolve()):
            _lower_header(header, floor)


def read(content: bytes) -> Interface:
    """What a shared library offers to a linker; symbols of GLIBC_PRIVATE and such without a version are
    left out.
    """
    try:
        return _read(content)
    except (ELFError, struct.error, KeyError) as error:
        raise InvalidRecipe(f"a library that is to get a floor cannot be read: {error}") from error


def lowered(interface: Interface, floor: str) -> Interface:
    """The interface as of `floor`: a symbol's newest version not above it is its default one.

    A symbol that only has superseded versions in the real library stays without a default: nobody could
    link to it before either. Versions of other families than GLIBC are taken as they are.
    """
    level = _numbers(floor)
    versions = tuple(version for version in interface.versions if _within(version, level))
    kept: dict[str, list[Symbol]] = {}
    offered = {symbol.name for symbol in interface.symbols if symbol.default}
    for symbol in interface.symbols:
        if symbol.version in versions:
            kept.setdefault(symbol.name, []).append(symbol)
    symbols: list[Symbol] = []
    for name in sorted(kept):
        found = sorted(kept[name], key=lambda symbol: (symbol.default, versions.index(symbol.version)))
        newest = max(found, key=lambda symbol: (_order(symbol.version), symbol.default))
        for symbol in found:
            default = name in offered and symbol is newest
            symbols.append(
                Symbol(
                    name=symbol.name,
                    version=symbol.version,
                    default=default,
                    kind=symbol.kind,
                    bind=symbol.bind,
                    size=symbol.size,
                    place=symbol.place,
                )
            )
    symbols.sort(key=lambda symbol: (symbol.name, symbol.default, symbol.version))
    return Interface(
        soname=interface.soname, machine=interface.machine, versions=versions, symbols=tuple(symbols)
    )


# ---- reading


def _read(content: bytes) -> Interface:
    elf = ELFFile(io.BytesIO(content))
    if elf.elfclass != 64 or not elf.little_endian or elf["e_type"] != "ET_DYN":
        raise ELFError("not a 64-bit little-endian shared object")
    sections = list(elf.iter_sections())
    versym = next((s for s in sections if isinstance(s, GNUVerSymSection)), None)
    verdef = next((s for s in sections if isinstance(s, GNUVerDefSection)), None)
    dynamic = elf.get_section_by_name(".dynamic")
    table = elf.get_section_by_name(".dynsym")
    if (
        versym is None
        or verdef is None
        or not (isinstance(dynamic, DynamicSection) and isinstance(table, SymbolTableSection))
    ):
        raise ELFError("without symbol versions")
    soname = next(str(vars(tag)["soname"]) for tag in dynamic.iter_tags("DT_SONAME"))
    versions: dict[int, str] = {}
    for entry, auxiliaries in verdef.iter_versions():
        name = next(iter(auxiliaries)).name
        if not entry["vd_flags"] & 1 and name != "GLIBC_PRIVATE":
            versions[entry["vd_ndx"] & ~_HIDDEN] = name
    symbols = []
    for number, symbol in enumerate(table.iter_symbols()):
        index = versym.get_symbol(number).entry["ndx"]
        kind, bind = symbol["st_info"]["type"], symbol["st_info"]["bind"]
        if not isinstance(index, int) or symbol["st_shndx"] == "SHN_UNDEF" or bind not in _BINDS:
            continue
        version = versions.get(index & ~_HIDDEN)
        # The symbol that stands for a version itself is absolute and of no use to a linker.
        if version is None or kind not in _KINDS or symbol.name == version:
            continue
        symbols.append(
            Symbol(
                name=symbol.name,
                version=version,
                default=not index & _HIDDEN,
                kind=_KINDS[kind],
                bind=_BINDS[bind],
                size=symbol["st_size"],
                place=symbol["st_value"],
            )
        )
    machine = _MACHINES[elf["e_machine"]]
    return Interface(
        soname=soname, machine=machine, versions=tuple(versions.values()), symbols=tuple(symbols)
    )


def _numbers(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)*", text):
        raise InvalidRecipe(f"not a version of glibc: {text!r}", hint='write it as in glibc = "2.26"')
    return tuple(int(part) for part in text.split("."))


def _order(version: str) -> tuple[int, ...]:
    number = version.partition("_")[2]
    return _numbers(number) if re.fullmatch(r"[0-9.]+", number) else ()


def _within(version: str, level: tuple[int, ...]) -> bool:
    return not version.startswith("GLIBC_") or _order(version) <= level


# ---- the root file system


def _library_folders(root: Path) -> Iterator[Path]:
    """The folders of `root` in which libraries stand, each once, without following absolute links."""
    seen: set[Path] = set()
    for name in _LIBRARY_FOLDERS:
        folder = _inside(root, name)
        if folder is None or not folder.is_dir():
            continue
        for place in [
            folder,
            *sorted(child for child in folder.iterdir() if child.name.endswith("-linux-gnu")),
        ]:
            if place.is_dir() and not place.is_symlink() and place not in seen:
                seen.add(place)
                yield place


def _inside(root: Path, name: str) -> Path | None:
    """Where `name`, a path of the root file system, leads to when links are followed as inside of it."""
    for _ in range(_LINKS):
        parts = posixpath.normpath("/" + name).strip("/").split("/")
        for end in range(1, len(parts) + 1):
            place = root.joinpath(*parts[:end])
            if place.is_symlink():
                base = "/".join(parts[: end - 1])
                name = "/".join([posixpath.join("/" + base, str(place.readlink())), *parts[end:]])
                break
        else:
            place = root.joinpath(*parts)
            return place if place.exists() else None
    return None


def _real(root: Path, soname: str) -> Path:
    for folder in _library_folders(root):
        found = _inside(root, f"{folder.relative_to(root).as_posix()}/{soname}")
        if found is not None and found.is_file():
            return found
    raise InvalidRecipe(
        f"{soname} is not in the environment, so it cannot get a floor",
        hint="add the package that has it, or take the library out of [floor] libraries",
    )


def _is_elf(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) == b"\x7fELF"


def _rewrite_script(root: Path, script: Path, floor: str) -> None:
    """Make a GNU ld script name stubs instead of shared libraries; archives and everything else stay."""
    folder = script.parent / f"glibc-floor-{floor}"
    text = script.read_text(encoding="utf-8")

    def replaced(match: re.Match[str]) -> str:
        real = _inside(root, match.group())
        if real is None:
            raise InvalidRecipe(f"the linker script {script.name} names {match.group()}, which is not there")
        folder.mkdir(exist_ok=True)
        place = folder / posixpath.basename(match.group())
        place.write_bytes(stub(real, floor))
        place.chmod(0o644)
        return f"/{place.relative_to(root).as_posix()}"

    rewritten = re.sub(r"/[^\s()]*\.so(?:\.[0-9]+)*(?=[\s)])", replaced, text)
    _replace(script, rewritten.encode())


def _lower_header(header: Path, floor: str) -> None:
    """Take macros out of libstdc++'s configuration that stand for functions above the floor."""
    level = _numbers(floor)
    late = [macro for macro, version in _CXX_MACROS.items() if _numbers(version) > level]
    if late:
        text = header.read_text(encoding="utf-8")
        pattern = rf"(?m)^[ \t]*#[ \t]*define[ \t]+({'|'.join(late)})\b.*$"
        _replace(header, re.sub(pattern, r"/* \1 is above the glibc floor */", text).encode())


def _replace(path: Path, content: bytes) -> None:
    """A new file in place of an old one, which may be a hard link to a file of another environment."""
    path.unlink()
    path.write_bytes(content)
    path.chmod(0o644)
