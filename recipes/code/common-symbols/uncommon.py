"""Makes symbols that a process has once (STB_GNU_UNIQUE) into ordinary ones, in place, so that two copies of a library stand side by side.

    python3 uncommon.py LIBRARY...

C++ has one of each static member of a template; gcc marks these so that the loader takes the first one in the process, even of a library that
nobody else is to see (RTLD_LOCAL). Of libstdc++ they include the numbers of a locale's parts, `std::num_put<char>::id` and its like. A second
libstdc++ numbers the parts that are not templates anew, and the two rows of numbers clash: `std::use_facet` ends with std::bad_cast.

Only the binding in .dynsym changes, a bit field of one byte; the hash tables do not know of it. 64-bit little-endian ELF only.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path

SHT_DYNSYM = 11
STB_GLOBAL, STB_GNU_UNIQUE = 1, 10
SYMBOL = 24
"""Bytes of an entry of .dynsym; st_info is the fifth of them, the binding its upper half."""


def make_ordinary(data: bytearray) -> int:
    """Change every unique symbol of a shared library; say how many there were.

    Raises:
        ValueError: it is no 64-bit little-endian ELF file, or has no dynamic symbols.
    """
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    (sections,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    changed = 0
    tables = 0
    for header in range(sections, sections + size * count, size):
        (kind,) = struct.unpack_from("<I", data, header + 4)
        if kind != SHT_DYNSYM:
            continue
        tables += 1
        offset, length = struct.unpack_from("<QQ", data, header + 24)
        for info in range(offset + 4, offset + length, SYMBOL):
            if data[info] >> 4 == STB_GNU_UNIQUE:
                data[info] = STB_GLOBAL << 4 | data[info] & 15
                changed += 1
    if tables == 0:
        raise ValueError("no dynamic symbols")
    return changed


def main(arguments: list[str]) -> int:
    """Edit the named libraries; one without such a symbol is an error, for then nobody looked at it."""
    for name in arguments:
        path = Path(name)
        data = bytearray(path.read_bytes())
        try:
            changed = make_ordinary(data)
        except (ValueError, struct.error) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        if changed == 0:
            print(f"{name}: no symbol in it is unique in its process", file=sys.stderr)
            return 1
        path.write_bytes(data)
        print(f"{name}: {changed} symbols")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
