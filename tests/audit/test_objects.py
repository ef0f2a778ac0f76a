"""Checks of objects on what a real compiler and linker made, one flaw each, in the build environment."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from layerlock.audit.elf import DamagedElf, Elf, read_elf
from layerlock.model.findings import Finding, Severity
from layerlock.workflows.auditing import Choice, audit_zip
from layerlock.workflows.building import build_package
from tests.build.conftest import Bench, bench, workbench

from .layers import pack

__all__ = ["bench", "workbench"]
pytestmark = pytest.mark.sandbox

SITE = "python/lib/python3.9/site-packages"
RECIPE = """
[package]
name = "flawed"
version = "1.0"
license = "Apache-2.0"

[build]
environment = "bullseye"
script = '''
mkdir -p /out && cd /out
good="-shared -fPIC -O1 -fstack-protector-all -Wl,-z,relro,-z,now -Wl,-z,noexecstack -Wl,--build-id=none -s"
echo 'int answer(void) { return 42; }' > /tmp/a.c
gcc $good -o good.so /tmp/a.c
gcc $good -Wl,-soname,libtwin.so.1 -o twin1.so /tmp/a.c
echo 'int answer(void) { return 43; }' > /tmp/b.c
gcc $good -Wl,-soname,libtwin.so.1 -o twin2.so /tmp/b.c
gcc $good -Wl,-z,execstack -o stack.so /tmp/a.c
printf '.globl f\\nf: ret\\n' > /tmp/old.s
gcc -shared -nostdlib -Wl,-z,relro,-z,now -s -o assembly.so /tmp/old.s
gcc $good -fno-stack-protector -o unguarded.so /tmp/a.c
gcc $good -Wl,-z,norelro -o norelro.so /tmp/a.c
echo 'int puts(const char *); int say(void) { return puts("x"); }' > /tmp/say.c
gcc -shared -fPIC -fplt -O1 -Wl,-z,relro,-z,lazy -s -o partial.so /tmp/say.c
gcc -shared -fPIC -nostdlib -Wl,-N -s -o writable.so /tmp/a.c
echo 'int g; int *f(void) { return &g; }' > /tmp/g.c
gcc -shared -fno-pic -mcmodel=large -nostdlib -Wl,-z,notext -Wl,-z,relro,-z,now -s -o relocated.so /tmp/g.c
gcc $good -Wl,-rpath,/usr/local/lib -o rpath.so /tmp/a.c
gcc $good -Wl,-rpath,'$ORIGIN/../lib' -o origin.so /tmp/a.c
gcc $good -Wl,-soname,libnothere.so.1 -o /tmp/libnothere.so.1 /tmp/a.c
echo 'int answer(void); int f(void) { return answer(); }' > /tmp/c.c
gcc $good -o missing.so /tmp/c.c /tmp/libnothere.so.1
gcc $good -o undefined.so /tmp/c.c
gcc $good -o needed.so /tmp/c.c twin1.so
echo 'double exp(double); double f(double x) { return exp(x); }' > /tmp/exp.c
gcc $good -o newer.so /tmp/exp.c -lm
gcc -shared -fPIC -g -Wl,-z,relro,-z,now -ffile-prefix-map=/tmp=. -fdebug-prefix-map=/build=. -o debug.so /tmp/a.c
gcc -c -fPIC -o relocatable.o /tmp/a.c
echo 'void *PyLong_FromLong(long); double sqrt(double);' > /tmp/py.c
echo 'void *f(double x) { return PyLong_FromLong((long) sqrt(x)); }' >> /tmp/py.c
gcc $good -fno-builtin -o module.so /tmp/py.c
strip --strip-unneeded relocatable.o
'''
"""


@dataclass(frozen=True, kw_only=True)
class Made:
    """What the compiler made, and the repository and store that it was made in."""

    folder: Path
    bench: Bench
    place: Path

    def audited(self, files: Mapping[str, str | bytes]) -> list[Finding]:
        """Audit a zip of some of it, under other names, by the checks of contents and objects."""
        held = {
            path: given if isinstance(given, bytes) else (self.folder / given).read_bytes()
            for path, given in files.items()
        }
        zipped = pack(self.place / "layer.zip", held)
        choice = Choice(only=frozenset({"contents", "objects"}), today=datetime.date(2026, 11, 21))
        return [told.finding for told in audit_zip(self.bench.driver(), zipped, choice).told]


@pytest.fixture
def made(bench: Bench, tmp_path: Path) -> Made:
    """Build the package once; its store is kept for the session."""
    (bench.folder / "recipes" / "packages" / "flawed.toml").write_text(RECIPE)
    _, folder = build_package(bench.driver(), "flawed")
    return Made(folder=folder, bench=bench, place=tmp_path)


SOUND = {f"{SITE}/good.so": "good.so", f"{SITE}/module.so": "module.so", "lib/origin.so": "origin.so"}
FLAWS: dict[str, tuple[str, str, Severity]] = {
    "stack.so": ("executable-stack", "asks for", Severity.ERROR),
    "assembly.so": ("executable-stack", "does not rule out", Severity.ERROR),
    "norelro.so": ("relro", "no RELRO", Severity.WARNING),
    "partial.so": ("relro", "partial RELRO", Severity.NOTE),
    "relocated.so": ("writable-code", "text relocations", Severity.WARNING),
    "rpath.so": ("search-paths", "/usr/local/lib", Severity.ERROR),
    "missing.so": ("missing-libraries", "libnothere.so.1", Severity.ERROR),
    "undefined.so": ("undefined-symbols", "answer", Severity.ERROR),
    "newer.so": ("symbol-versions", "GLIBC_2.29 of libm.so.6", Severity.ERROR),
    "debug.so": ("debug-info", "debug information", Severity.WARNING),
}


def test_sound_objects_have_no_finding(made: Made) -> None:
    """Full RELRO, a search path below $ORIGIN, and a module that counts on what every Python brings."""
    assert made.audited(SOUND) == []


def test_each_flaw_is_named(made: Made) -> None:
    """One finding for each, by the check that is for it; one zip each, so that none hides another."""
    for name, (check, said, severity) in FLAWS.items():
        findings = made.audited({**SOUND, f"{SITE}/flaw.so": name})
        shown = [(each.check, each.severity) for each in findings]
        if name == "missing.so":
            # What the missing library would have defined is missing too.
            assert ("undefined-symbols", Severity.ERROR) in shown
            shown.remove(("undefined-symbols", Severity.ERROR))
        assert shown == [(check, severity)], (name, findings)
        finding = next(each for each in findings if each.check == check)
        assert said in finding.message, name
        assert "flaw.so" in finding.message, name


def test_writable_code(made: Made) -> None:
    """What is linked with -N has one segment for all; the linker leaves RELRO out then."""
    findings = made.audited({**SOUND, f"{SITE}/flaw.so": "writable.so"})
    assert ("writable-code", Severity.ERROR) in {(each.check, each.severity) for each in findings}


def test_packages_without_a_stack_protector_are_noted(made: Made) -> None:
    """One object that has it speaks for its package; a zip without records is taken for one."""
    assert made.audited({f"{SITE}/a.so": "unguarded.so", f"{SITE}/b.so": "good.so"}) == []
    (finding,) = made.audited({f"{SITE}/a.so": "unguarded.so"})
    assert (finding.check, finding.severity) == ("stack-protector", Severity.NOTE)


def test_two_copies_of_a_library(made: Made) -> None:
    """Under one soname, with other bytes."""
    (finding,) = made.audited({"lib/libtwin.so.1": "twin1.so", f"{SITE}/tiny/libtwin.so.1": "twin2.so"})
    assert (finding.check, finding.subject) == ("duplicate-libraries", "libtwin.so.1")


def test_a_library_where_nothing_looks(made: Made) -> None:
    """In lib/ it is found; beside the module it is not, and the hint says where it lies."""
    assert made.audited({f"{SITE}/needed.so": "needed.so", "lib/libtwin.so.1": "twin1.so"}) == []
    findings = made.audited({f"{SITE}/needed.so": "needed.so", f"{SITE}/libs/libtwin.so.1": "twin1.so"})
    missing = next(each for each in findings if each.check == "missing-libraries")
    assert f"{SITE}/libs/libtwin.so.1" in missing.hint


def test_an_object_of_another_machine_and_a_cut_one(made: Made) -> None:
    """The zip is for what most of its objects are for."""
    other = bytearray((made.folder / "good.so").read_bytes())
    other[18] = 183
    (finding,) = made.audited({**SOUND, f"{SITE}/flaw.so": bytes(other)})
    assert (finding.check, finding.severity) == ("damaged-objects", Severity.ERROR)
    assert "arm64" in finding.message
    (finding,) = made.audited({**SOUND, f"{SITE}/flaw.so": (made.folder / "good.so").read_bytes()[:700]})
    assert (finding.check, finding.severity) == ("damaged-objects", Severity.ERROR)
    assert "damaged" in finding.message


def test_the_reader_says_what_pyelftools_says(made: Made) -> None:
    """Another implementation, symbol by symbol, on objects of this and of the environment's own making."""
    root = next(made.bench.store.glob("trees/*-environment-bullseye"))
    system = [
        path
        for path in sorted((root / "usr/lib/x86_64-linux-gnu").glob("*.so.*"))
        if not path.is_symlink() and path.stat().st_size < 3 << 20
    ]
    paths = [*sorted(made.folder.glob("*.so")), *system[:25]]
    assert len(paths) > 30
    for path in paths:
        _compare(path)
    relocatable = read_elf((made.folder / "relocatable.o").read_bytes())
    assert (relocatable.kind, relocatable.needed) == ("other", ())


