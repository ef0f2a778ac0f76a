"""Why requirements cannot be met: who asks for what, each with the whole chain from the recipe on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, canonicalize_name
from resolvelib.structs import RequirementInformation

from layerlock.errors import Unresolvable
from layerlock.sources.offers import Offer, Wheel

SHOWN = 6
"""Chains, and versions, that a message shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmet:
    """A requirement that nothing meets: it stands for a wheel that cannot be used, and says why."""

    project: str
    version: str
    why: str

    def __str__(self) -> str:
        return f"{self.project} {self.version}: {self.why}"


class Chosen(Protocol):
    """A wheel, with whatever of it was asked for."""

    @property
    def wheel(self) -> Wheel: ...


C = TypeVar("C", bound=Chosen)
Wanted = Mapping[NormalizedName, Sequence[tuple[C | None, Requirement]]]
"""Who asked for each project (None: the recipe), and how."""


def exactly(specifier: SpecifierSet) -> bool:
    """Say whether a range lets a single version in, which then may be a yanked one (PEP 592)."""
    return any(
        each.operator == "===" or (each.operator == "==" and not each.version.endswith(".*"))
        for each in specifier
    )


def pre_releases(specifier: SpecifierSet) -> bool:
    """Say whether a range asks for pre-releases, by naming one."""
    return bool(specifier) and specifier.prereleases is True


def explain(
    causes: Collection[RequirementInformation[Requirement | Unmet, C]],
    wanted: Wanted[C],
    offer: Callable[[str], Offer],
) -> Unresolvable:
    """Make the error of requirements that cannot be met."""
    lines: list[str] = []
    ranges: dict[NormalizedName, list[SpecifierSet]] = {}
    for requirement, parent in causes:
        chain = _chain(parent, wanted)
        if isinstance(requirement, Unmet):
            lines.append(f"{chain}, which cannot be used: {requirement.why}")
            continue
        name = canonicalize_name(requirement.name)
        ranges.setdefault(name, []).append(requirement.specifier)
        lines.append(
            f"{chain} needs {_short(requirement)}" if chain else f"the recipe wants {_short(requirement)}"
        )
    lines = list(dict.fromkeys(lines))
    more = [f"... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    there = [line for name, asked in sorted(ranges.items()) for line in _there(offer(name), asked)]
    conflict = len(lines) > 1
    about = ", ".join(f"`{name}`" for name in sorted(ranges)) or "the requirements"
    return Unresolvable(
        (f"conflicting requirements of {about}" if conflict else f"nothing meets the requirements of {about}")
        + "".join(f"\n  {line}" for line in (*lines[:SHOWN], *more, *there)),
        hint="widen one of the ranges, or leave out what is not needed (`requirements.without`)"
        if conflict
        else "ask for another version; leave it out if it is not needed (`requirements.without`); or build it from "
        "source as a package of its own",
    )


def _chain(parent: C | None, wanted: Wanted[C]) -> str:
    if parent is None:
        return ""
    return " -> ".join([*_way(parent.wheel, wanted), str(parent)])


def _way(wheel: Wheel, wanted: Wanted[C]) -> list[str]:
    """Say how a wheel came to be looked at: the shortest way from the recipe, found breadth first."""
    todo: deque[tuple[Wheel, list[str]]] = deque([(wheel, [])])
    seen = {wheel.project}
    while todo:
        lower, below = todo.popleft()
        for parent, requirement in wanted.get(lower.project, ()):
            if not requirement.specifier.contains(lower.version, prereleases=True):
                continue
            if parent is None:
                return [f"the recipe wants {_short(requirement)}", *below]
            if parent.wheel.project not in seen:
                seen.add(parent.wheel.project)
                todo.append((parent.wheel, [f"{parent} needs {_short(requirement)}", *below]))
    return []


def _short(requirement: Requirement) -> str:
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def _there(offer: Offer, asked: Sequence[SpecifierSet]) -> list[str]:
    """Say what there is of a project, what would do but for something else first."""
    if offer.nothing:
        return [f"{offer.project}: {offer.nothing}"]
    found = []
    for version, wheels in offer.wheels.items():
        if all(each.contains(version, prereleases=True) for each in asked):
            why = f"yanked ({wheels[0].yanked})" if wheels[0].yanked is not None else ""
            if not why and version.is_prerelease:
                why = f"a pre-release; `{offer.project}>={version}` would ask for it"
            # What neither stops was tried: the chains tell why it did not do.
            found += [f"{offer.project} {version}: {why}"] if why else []
    for version, why in offer.refused.items():
        if all(each.contains(version, prereleases=True) for each in asked):
            found.append(f"{offer.project} {version}: {why}")
    if not found and offer.wheels:
        newest = [*map(str, offer.wheels)]
        dots = ", ..." if len(newest) > SHOWN else ""
        found.append(f"of {offer.project} there are wheels of {', '.join(newest[:SHOWN])}{dots}")
    return found[:SHOWN]
