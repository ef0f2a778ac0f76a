"""What a runtime's own libraries export, as compact text that a person can compare.

    # comment
    library libm.so.6
    needs libc.so.6 ld-linux-x86-64.so.2
    GLIBC_2.2.5 acos acosh ...
    - symbols without a version
    library libxml2.so.2
    unlisted

A line starts with a version, `-` for symbols without one, or a keyword. `unlisted` marks a library that is
there but whose symbols nobody has listed: every reference to it is taken on trust.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Library:
    """One library of a runtime. `symbols` maps a name to the versions that it is exported with ("" for
    none).
    """

    name: str
    needs: tuple[str, ...] = ()
    symbols: Mapping[str, set[str]] = field(default_factory=dict, repr=False)
    listed: bool = True

    def defines(self, name: str, version: str) -> bool:
        """Whether a reference to `name` at `version` ("" for none) is satisfied here."""
        if not self.listed:
            return True
        versions = self.symbols.get(name)
        return versions is not None and (not version or version in versions or versions == {""})


def parse(text: str) -> dict[str, Library]:
    """The libraries of an exports file by name. Raises ValueError with the line number."""
    symbols: dict[str, dict[str, set[str]]] = {}
    needs: dict[str, tuple[str, ...]] = {}
    unlisted: set[str] = set()
    current = ""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "library":
            if len(words) != 2 or words[1] in symbols:
                raise ValueError(f"line {number}: 'library' wants one new name")
            current = words[1]
            symbols[current] = {}
        elif not current:
            raise ValueError(f"line {number}: stands before the first library")
        elif words[0] == "needs":
            needs[current] = tuple(words[1:])
        elif words[0] == "unlisted":
            unlisted.add(current)
        else:
            version = "" if words[0] == "-" else words[0]
            for name in words[1:]:
                symbols[current].setdefault(name, set()).add(version)
    return {
        name: Library(name, needs.get(name, ()), found, name not in unlisted)
        for name, found in symbols.items()
    }


def render(libraries: Iterable[Library], header: str) -> str:
    """The text of an exports file; the order of `libraries` is kept, everything inside is sorted."""
    lines: list[str] = [f"# {line}".rstrip() for line in header.splitlines()]
    for library in libraries:
        lines += ["", f"library {library.name}"]
        if library.needs:
            lines.append("needs " + " ".join(library.needs))
        if not library.listed:
            lines.append("unlisted")
        by_version: dict[str, list[str]] = {}
        for name, versions in library.symbols.items():
            for version in versions:
                by_version.setdefault(version, []).append(name)
        for version in sorted(by_version):
            lines += _wrapped(version or "-", sorted(by_version[version]))
    return "\n".join(lines) + "\n"


def _wrapped(start: str, names: list[str], width: int = 160) -> list[str]:
    """Lines of at most `width` characters where names allow it; each repeats its version, so that each
    stands alone.
    """
    lines, line = [], start
    for name in names:
        if line != start and len(line) + 1 + len(name) > width:
            lines.append(line)
            line = start
        line += " " + name
    return [*lines, line]
