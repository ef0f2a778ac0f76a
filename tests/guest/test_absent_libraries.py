"""A library that names another one is made to do without it, and a program that uses it tells what was left out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CODE = Path(__file__).parents[2] / "recipes" / "code" / "absent-libraries"

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc makes the libraries that are edited")

LONG = "int far_away(int x) { return x * 2; }"
USER = """
#include <time.h>
int far_away(int);
int old_name(void);
int use(int x) { return x ? far_away(x) : -1; }
int ask(void) { return old_name(); }
long now(void) { struct timespec t; return clock_gettime(CLOCK_REALTIME, &t) ? 0 : t.tv_sec; }
"""
STAND_IN = """
#include <stdio.h>
#include <stdlib.h>
#define ABSENT(function, name) \\
    void function(void) __asm__(name); \\
    void function(void) { fprintf(stderr, "absent: %s\\n", name); abort(); }
#include "symbols.inc"
int new_name(void) { return 26; }
"""


def compile_library(folder: Path, name: str, source: str, *options: str) -> Path:
    """Compile C source to `folder`/`name`."""
    (folder / "source.c").write_text(source, encoding="ascii")
    command = [
        "gcc",
        "-shared",
        "-fPIC",
        f"-I{folder}",
        "-o",
        name,
        "source.c",
        f"-Wl,-soname,{name}",
        *options,
    ]
    subprocess.run(command, cwd=folder, check=True)
    return folder / name


def tool(folder: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the two programs in `folder`."""
    command = [sys.executable, str(CODE / name), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def call(folder: Path, expression: str) -> subprocess.CompletedProcess[str]:
    """Load libuser.so as a program would, and print what the expression gives."""
    text = f"import ctypes; library = ctypes.CDLL('libuser.so'); print({expression})"
    command = [sys.executable, "-c", text]
    variables = {"LD_LIBRARY_PATH": str(folder)}
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """libuser.so: it asks for far_away@FAR_1.0 of a library that is gone, and old_name@GONE_2.0 of one that stays."""
    (tmp_path / "far.map").write_text("FAR_1.0 { far_away; };", encoding="ascii")
    compile_library(tmp_path, "libfar_with_a_long_name.so.1", LONG, "-Wl,--version-script=far.map")
    (tmp_path / "stays.map").write_text("GONE_2.0 { old_name; }; STAYS_1.0 { other; };", encoding="ascii")
    compile_library(
        tmp_path,
        "libstays.so.1",
        "int old_name(void) { return 1; } int other(void) { return 2; }",
        "-Wl,--version-script=stays.map",
    )
    user = USER + "int other(void); int both(void) { return other(); }"
    compile_library(
        tmp_path,
        "libuser.so",
        user,
        "-Wl,-z,lazy",
        "-L.",
        "-l:libstays.so.1",
        "-l:libfar_with_a_long_name.so.1",
    )
    table = {
        "absent": ["libfar_with_a_long_name.so.1"],
        "renamed": {"old_name": "new_name"},
        "symbols": ["^far_"],
    }
    (tmp_path / "table.json").write_text(json.dumps(table), encoding="ascii")
    (tmp_path / "libfar_with_a_long_name.so.1").unlink()
    return tmp_path


def stand_in(folder: Path) -> None:
    """Make libnil.so from the symbols that nobody offers."""
    libc = next(
        path for path in map(Path, ("/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6")) if path.exists()
    )
    told = tool(folder, "stand_in.py", "table.json", "libuser.so", "--", "libstays.so.1", str(libc))
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout == 'ABSENT(f0, "far_away")\n'
    (folder / "symbols.inc").write_text(told.stdout, encoding="ascii")
    compile_library(folder, "libnil.so", STAND_IN)


def test_a_library_loads_without_the_one_that_it_named(folder: Path) -> None:
    assert call(folder, "library.use(0)").returncode == 1
    stand_in(folder)
    size = (folder / "libuser.so").stat().st_size
    told = tool(folder, "leave_out.py", "table.json", "libnil.so", "libuser.so")
    assert told.stdout == "libuser.so: without libfar_with_a_long_name.so.1; renamed old_name\n", told.stderr
    assert (folder / "libuser.so").stat().st_size == size
    read = subprocess.run(
        ["readelf", "-dVW", "libuser.so"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert "libnil.so" in read.stdout
    assert "far_with" not in read.stdout
    assert "FAR_1.0" not in read.stdout
    assert "GONE_2.0" not in read.stdout
    assert "STAYS_1.0" in read.stdout
    assert read.stderr == ""
    # An unused path is as it was, the renamed function is the stand-in's, and a call of what is absent names it.
    assert (
        call(folder, "library.use(0), library.ask(), library.both(), library.now() > 10**9").stdout
        == "-1 26 2 True\n"
    )
    ended = call(folder, "library.use(1)")
    assert (ended.returncode, ended.stderr) == (-6, "absent: far_away\n")


def test_an_edited_library_survives_strip(folder: Path) -> None:
    stand_in(folder)
    tool(folder, "leave_out.py", "table.json", "libnil.so", "libuser.so")
    subprocess.run(["strip", "--strip-unneeded", "libuser.so"], cwd=folder, check=True)
    assert call(folder, "library.use(0), library.ask(), library.both()").stdout == "-1 26 2\n"


def test_a_forgotten_library_is_told_of(folder: Path) -> None:
    (folder / "table.json").write_text('{"absent": [], "renamed": {}, "symbols": []}', encoding="ascii")
    told = tool(folder, "stand_in.py", "table.json", "libuser.so", "--", "libstays.so.1")
    assert told.returncode == 1
    assert "libuser.so asks for" in told.stderr
    assert "far_away" in told.stderr


def test_a_name_without_room_is_refused(folder: Path) -> None:
    before = (folder / "libuser.so").read_bytes()
    told = tool(
        folder, "leave_out.py", "table.json", "libstand_in_with_a_name_that_is_longer.so.1", "libuser.so"
    )
    assert told.returncode == 1
    assert "has no room in the place of libfar_with_a_long_name.so.1" in told.stderr
    assert (folder / "libuser.so").read_bytes() == before


def test_what_is_no_library_is_refused(folder: Path) -> None:
    told = tool(folder, "leave_out.py", "table.json", "libnil.so", "table.json")
    assert (told.returncode, told.stderr) == (
        1,
        "leave_out: table.json: not a 64-bit little-endian ELF file\n",
    )
