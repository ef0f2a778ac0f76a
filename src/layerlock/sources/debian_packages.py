"""Debian's list of packages, and what a set of them depends on.

Formats: the Debian repository format, and Debian Policy, sections 5.6.12 (versions) and 7.1 (relationships).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from layerlock.errors import InvalidRecipe
from layerlock.model.recipe import Deb

_WANTED = re.compile(
    r"^(Package|Version|Architecture|Pre-Depends|Depends|Provides|Filename|SHA256|Size): (.*)$", re.MULTILINE
)
_DEPENDENCY = re.compile(
    r"\s*([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9-]+)?\s*(?:\(\s*(<<|<=|=|>=|>>)\s*([^)\s]+)\s*\))?\s*"
)
_VERSION_PARTS = re.compile(r"([^0-9]*)([0-9]*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """One package of an index; `relations` is its Pre-Depends and Depends as the index has them."""

    name: str
    version: str
    path: str
    sha256: str
    size: int
    relations: str = ""
    provides: tuple[str, ...] = ()

    @property
    def depends(self) -> tuple[tuple[str, ...], ...]:
        """What the package needs: names of alternatives, a tuple for each need."""
        return tuple(_alternatives(self.relations))


@dataclass(frozen=True, kw_only=True, slots=True)
class Packages:
    """Packages by name; of a name that comes twice the newest version."""

    by_name: Mapping[str, Package]
    providers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_packages(text: str) -> Packages:
    """Read `Packages` files, joined together. Stanzas without a file, name or sha256 are passed over."""
    found: dict[str, Package] = {}
    # One pass of one pattern over the whole text: 60,000 stanzas are read in a second or so.
    for stanza in text.split("\n\n"):
        keys = dict(_WANTED.findall(stanza))
        if not {"Package", "Version", "Filename", "SHA256", "Size"} <= keys.keys():
            continue
        name = keys["Package"]
        known = found.get(name)
        if known is not None and not older(known.version, keys["Version"]):
            continue
        found[name] = Package(
            name=name,
            version=keys["Version"],
            path=keys["Filename"],
            sha256=keys["SHA256"],
            size=int(keys["Size"]),
            relations=f"{keys.get('Pre-Depends', '')},{keys.get('Depends', '')}",
            provides=tuple(one[0] for one in _alternatives(keys["Provides"])) if "Provides" in keys else (),
        )
    providers: dict[str, list[str]] = {}
    for package in found.values():
        for virtual in package.provides:
            providers.setdefault(virtual, []).append(package.name)
    return Packages(
        by_name=found, providers={virtual: tuple(sorted(names)) for virtual, names in providers.items()}
    )


def closure(packages: Packages, roots: Iterable[str], without: Iterable[str] = ()) -> tuple[Package, ...]:
    """Give the roots and everything that they depend on, sorted by name.

    Of alternatives that one counts which is among the roots or already chosen, else the first one that exists; a
    virtual package stands for the first of its providers by name, one already chosen before others. Packages in
    `without` are passed over with what only they need. Versions are not compared: a suite holds together.

    Raises:
        InvalidRecipe: a root does not exist, or something that is needed has no alternative that does.
    """
    left_out = frozenset(without)
    wanted = tuple(roots)
    for root in wanted:
        if root not in packages.by_name:
            raise InvalidRecipe(
                f"the index has no package `{root}`", hint="check the name, the suite and the component"
            )
    chosen = dict.fromkeys(wanted)
    queue = list(wanted)
    while queue:
        # Level by level: what a root asks for by name is there before an alternative deeper down is looked at.
        following: list[str] = []
        for name in queue:
            for needed in packages.by_name[name].depends:
                picked = _pick(packages, needed, chosen, left_out)
                if picked is None:
                    raise InvalidRecipe(
                        f"nothing in the index is `{' | '.join(needed)}`, which `{name}` needs"
                    )
                if picked not in chosen and picked not in left_out:
                    chosen[picked] = None
                    following.append(picked)
        queue = following
    return tuple(packages.by_name[name] for name in sorted(chosen))


def pinned(package: Package, archive: str) -> Deb:
    """Give a package as a pin."""
    return Deb(
        name=package.name,
        version=package.version,
        path=f"debian:{archive}/{package.path}",
        sha256=package.sha256,
        size=package.size,
    )


def older(version: str, than: str) -> bool:
    """Compare two versions by the rule of Debian Policy 5.6.12."""
    return _order(version) < _order(than)


def _pick(
    packages: Packages, needed: tuple[str, ...], chosen: Mapping[str, None], left_out: frozenset[str]
) -> str | None:
    candidates = [
        name for alternative in needed for name in (alternative, *packages.providers.get(alternative, ()))
    ]
    for name in candidates:
        if name in chosen:
            return name
    return next((name for name in candidates if name in packages.by_name or name in left_out), None)


def _alternatives(text: str) -> Iterator[tuple[str, ...]]:
    for group in filter(None, text.split(",")):
        names = [found[1] for one in group.split("|") if (found := _DEPENDENCY.match(one))]
        if names:
            yield tuple(names)


def _order(version: str) -> tuple[int, tuple[object, ...], tuple[object, ...]]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    if not dash:
        upstream, revision = rest, "0"
    return int(epoch) if epoch.isdigit() else 0, _parts(upstream), _parts(revision)


def _parts(text: str) -> tuple[object, ...]:
    """Make a key of a version part: runs of other characters and of digits in turn, `~` before the very end."""
    made: list[object] = []
    for other, digits in _VERSION_PARTS.findall(text):
        made.append((*(_weight(character) for character in other), 0))
        made.append(int(digits or "0"))
    return (*made, (0,), 0)


def _weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256
