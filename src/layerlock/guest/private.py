"""Gives a shipped library a name of its own, so that the system's library of the same name is never taken
for it.

Lambda searches /lib64 and /usr/lib64 before /opt/lib: a newer libstdc++.so.6 in a layer is never found.
Under a private name it is, by everything in the layer that was linked to it, and it lives beside the
system's own.

The rule: `lib` at the front becomes `ll-` (libstdc++.so.6 -> ll-stdc++.so.6). The same length, so that it
fits where the old name stood, and the same ending, so that a string that shares its tail (linkers merge
those) stays right. Hash sections are not touched: sonames are not symbols.
"""

from __future__ import annotations

from collections.abc import Collection

from elf import Edit, Elf, shared_with
from task import Violation

# The uses of a string that are to change with it; a base version definition repeats the soname.
_ROLES = {"needed", "soname", "file", "base"}
_OLD, _NEW = "lib", "ll-"


def private_name(soname: str) -> str:
    """The private name of a library. Raises Violation for a name that does not start with `lib`."""
    if not soname.startswith(_OLD) or "/" in soname:
        raise Violation(
            "usage",
            f"{soname!r} cannot get a private name",
            hint="only names that start with 'lib' can",
        )
    return _NEW + soname[len(_OLD) :]


def plan(name: str, elf: Elf, content: bytes, sonames: Collection[str]) -> list[Edit]:
    """What to change in the object `name` so that it is, or needs, `sonames` under their private names.

    Raises Violation of kind "abi" if the first letters of such a name are part of another string too.
    """
    edits: list[Edit] = []
    done: set[int] = set()
    for reference in elf.references:
        if reference.role not in _ROLES or reference.start in done:
            continue
        place = elf.strings + reference.start
        text = content[place : place + reference.length].decode()
        if text not in sonames:
            continue
        others = shared_with(elf, reference.start, len(_OLD), _ROLES)
        if others:
            raise Violation(
                "abi",
                f"{name}: {text} cannot get a private name: its letters are part of another string",
                hint="link it with -Wl,-O0 (strings are then not merged), or name the library so when it is built",
                file=name,
            )
        done.add(reference.start)
        edits.append(Edit(place, _OLD.encode(), _NEW.encode()))
    return edits
