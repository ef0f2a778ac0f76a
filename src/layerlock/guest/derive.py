"""Derives a runtime's exports file from newer libraries of the same kind, cut at the runtime's levels.

Task: {"name": "amazonlinux2-x86_64.exports", "header": str, "libraries": [{"file": path, "name":
"libc.so.6"}], "levels": {"GLIBC": "2.26", "GLIBCXX": "3.4.24", ...}, "unlisted": ["libxml2.so.2"]} ->
OUT/NAME.

glibc and libstdc++ never take a symbol version away and never add a symbol to a version that was released,
so the versions up to a level are what a library of that level exports. That is certain for presence of what
is listed there; what the older library had and the newer one lost is missing, and what a distribution added
by a patch of its own. Versions without a number (CXXABI_FLOAT128) are kept, GLIBC_PRIVATE is not: only
glibc itself may use it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import elf
from exports import Library, render
from task import Report, Task, run


def derive(task: Task) -> Report:
    """Write the exports file; the report says how many symbols each library has."""
    libraries = [
        cut(row["name"], elf.read(Path(row["file"])), task["levels"], task.get("renamed", {}))
        for row in task["libraries"]
    ]
    libraries += [Library(name, (), {}, listed=False) for name in task.get("unlisted", [])]
    libraries.sort(key=lambda library: library.name)
    (Path(task.get("out", "/out")) / task["name"]).write_text(
        render(libraries, task["header"]), encoding="utf-8"
    )
    return {"libraries": [{"name": library.name, "symbols": len(library.symbols)} for library in libraries]}


def cut(name: str, parsed: elf.Elf, levels: Mapping[str, str], renamed: Mapping[str, str]) -> Library:
    """What `parsed` exports at versions up to `levels`, as the library `name`; `renamed` maps sonames of
    needs.
    """
    symbols: dict[str, set[str]] = {}
    for symbol, versions in parsed.defined.items():
        within = {version for version in versions if _within(version, levels)}
        # A symbol that stands for a version definition itself is no symbol to link against.
        if within and symbol not in parsed.versions:
            symbols[symbol] = within
    return Library(name, tuple(renamed.get(need, need) for need in parsed.needed), symbols)


def _within(version: str, levels: Mapping[str, str]) -> bool:
    family, _, number = version.partition("_")
    if version == "GLIBC_PRIVATE":
        return False
    if family not in levels or not number[:1].isdigit():
        return True
    return numbers(number) <= numbers(levels[family])


def numbers(version: str) -> tuple[int, ...]:
    """`2.26` as (2, 26). Raises ValueError for anything but numbers and dots."""
    parts: list[int] = [int(part) for part in version.split(".")]
    return tuple(parts)


if __name__ == "__main__":
    sys.exit(run(derive, sys.argv))
