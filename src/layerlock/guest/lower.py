"""Lets a prebuilt library run on an older glibc, where an older version of the same symbol does the same
work.

A library built on a newer system asks for `exp@GLIBC_2.29` although the `exp@GLIBC_2.2.5` that every glibc of
that architecture has would do. The entry of .gnu.version_r is pointed at the older version: its name and
its hash. Clearing the symbols' versions alone is not enough: the loader looks at the entry and refuses the
library. Which versions may stand in for which, and for which symbols, is the runtime's data, never guessed.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from elf import Edit, Elf, Need, elf_hash, shared_with
from task import Violation


@dataclass(frozen=True)
class Lowered:
    """One version entry of one file that was lowered, and the symbols that hang on it."""

    file: str
    library: str
    old: str
    new: str
    symbols: tuple[str, ...]


def plan(
    name: str, elf: Elf, content: bytes, rows: Sequence[Mapping[str, Any]]
) -> tuple[list[Edit], list[Lowered]]:
    """What to change in the object `name` by a runtime's `[[lower]]` rows.

    Raises Violation of kind "abi" if a symbol is not listed for its version, or the older version's name
    has no place in the object.
    """
    table: dict[tuple[str, str], Mapping[str, Any]] = {(row["library"], row["from"]): row for row in rows}
    edits: list[Edit] = []
    lowered: list[Lowered] = []
    placed: dict[str, int] = {}
    for need in elf.needs:
        row = table.get((need.library, need.version))
        if row is None:
            continue
        bound = tuple(sorted(wanted.name for wanted in elf.wanted if wanted.index == need.index))
        unknown = [symbol for symbol in bound if symbol not in row["symbols"]]
        if unknown:
            raise Violation(
                "abi",
                f"{name} uses {', '.join(unknown)} of {need.library} at {need.version}, "
                f"which nobody has listed as equal to {row['to']}",
                hint="compare both versions; if they agree, add the symbol to the runtime's [[lower]] row",
                file=name,
                symbol=f"{unknown[0]}@{need.version}",
            )
        start = placed.get(row["to"], -1)
        if start < 0:
            start, more = _place(name, elf, content, need, row["to"])
            edits += more
            placed[row["to"]] = start
        edits += _point(content, need, start, row["to"])
        lowered.append(Lowered(name, need.library, need.version, row["to"], bound))
    return edits, lowered


def _place(name: str, elf: Elf, content: bytes, need: Need, version: str) -> tuple[int, list[Edit]]:
    """Where in .dynstr the name of `version` stands, with the edit that writes it there if need be."""
    table = content[elf.strings : elf.strings + elf.strings_size]
    wanted = version.encode() + b"\0"
    found = table.find(wanted)
    if found >= 0:
        return found, []
    start = struct.unpack_from("<I", content, need.aux + 8)[0]
    old = need.version.encode() + b"\0"
    others = [
        reference
        for reference in shared_with(elf, start, len(old) - 1, set())
        if not (reference.start == start and reference.role == "version" and _only(elf, need))
    ]
    if len(wanted) > len(old) or others:
        raise Violation(
            "abi",
            f"{name}: {need.version} cannot become {version}: its string table has no such name, and "
            + (
                "the old name is too short"
                if len(wanted) > len(old)
                else "the old name is used elsewhere too"
            ),
            hint="relink the library against the glibc floor, or leave it out",
            file=name,
        )
    return start, [Edit(elf.strings + start, old, wanted.ljust(len(old), b"\0"))]


def _only(elf: Elf, need: Need) -> bool:
    """Whether no other entry, of another library say, asks for a version of that name."""
    return sum(other.version == need.version for other in elf.needs) == 1 and need.version not in elf.versions


def _point(content: bytes, need: Need, start: int, version: str) -> list[Edit]:
    return [
        Edit(need.aux, content[need.aux : need.aux + 4], struct.pack("<I", elf_hash(version))),
        Edit(need.aux + 8, content[need.aux + 8 : need.aux + 12], struct.pack("<I", start)),
    ]
