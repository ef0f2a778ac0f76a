"""Gaps between segments are closed, and what is loaded stays what it was; anything unusual is left alone."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import elf
import pages
import pytest

from .conftest import Toolchain, write_tree

PAGE = 4096
SOURCE = """
#include <string.h>
static char page[5000];
static __thread int mine = 40;
const char *const words[] = {"one", "two"};
int table[3000] = {1};
int add(int n) { page[4999] = (char)n; mine += n; return mine + table[0] + (int)strlen(words[1]) - 3; }
"""


@pytest.fixture
def wide(toolchain: Toolchain) -> Path:
    """Compile a library for pages of 64 KiB, as linkers do for arm64."""
    return toolchain.shared(
        "libwide.so", SOURCE, "-Wl,-z,max-page-size=65536", "-Wl,-z,relro,-z,now", "-Wl,-soname,libwide.so"
    )


def dumped(path: Path) -> str:
    """What readelf says of symbols, relocations, notes and the dynamic table, but for places in the file."""
    command = ["readelf", "-W", "--syms", "--relocs", "--notes", "--dynamic", "--version-info", path.name]
    said = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=True).stdout
    return re.sub(r"([Oo]ffset:?) 0x[0-9a-f]+", r"\1", said)


def test_what_is_loaded_stays_what_it_was(wide: Path, tmp_path: Path) -> None:
    before = wide.read_bytes()
    narrow = tmp_path / "narrow" / wide.name
    narrow.parent.mkdir()
    narrow.write_bytes(before)
    narrow.chmod(0o755)
    assert pages.close_gaps(tmp_path, [f"narrow/{wide.name}"], PAGE) == [f"narrow/{wide.name}"]
    after = narrow.read_bytes()
    assert len(after) < len(before) - 40_000
    assert narrow.stat().st_mode & 0o777 == 0o755
    assert dumped(wide) == dumped(narrow)
    old, new = elf.parse(before), elf.parse(after)
    assert [load.alignment for load in new.loads] == [PAGE] * len(old.loads)
    for one, two in zip(old.loads, new.loads, strict=True):
        assert (one.address, one.memory_size) == (two.address, two.memory_size)
        assert two.address % PAGE == two.offset % PAGE
        # The first segment starts with the header and the table of segments, which tell the new places.
        tables = 0 if one.offset else 64 + 56 * struct.unpack_from("<H", before, 56)[0]
        held = [
            data[load.offset + tables : load.offset + load.file_size]
            for data, load in ((before, one), (after, two))
        ]
        assert held[0] == held[1]
    program = f"import ctypes; print(ctypes.CDLL({str(narrow)!r}).add(1))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "42\n"
    # What is closed is closed, and for large pages there are no gaps.
    assert pages.closed(after, PAGE) == after
    assert pages.closed(before, 1 << 16) == before


def test_what_linkers_do_not_make_is_left_alone(wide: Path, toolchain: Toolchain, tmp_path: Path) -> None:
    whole = wide.read_bytes()
    first = elf.parse(whole).loads[0]
    elsewhere = bytearray(whole)
    struct.pack_into("<Q", elsewhere, 32, 128)
    filled = bytearray(whole)
    filled[first.offset + first.file_size] = 1
    aligned = toolchain.shared(
        "aligned.so",
        SOURCE + "int big[9000] __attribute__((aligned(8192))) = {2};",
        "-Wl,-z,max-page-size=65536",
    )
    relocatable = tmp_path / "one.o"
    toolchain.run("-c", "-x", "c", "-o", str(relocatable), "-", source=SOURCE)
    unusual: dict[str, str | bytes] = {
        "elsewhere": bytes(elsewhere),
        "filled": bytes(filled),
        "aligned": aligned.read_bytes(),
        "cut": whole[:3000],
        "without-sections": whole[: struct.unpack_from("<Q", whole, 40)[0]],
        "short": whole[:40],
        "one.o": relocatable.read_bytes(),
        "32-bit": whole[:4] + b"\1" + whole[5:],
        "text": b"x" * 99,
    }
    root = write_tree(tmp_path / "tree", unusual)
    assert pages.close_gaps(root, sorted(unusual), PAGE) == []
    assert {name: (root / name).read_bytes() for name in unusual} == unusual
