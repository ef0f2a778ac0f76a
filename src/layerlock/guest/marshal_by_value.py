"""Runs in a layer's Python, 3.8 to 3.10: compiles modules to unchecked-hash bytecode that depends on them alone.

Source of the format: Python/marshal.c of CPython 3.9. Text and bytes that occur more than once are written
once and referred to, everything else each time; sets are written in the order of what their elements are
written as. What is read back is equal to what the compiler made.

Reads {"root", "names"} as JSON, the modules below root; writes the names that could not be compiled, and why.
"""

from __future__ import annotations

import importlib.util
import json
import struct
import sys
from collections import Counter
from collections.abc import Collection, Set
from pathlib import Path
from types import CodeType
from typing import Any

_REFERRED = 0x80
_NAMED = {None: b"N", Ellipsis: b".", True: b"T", False: b"F"}


class _Writer:
    """Writes one value. `often` are the texts and bytes that occur more than once, as written alone."""

    def __init__(self, often: Set[bytes] = frozenset()) -> None:
        self.out = bytearray()
        self.seen: Counter[bytes] = Counter()
        self._often = often
        self._places: dict[bytes, int] = {}

    def write(self, value: Any) -> None:
        kind = type(value)
        if value is None or value is Ellipsis or kind is bool:
            self.out += _NAMED[value]
        elif kind is int and -(1 << 31) <= value < 1 << 31:
            self.out += b"i" + struct.pack("<i", value)
        elif kind is int:
            digits = [abs(value) >> shift & 0x7FFF for shift in range(0, abs(value).bit_length(), 15)]
            size = len(digits) if value > 0 else -len(digits)
            self.out += b"l" + struct.pack(f"<i{len(digits)}H", size, *digits)
        elif kind is float:
            self.out += b"g" + struct.pack("<d", value)
        elif kind is complex:
            self.out += b"y" + struct.pack("<dd", value.real, value.imag)
        elif kind in (str, bytes):
            self._write_once(_plain(value))
        elif kind is tuple:
            self._write_all(b"(", value)
        elif kind is frozenset:
            self._write_all(b">", sorted(value, key=_alone))
        elif kind is CodeType:
            self._write_code(value)
        else:
            raise ValueError(f"no constant of the type {kind.__name__} can be written")

    def _write_once(self, plain: bytes) -> None:
        self.seen[plain] += 1
        if plain in self._places:
            self.out += b"r" + struct.pack("<i", self._places[plain])
        elif plain in self._often:
            self._places[plain] = len(self._places)
            self.out += bytes([plain[0] | _REFERRED]) + plain[1:]
        else:
            self.out += plain

    def _write_all(self, kind: bytes, values: Collection[Any]) -> None:
        self.out += kind + struct.pack("<i", len(values))
        for value in values:
            self.write(value)

    def _write_code(self, code: CodeType) -> None:
        numbers = (
            code.co_argcount,
            code.co_posonlyargcount,
            code.co_kwonlyargcount,
            code.co_nlocals,
            code.co_stacksize,
            code.co_flags,
        )
        self.out += b"c" + struct.pack("<6i", *numbers)
        for value in (
            code.co_code,
            code.co_consts,
            code.co_names,
            code.co_varnames,
            code.co_freevars,
            code.co_cellvars,
            code.co_filename,
            code.co_name,
        ):
            self.write(value)
        self.out += struct.pack("<i", code.co_firstlineno)
        self.write(code.co_lnotab if sys.version_info < (3, 10) else code.co_linetable)


def _plain(value: str | bytes) -> bytes:
    if isinstance(value, bytes):
        return b"s" + struct.pack("<i", len(value)) + value
    data = value.encode("utf-8", "surrogatepass")
    if len(data) == len(value) < 256:  # ASCII
        return b"z" + bytes([len(data)]) + data
    return b"u" + struct.pack("<i", len(data)) + data


def _alone(value: Any) -> bytes:
    writer = _Writer()
    writer.write(value)
    return bytes(writer.out)


def dumps(code: CodeType) -> bytes:
    """Write code for marshal.loads."""
    first = _Writer()
    first.write(code)
    # A reference takes five bytes.
    writer = _Writer(frozenset(text for text, times in first.seen.items() if times > 1 and len(text) > 5))
    writer.write(code)
    return bytes(writer.out)


def compiled(source: bytes, name: str) -> bytes:
    """Give what stands in the `.pyc` of a module: PEP 552's header, then its code."""
    code = compile(source, name, "exec", dont_inherit=True, optimize=0)
    header = importlib.util.MAGIC_NUMBER + struct.pack("<I", 1) + importlib.util.source_hash(source)
    return header + dumps(code)


def main() -> None:
    """Compile what standard input names."""
    given = json.load(sys.stdin)
    failed = []
    for name in given["names"]:
        path = Path(given["root"]) / name
        try:
            data = compiled(path.read_bytes(), f"/opt/{name}")
        except (SyntaxError, ValueError, RecursionError) as error:
            failed.append([name, str(error).strip().splitlines()[-1]])
            continue
        target = Path(importlib.util.cache_from_source(str(path), optimization=""))
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
    json.dump(failed, sys.stdout)


if __name__ == "__main__":
    main()
