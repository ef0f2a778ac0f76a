"""From requirement ranges to one wheel a project: the resolver that pip and pdm use, over what the indexes offer.

`resolvelib` decides and backtracks; what it asks is answered from index pages and wheels' metadata, by `packaging`'s
reading of the standards. uv was the other choice: it resolves for the C libraries of its own list alone, which lacks
Amazon Linux 2's, and names the index's address in its messages and files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version
from resolvelib import AbstractProvider, BaseReporter, ResolutionImpossible, ResolutionTooDeep, Resolver
from resolvelib.structs import RequirementInformation

from layerlock.errors import HashMismatch, InvalidRecipe, Unresolvable
from layerlock.model.requirements import PinnedWheel
from layerlock.sources.conflicts import Unmet, exactly, explain, pre_releases
from layerlock.sources.offers import Offer, Wheel
from layerlock.sources.target import Target
from layerlock.sources.wheel_metadata import Metadata

ROUNDS: Final = 20_000
"""Steps after which the search is given up; a hundred projects take some hundred."""

Key = tuple[str, frozenset[str]]
Asked = Requirement | Unmet


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """The wheels, sorted by project, with the metadata that decided; `unused` was left out and never asked for."""

    wheels: tuple[Wheel, ...]
    metadata: Mapping[Wheel, Metadata]
    unused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A wheel with some of its extras."""

    wheel: Wheel
    extras: frozenset[str] = frozenset()

    def __str__(self) -> str:
        extras = f"[{','.join(sorted(self.extras))}]" if self.extras else ""
        return f"{self.wheel.project}{extras} {self.wheel.version}"


def read_wants(wants: Iterable[str]) -> tuple[Requirement, ...]:
    """Read the requirements that a recipe states.

    Raises:
        InvalidRecipe: one is none, or names an address.
    """
    found = []
    for text in wants:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise InvalidRecipe(
                f"`{text}` is no requirement: {str(error).splitlines()[0]}",
                hint="as pip has them: `pandas>=1.5,<2`",
            ) from None
        if requirement.url is not None:
            raise InvalidRecipe(
                f"`{text}` names an address",
                hint="a wheel that is in no index is a source of its own: [[sources]]",
            )
        found.append(requirement)
    return tuple(found)


def resolve(
    wants: Sequence[Requirement],
    without: frozenset[str],
    target: Target,
    kept: Sequence[PinnedWheel],
    *,
    offer: Callable[[str], Offer],
    metadata: Callable[[Wheel], Metadata],
) -> Resolution:
    """Find wheels that meet requirements, and those of each other.

    Args:
        wants: what is asked for.
        without: projects (normalised) that are left out wherever they are asked for.
        target: what the wheels have to fit.
        kept: pins that stay as long as they fit.
        offer: gives what there is of a project.
        metadata: gives what a wheel needs.

    Raises:
        InvalidRecipe: something is asked for and left out in one recipe.
        Unresolvable: the requirements conflict, or nothing fits one of them; the chains are shown.
        HashMismatch: an index states another hash of a pinned wheel.
    """
    named = {canonicalize_name(each.name) for each in wants} & without
    if named:
        raise InvalidRecipe(f"`{min(named)}` is both wanted and left out", hint="drop one of the two")
    provider = _Provider(
        without=without, target=target, kept={pin.name: pin for pin in kept}, offer_=offer, metadata_=metadata
    )
    roots = [each for each in wants if provider.applies(each, frozenset())]
    provider.note(None, roots)
    resolver = Resolver(provider, BaseReporter[Asked, Candidate, Key]())
    try:
        result = resolver.resolve(roots, max_rounds=ROUNDS)
    except ResolutionImpossible as error:
        raise explain(error.causes, provider.wanted, provider.offer) from None
    except ResolutionTooDeep:
        raise Unresolvable(
            f"no set of wheels was found in {ROUNDS} steps",
            hint="narrow the ranges: give upper and lower bounds",
        ) from None
    wheels = {candidate.wheel for candidate in result.mapping.values()}
    return Resolution(
        wheels=tuple(sorted(wheels, key=lambda wheel: wheel.project)),
        metadata={wheel: provider.metadata(wheel) for wheel in wheels},
        unused=tuple(sorted(without - provider.left_out)),
    )


