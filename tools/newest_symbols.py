"""Says how large the shared objects below a folder are once stripped, and the newest symbol versions that they ask for.

python -m tools.newest_symbols FOLDER

Needs binutils. `docs/x86_64-torch.md` compares torch's builds by it, each unpacked by `dpkg-deb -x` or `unzip`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ELF = b"\x7fELF"
REFERENCE = re.compile(r"\*UND\*.*\b(GLIBC|GLIBCXX|CXXABI)_([0-9.]+)\)?\s+(\S+)")


def objects(folder: Path) -> Iterator[Path]:
    """The ELF files below `folder` that are called *.so or *.so.*; links are not followed."""
    for path in sorted(folder.rglob("*.so*")):
        if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == ELF:
            yield path


def stripped(path: Path, room: Path) -> int:
    """The bytes of `path` without symbols and debugging information."""
    subprocess.run(["strip", "--strip-unneeded", "-o", room / "stripped", path], check=True)
    return (room / "stripped").stat().st_size


def references(path: Path) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """The versions that `path` asks for: family, version, symbol."""
    table = subprocess.run(["objdump", "-T", path], capture_output=True, text=True, check=True).stdout
    for line in table.splitlines():
        found = REFERENCE.search(line)
        if found:
            yield found[1], tuple(map(int, found[2].split("."))), found[3]


def main(folder: Path) -> None:
    """Print the sum of sizes, the largest objects and the newest versions."""
    newest: dict[str, tuple[tuple[int, ...], str]] = {}
    sizes = []
    with tempfile.TemporaryDirectory() as room:
        for path in objects(folder):
            sizes.append((stripped(path, Path(room)), path.name))
            for family, version, symbol in references(path):
                newest[family] = max(newest.get(family, ((), "")), (version, f"{symbol} in {path.name}"))
    print(f"{sum(size for size, _ in sizes) / 1e6:.1f} MB stripped")
    for size, name in sorted(sizes, reverse=True)[:5]:
        print(f"  {size / 1e6:.1f} MB  {name}")
    for family, (version, symbol) in sorted(newest.items()):
        print(f"{family}_{'.'.join(map(str, version))}: {symbol}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
