"""What a runtime's libraries export: the text beside its recipe (`recipes/runtimes/*.exports`) as records.

    library libm.so.6
    needs libc.so.6
    GLIBC_2.2.5 acos acosh ...
    - symbols without a version
    library libxml2.so.2
    unlisted

The form is that of `guest/exports.py`, which writes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from layerlock.errors import InvalidRecipe, Location


@dataclass(frozen=True, kw_only=True, slots=True)
class Library:
    """A library of a runtime: what it needs, and the versions of each symbol that it exports, the empty one is none.

    `versions` are those of all symbols together.
    `listed` is False where it is there and nobody has listed what it exports: references to it are taken on trust.
    """

    name: str
    needs: tuple[str, ...] = ()
    symbols: dict[str, set[str]] = field(default_factory=dict, repr=False)
    versions: frozenset[str] = frozenset()
    listed: bool = True

    def defines(self, name: str, version: str) -> bool:
        """Whether a reference to `name` at `version` is met."""
        if not self.listed:
            return True
        found = self.symbols.get(name)
        return found is not None and (not version or version in found or found == {""})


def parse_exports(text: str, file: str) -> dict[str, Library]:
    """Read the libraries of a runtime, by name.

    Raises:
        InvalidRecipe: a line does not follow the form; `file` and the line are named.
    """
    symbols: dict[str, dict[str, set[str]]] = {}
    needs: dict[str, tuple[str, ...]] = {}
    unlisted: set[str] = set()
    versions: dict[str, set[str]] = {}
    current: dict[str, set[str]] | None = None
    name = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not line or line[0] == "#":
            continue
        first, *words = line.split()
        if first == "library":
            if len(words) != 1 or words[0] in symbols:
                raise InvalidRecipe("`library` wants one new name", location=Location(file=file, line=number))
            name = words[0]
            current = symbols[name] = {}
        elif current is None:
            raise InvalidRecipe("stands before the first library", location=Location(file=file, line=number))
        elif first == "needs":
            needs[name] = tuple(words)
        elif first == "unlisted":
            unlisted.add(name)
        else:
            version = "" if first == "-" else first
            if version:
                versions.setdefault(name, set()).add(version)
            for word in words:
                current.setdefault(word, set()).add(version)
    return {
        name: Library(
            name=name,
            needs=needs.get(name, ()),
            symbols=found,
            versions=frozenset(versions.get(name, ())),
            listed=name not in unlisted,
        )
        for name, found in symbols.items()
    }
