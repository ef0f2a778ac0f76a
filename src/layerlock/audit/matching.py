"""Which advisories hold for which components, and which of them the recipes have settled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from packageurl import PackageURL
from packaging.utils import canonicalize_name

from layerlock.audit.advisories import Wanted
from layerlock.audit.identity import debian_release, debian_source, parsed
from layerlock.audit.inventory import Component
from layerlock.audit.osv import Advisory, Affected
from layerlock.audit.versions import includes
from layerlock.model.contents import Statement

_REBUILT: Final = re.compile(r"\+b\d+$")
"""Debian's mark of a rebuild without a change of the source, which advisories do not name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A vulnerability of one recipe's components: all records that speak of it, and the versions that mend it."""

    components: tuple[Component, ...]
    advisories: tuple[Advisory, ...]
    fixed: tuple[str, ...]
    settled: Statement | None

    @property
    def names(self) -> tuple[str, ...]:
        """Its names, a CVE's first."""
        names = {name for advisory in self.advisories for name in advisory.names}
        return tuple(sorted(names, key=lambda name: (not name.startswith("CVE-"), name)))

    @property
    def summary(self) -> str:
        """What the records say of it, the first that says anything."""
        return next((advisory.summary for advisory in self.advisories if advisory.summary), "")


def wanted(component: Component) -> Wanted | None:
    """Say what a database is asked about a component; None where its recipe states no package URL.

    Debian's advisories name source packages of a release, those of the Python index projects. Anything else is
    known by its package URL alone.
    """
    purl = parsed(component.purl) if component.purl else None
    if purl is None or not purl.version:
        return None
    if purl.type == "pypi":
        name = canonicalize_name(purl.name)
        return Wanted(ecosystem="PyPI", name=name, purl=f"pkg:pypi/{name}", version=purl.version)
    if purl.type == "deb":
        return _debian(component, purl)
    bare = PackageURL(purl.type, purl.namespace, purl.name).to_string()
    return Wanted(ecosystem="", name=purl.name, purl=bare, version=purl.version)


def matches(components: Sequence[Component], advisories: Sequence[Advisory]) -> tuple[Match, ...]:
    """Give every vulnerability of some components, once a recipe, whatever its names.

    Withdrawn records are left out. Records that are aliases of one another are one vulnerability.
    """
    found: dict[str, list[tuple[Component, Advisory, tuple[str, ...]]]] = {}
    for component in components:
        asked = wanted(component)
        for advisory in advisories if asked is not None else ():
            entries = [e for e in advisory.affected if asked and about(e, asked)]
            held = [e for e in entries if asked and includes(e, asked.version, e.ecosystem)]
            if held and not advisory.withdrawn:
                fixed = tuple(version for entry in held for version in entry.fixed)
                found.setdefault(component.owner, []).append((component, advisory, fixed))
    return tuple(match for owner in sorted(found) for match in _grouped(found[owner]))


def about(affected: Affected, asked: Wanted) -> bool:
    """Say whether an entry of a record is about what was asked for, whatever the version."""
    if asked.ecosystem:
        if affected.ecosystem != asked.ecosystem:
            return False
        name = canonicalize_name(affected.name) if asked.ecosystem == "PyPI" else affected.name
        return name == asked.name
    purl = parsed(affected.purl) if affected.purl else None
    return purl is not None and PackageURL(purl.type, purl.namespace, purl.name).to_string() == asked.purl


def settles(statement: Statement, advisory: Advisory) -> bool:
    """Say whether a recipe's statement is about a record: by any of its names, or by all that it gathers."""
    ids = frozenset(statement.ids)
    return bool(ids & advisory.names) or bool(advisory.upstream and ids.issuperset(advisory.upstream))


def _debian(component: Component, purl: PackageURL) -> Wanted | None:
    qualifiers: Mapping[str, str] = purl.qualifiers if isinstance(purl.qualifiers, dict) else {}
    release = debian_release(qualifiers.get("distro", ""))
    if purl.namespace != "debian" or release is None:
        return None
    if component.debian is not None:
        source = debian_source(component.debian[1])
    elif qualifiers.get("arch") == "source":
        source = purl.name
    else:
        return None
    version = _REBUILT.sub("", purl.version or "")
    return Wanted(
        ecosystem=f"Debian:{release}", name=source, purl=f"pkg:deb/debian/{source}", version=version
    )


def _grouped(found: list[tuple[Component, Advisory, tuple[str, ...]]]) -> Iterator[Match]:
    groups: list[list[tuple[Component, Advisory, tuple[str, ...]]]] = []
    for row in found:
        names = row[1].names
        same = [g for g in groups if any(names & other[1].names for other in g)]
        groups = [g for g in groups if g not in same] + [[*(r for g in same for r in g), row]]
    for group in groups:
        components = {component.ref: component for component, _, _ in group}
        advisories = {advisory.id: advisory for _, advisory, _ in group}
        yield Match(
            components=tuple(components[ref] for ref in sorted(components)),
            advisories=tuple(advisories[name] for name in sorted(advisories)),
            fixed=tuple(sorted({version for _, _, fixed in group for version in fixed})),
            settled=_settled(components.values(), tuple(advisories.values())),
        )


def _settled(components: Iterable[Component], advisories: Sequence[Advisory]) -> Statement | None:
    """Give the statement that settles a vulnerability, where there is one for each component that has it."""
    last: Statement | None = None
    for component in components:
        last = next(
            (s for s in component.statements if any(settles(s, advisory) for advisory in advisories)), None
        )
        if last is None:
            return None
    return last
