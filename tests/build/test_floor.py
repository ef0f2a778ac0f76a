"""Stub libraries: linked against for real, and the development names that they take the place of."""

from __future__ import annotations

import hashlib
import platform
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.build.floor import apply_floor, lowered, read, stub
from layerlock.build.stub_elf import Interface, Symbol, write
from layerlock.errors import InvalidRecipe


def _symbol(
    name: str, version: str, *, default: bool = True, kind: int = 2, size: int = 8, place: int = 0
) -> Symbol:
    return Symbol(name=name, version=version, default=default, kind=kind, bind=1, size=size, place=place)


INTERFACE = Interface(
    soname="libdemo.so.1",
    machine=62,
    versions=("GLIBC_2.2.5", "GLIBC_2.10", "GLIBC_2.29"),
    symbols=(
        _symbol("both", "GLIBC_2.2.5", default=False),
        _symbol("both", "GLIBC_2.29"),
        _symbol("late", "GLIBC_2.29"),
        _symbol("middle", "GLIBC_2.10"),
        _symbol("gone", "GLIBC_2.2.5", default=False),
        _symbol("data", "GLIBC_2.2.5", kind=1, size=24, place=64),
        _symbol("alias", "GLIBC_2.2.5", kind=1, size=24, place=64),
        _symbol("thread", "GLIBC_2.2.5", kind=6, size=4),
    ),
)
# Of INTERFACE at 2.26. If the writer changes on purpose, FLOOR needs a new number and the old writer stays.
GOLDEN = "749ab52ce52dfa0861849353120ab8d0a49426d33c646ea00c121936a853c064"


def test_versions_are_chosen() -> None:
    chosen = lowered(INTERFACE, "2.26")
    assert chosen.versions == ("GLIBC_2.2.5", "GLIBC_2.10")
    assert {(symbol.name, symbol.version, symbol.default) for symbol in chosen.symbols} == {
        ("both", "GLIBC_2.2.5", True),
        ("middle", "GLIBC_2.10", True),
        ("gone", "GLIBC_2.2.5", False),
        ("data", "GLIBC_2.2.5", True),
        ("alias", "GLIBC_2.2.5", True),
        ("thread", "GLIBC_2.2.5", True),
    }


def test_versions_are_numbers() -> None:
    """2.9 is older than 2.10."""
    assert [symbol.name for symbol in lowered(INTERFACE, "2.9").symbols if symbol.name == "middle"] == []
    assert len(lowered(INTERFACE, "2.30").symbols) == len(INTERFACE.symbols)


def test_golden() -> None:
    content = write(lowered(INTERFACE, "2.26"))
    assert hashlib.sha256(content).hexdigest() == GOLDEN


@pytest.mark.parametrize("machine", [62, 183])
def test_what_is_written_can_be_read(machine: int) -> None:
    chosen = replace(lowered(INTERFACE, "2.26"), machine=machine)
    back = read(write(chosen))
    assert (back.soname, back.machine, back.versions) == (chosen.soname, machine, chosen.versions)
    shape = {(s.name, s.version, s.default, s.kind, s.size) for s in chosen.symbols}
    assert {(s.name, s.version, s.default, s.kind, s.size) for s in back.symbols} == shape
    places = {symbol.name: symbol.place for symbol in back.symbols}
    assert places["data"] == places["alias"]


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"\x7fELF\2\1\1" + bytes(80)])
def test_what_is_no_library(content: bytes) -> None:
    with pytest.raises(InvalidRecipe):
        stub(content, "2.26")


def test_a_floor_that_is_no_version() -> None:
    with pytest.raises(InvalidRecipe, match="not a version of glibc"):
        lowered(INTERFACE, "new")


def _root(root: Path) -> Path:
    """A root file system as Debian's, in little: not merged, links of both kinds, a linker script."""
    real = root / "lib/x86_64-linux-gnu"
    development = root / "usr/lib/x86_64-linux-gnu"
    for folder in (real, development, root / "lib64", root / "usr/include/x86_64-linux-gnu/c++/10/bits"):
        folder.mkdir(parents=True)
    for name in ("libdemo", "libc", "ld-linux"):
        content = write(replace(INTERFACE, soname=f"{name}.so.1"))
        (real / f"{name}-2.31.so").write_bytes(content)
        (real / f"{name}.so.1").symlink_to(f"{name}-2.31.so")
    (root / "lib64/ld-linux.so.1").symlink_to("/lib/x86_64-linux-gnu/ld-linux.so.1")
    (development / "libdemo.so").symlink_to("/lib/x86_64-linux-gnu/libdemo.so.1")
    (development / "libc_nonshared.a").write_bytes(b"!<arch>\n")
    (development / "libc.so").write_text(
        "/* GNU ld script */\nGROUP ( /lib/x86_64-linux-gnu/libc.so.1 "
        "/usr/lib/x86_64-linux-gnu/libc_nonshared.a  AS_NEEDED ( /lib64/ld-linux.so.1 ) )\n"
    )
    (root / "usr/include/x86_64-linux-gnu/c++/10/bits/c++config.h").write_text(
        "#define _GLIBCXX_USE_PTHREAD_COND_CLOCKWAIT 1\n#define OTHER 1\n"
    )
    return root