@dataclass(kw_only=True)
class _Provider(AbstractProvider[Asked, Candidate, Key]):
    """What resolvelib asks. An extra is a project of its own that needs its base in the same version, as in pip."""

    without: frozenset[str]
    target: Target
    kept: Mapping[str, PinnedWheel]
    offer_: Callable[[str], Offer]
    metadata_: Callable[[Wheel], Metadata]
    wanted: dict[NormalizedName, list[tuple[Candidate | None, Requirement]]] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    offers: dict[str, Offer] = field(default_factory=dict)
    known: dict[Wheel, Metadata] = field(default_factory=dict)

    def applies(self, requirement: Requirement, extras: frozenset[str]) -> bool:
        """Say whether a requirement's marker holds on the target, for a wheel with some extras or without any."""
        if requirement.marker is None:
            return True
        environment = cast("dict[str, str]", self.target.environment)
        return any(requirement.marker.evaluate({**environment, "extra": extra}) for extra in (extras or {""}))

    def note(self, parent: Candidate | None, requirements: Iterable[Requirement]) -> None:
        """Remember who asked for what, to be able to tell later."""
        for requirement in requirements:
            place = self.wanted.setdefault(canonicalize_name(requirement.name), [])
            if (parent, requirement) not in place:
                place.append((parent, requirement))

    def offer(self, project: str) -> Offer:
        """Look a project up, once."""
        if project not in self.offers:
            found = self.offers[project] = self.offer_(project)
            self._check_pin(found)
        return self.offers[project]

    def metadata(self, wheel: Wheel) -> Metadata:
        """Give a wheel's metadata, read once."""
        if wheel not in self.known:
            self.known[wheel] = self.metadata_(wheel)
        return self.known[wheel]

    def identify(self, requirement_or_candidate: Asked | Candidate) -> Key:
        """Give project and extras."""
        match requirement_or_candidate:
            case Unmet() as unmet:
                return str(unmet), frozenset()
            case Candidate() as candidate:
                return candidate.wheel.project, candidate.extras
            case requirement:
                extras = frozenset(canonicalize_name(extra) for extra in requirement.extras)
                return canonicalize_name(requirement.name), extras

    def get_preference(
        self,
        identifier: Key,
        resolutions: Mapping[Key, Candidate],
        candidates: Mapping[Key, Iterator[Candidate]],
        information: Mapping[Key, Iterator[RequirementInformation[Asked, Candidate]]],
        backtrack_causes: Sequence[RequirementInformation[Asked, Candidate]],
    ) -> tuple[bool, bool, bool, str, tuple[str, ...]]:
        """Take first what conflicted before, then what is pinned, then what is bounded: pip's order, in short."""
        del resolutions, candidates
        asked = [info.requirement for info in information[identifier]]
        ranges = [each.specifier for each in asked if isinstance(each, Requirement)]
        causes = {self.identify(info.requirement) for info in backtrack_causes}
        return (
            identifier not in causes,
            not any(map(exactly, ranges)),
            not any(ranges),
            identifier[0],
            tuple(sorted(identifier[1])),
        )

    def find_matches(
        self,
        identifier: Key,
        requirements: Mapping[Key, Iterator[Asked]],
        incompatibilities: Mapping[Key, Iterator[Candidate]],
    ) -> list[Candidate]:
        """Give the wheels that meet all requirements of a project, the pinned one first, then the newest."""
        project, extras = identifier
        asked = list(requirements[identifier])
        if any(isinstance(each, Unmet) for each in asked):
            return []
        ranges = [each.specifier for each in asked if isinstance(each, Requirement)]
        pre = any(map(pre_releases, ranges))
        bad = {candidate.wheel.version for candidate in incompatibilities[identifier]}
        pin = self.kept.get(project)
        found = []
        for version, wheels in self.offer(project).wheels.items():
            if version in bad or not all(each.contains(version, prereleases=pre) for each in ranges):
                continue
            kept = [wheel for wheel in wheels if pin is not None and wheel.sha256 == pin.sha256]
            wheel = kept[0] if kept else wheels[0]
            if wheel.yanked is None or kept or any(map(exactly, ranges)):
                found.append(
                    (not kept and not (pin and Version(pin.version) == version), Candidate(wheel, extras))
                )
        return [candidate for _, candidate in sorted(found, key=lambda each: each[0])]

    def is_satisfied_by(self, requirement: Asked, candidate: Candidate) -> bool:
        """Say whether a wheel meets a requirement of its project."""
        return isinstance(requirement, Requirement) and requirement.specifier.contains(
            candidate.wheel.version, prereleases=True
        )

    def get_dependencies(self, candidate: Candidate) -> list[Asked]:
        """Give what a wheel needs on the target."""
        wheel = candidate.wheel
        data = self.metadata(wheel)
        wrong = data.wrong
        if not wrong and not self.target.admits(data.python):
            wrong = f"it is for Python {data.python}"
        needed = [each for each in data.requires if self.applies(each, candidate.extras)]
        if not wrong and (addresses := [each for each in needed if each.url is not None]):
            wrong = f"it needs `{addresses[0].name}` from an address"
        if wrong:
            return [Unmet(project=wheel.project, version=str(wheel.version), why=wrong)]
        found = []
        for requirement in needed:
            name = canonicalize_name(requirement.name)
            if name in self.without:
                self.left_out.add(name)
            else:
                found.append(requirement)
        self.note(candidate, found)
        own = [Requirement(f"{wheel.project}=={wheel.version}")] if candidate.extras else []
        return [*own, *found]

    def _check_pin(self, offer: Offer) -> None:
        """Refuse bytes that changed under an unchanged name."""
        pin = self.kept.get(offer.project)
        stated = offer.listed.get(pin.file.rpartition("/")[2]) if pin is not None else None
        if pin is not None and stated and stated != pin.sha256:
            raise HashMismatch(
                f"the index states the sha256 {stated} of {pin.file}; pinned is {pin.sha256}",
                hint="a release that changes under its name is an alarm: find out why before pinning anything else",
            )
