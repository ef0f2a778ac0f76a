"""Two libraries of C++ with the same static member of a template share it, as gcc marks it, until one is edited."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "recipes" / "code" / "common-symbols" / "uncommon.py"

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ makes the libraries that are edited")

# `counted` has a static member of a template, as std::locale's parts have.
SOURCE = """
template <typename T> struct Part { static int id; };
template <typename T> int Part<T>::id = 0;
extern "C" int counted() { return ++Part<char>::id; }
"""
CALLS = (
    "import ctypes; one, two = (ctypes.CDLL(f'./lib{n}.so', ctypes.RTLD_LOCAL) for n in ('one', 'two'));"
    "print(one.counted(), one.counted(), two.counted())"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """libone.so and libtwo.so, alike."""
    (tmp_path / "source.cpp").write_text(SOURCE, encoding="ascii")
    for name in ("one", "two"):
        command = [
            "g++",
            "-shared",
            "-fPIC",
            "-fgnu-unique",
            "source.cpp",
            "-o",
            f"lib{name}.so",
            f"-Wl,-soname,lib{name}.so",
        ]
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_an_edited_library_has_its_own(folder: Path) -> None:
    """Before, the second library counts on where the first one is; after, each has its own number."""
    assert run(folder, "-c", CALLS).stdout == "1 2 3\n"
    length = (folder / "libtwo.so").stat().st_size
    told = run(folder, str(PROGRAM), "libtwo.so")
    assert (told.returncode, told.stdout) == (0, "libtwo.so: 1 symbols\n")
    assert (folder / "libtwo.so").stat().st_size == length
    assert run(folder, "-c", CALLS).stdout == "1 2 1\n"


def test_what_has_nothing_to_edit_is_an_error(folder: Path) -> None:
    """A second edit, a file that is no library, one that is cut off: each is told and left as it is."""
    run(folder, str(PROGRAM), "libtwo.so")
    (folder / "text").write_text("no library")
    (folder / "cut").write_bytes((folder / "libone.so").read_bytes()[:80])
    for name, message in (
        ("libtwo.so", "no symbol in it is unique"),
        ("text", "not a 64-bit"),
        ("cut", "unpack"),
    ):
        before = (folder / name).read_bytes()
        told = run(folder, str(PROGRAM), name)
        assert told.returncode == 1
        assert message in told.stderr, told.stderr
        assert (folder / name).read_bytes() == before