def test_development_names_are_replaced(tmp_path: Path) -> None:
    root = _root(tmp_path / "root")
    before = {path: path.read_bytes() for path in (root / "lib").rglob("*") if path.is_file()}
    twin = tmp_path / "twin"
    twin.hardlink_to(root / "usr/lib/x86_64-linux-gnu/libc.so")
    script = twin.read_text()
    apply_floor(root, "2.26", ("libdemo.so.1", "libc.so.1"))
    development = root / "usr/lib/x86_64-linux-gnu"
    assert not (development / "libdemo.so").is_symlink()
    assert read((development / "libdemo.so").read_bytes()) == read(write(lowered(INTERFACE, "2.26")))
    floor = "/usr/lib/x86_64-linux-gnu/glibc-floor-2.26"
    assert (development / "libc.so").read_text() == (
        f"/* GNU ld script */\nGROUP ( {floor}/libc.so.1 /usr/lib/x86_64-linux-gnu/libc_nonshared.a"
        f"  AS_NEEDED ( {floor}/ld-linux.so.1 ) )\n"
    )
    assert read((root / floor[1:] / "ld-linux.so.1").read_bytes()).soname == "ld-linux.so.1"
    assert {path: path.read_bytes() for path in before} == before
    assert twin.read_text() == script
    header = root / "usr/include/x86_64-linux-gnu/c++/10/bits/c++config.h"
    assert header.read_text().splitlines()[1:] == ["#define OTHER 1"]
    assert "#define _GLIBCXX_USE" not in header.read_text()


def test_a_floor_above_the_headers_leaves_them(tmp_path: Path) -> None:
    root = _root(tmp_path / "root")
    apply_floor(root, "2.34", ("libdemo.so.1",))
    header = root / "usr/include/x86_64-linux-gnu/c++/10/bits/c++config.h"
    assert "#define _GLIBCXX_USE_PTHREAD_COND_CLOCKWAIT 1" in header.read_text()


def test_a_library_that_is_not_there(tmp_path: Path) -> None:
    root = _root(tmp_path / "root")
    with pytest.raises(InvalidRecipe, match=r"libm\.so\.6 is not in the environment"):
        apply_floor(root, "2.26", ("libm.so.6",))
    (root / "usr/lib/x86_64-linux-gnu/libdemo.so").unlink()
    with pytest.raises(InvalidRecipe, match=r"libdemo\.so is not in the environment"):
        apply_floor(root, "2.26", ("libdemo.so.1",))


PROGRAM = """
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
extern char **environ;
int main(int count, char **words) {
  setenv("FLOOR", "kept", 1);
  int found = 0;
  for (char **each = environ; *each; each++) found |= (*each)[0] == 'F';
  fprintf(stdout, "%.3f %d\\n", exp(count), found);
  return 0;
}
"""


@pytest.mark.sandbox
@pytest.mark.skipif(
    shutil.which("gcc") is None or not Path(f"/lib/{platform.machine()}-linux-gnu/libm.so.6").exists(),
    reason="needs a C compiler on a glibc system",
)
def test_linking_for_real(tmp_path: Path) -> None:
    """exp is bound to its oldest version, later functions do not exist, and copied variables are the library's own."""
    folder = Path(f"/lib/{platform.machine()}-linux-gnu")
    # A host of glibc 2.34 and later starts programs by __libc_start_main@GLIBC_2.34 in its own crt1.o, which asks for
    # no version when linked: at the floor it becomes the older one, whose protocol crt1.o does not follow. Its own
    # level keeps that symbol; only libm goes down.
    level = platform.libc_ver()[1]
    (tmp_path / "libm.so").write_bytes(stub(folder / "libm.so.6", "2.26"))
    (tmp_path / "libc.so").write_bytes(stub(folder / "libc.so.6", level))
    start = ["gcc", "-no-pie", "-O1", "-x", "c", "-", "-o", str(tmp_path / "program"), f"-L{tmp_path}", "-lm"]
    subprocess.run(start, input=PROGRAM.encode(), check=True, timeout=60)
    printed = subprocess.run([tmp_path / "program"], capture_output=True, check=True, timeout=60).stdout
    assert printed == b"2.718 1\n"
    wanted = subprocess.run(
        ["readelf", "--dyn-syms", "-W", tmp_path / "program"], capture_output=True, check=True, timeout=60
    ).stdout.decode()
    assert f"exp@GLIBC_{'2.17' if platform.machine() == 'aarch64' else '2.2.5'}" in wanted
    assert "exp@GLIBC_2.29" not in wanted
    late = subprocess.run(
        start,
        input=b"double fadd(double, double); int main(int n, char **w) { return fadd(n, n); }",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert late.returncode != 0
    assert b"undefined reference to `fadd'" in late.stderr