def _compare(path: Path) -> None:
    mine: Elf = read_elf(path.read_bytes())
    with path.open("rb") as file:
        theirs = ELFFile(file)
        dynamic = theirs.get_section_by_name(".dynamic")
        assert isinstance(dynamic, DynamicSection)
        tags: list[Any] = list(dynamic.iter_tags())
        assert mine.needed == tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED"), path
        assert mine.soname == next((tag.soname for tag in tags if tag.entry.d_tag == "DT_SONAME"), ""), path
        table = theirs.get_section_by_name(".dynsym")
        assert isinstance(table, SymbolTableSection)
        symbols = [
            symbol
            for symbol in table.iter_symbols()
            if symbol.name and symbol["st_info"]["bind"] != "STB_LOCAL"
        ]
        wanted = sorted(symbol.name for symbol in symbols if symbol["st_shndx"] == "SHN_UNDEF")
        assert sorted(each.name for each in mine.wanted) == wanted, path
        defined = {symbol.name for symbol in symbols if symbol["st_shndx"] != "SHN_UNDEF"}
        assert mine.defined.keys() <= defined, path
        needs: Any = theirs.get_section_by_name(".gnu.version_r")
        asked = (
            []
            if needs is None
            else [(need.name, aux.name) for need, auxiliary in needs.iter_versions() for aux in auxiliary]
        )
        assert sorted((each.library, each.name) for each in mine.asked) == sorted(asked), path
        assert mine.machine == "x86_64"


def test_damaged_objects_are_told_and_nothing_else_happens(made: Made) -> None:
    """Every byte of the headers and tables in turn, and every length: an error of its own kind or an answer."""
    whole = (made.folder / "needed.so").read_bytes()
    places = range(0, len(whole), 7)
    outcomes = {"read": 0, "damaged": 0}
    for place in places:
        for damaged in (whole[:place], whole[:place] + b"\xff\xff" + whole[place + 2 :]):
            try:
                read_elf(damaged)
                outcomes["read"] += 1
            except DamagedElf:
                outcomes["damaged"] += 1
    assert min(outcomes.values()) > 50
