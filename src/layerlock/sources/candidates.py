"""Which file of a project to start a recipe from: a wheel of pure Python, the source, or a compiled wheel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from layerlock.errors import Unresolvable, UsageError
from layerlock.sources.origins import Origins
from layerlock.sources.releases import Release, releases
from layerlock.sources.target import Target

Kind = Literal["wheel", "source"]

_PURE: Final = "-none-any"
_UNPACKED: Final = (".tar.gz", ".tar.xz", ".tar.bz2", ".zip")
"""Archives of sources that recipes can name, the likeliest first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """The file of a project that was chosen; `project` is normalised."""

    project: str
    version: Version
    filename: str
    sha256: str
    kind: Kind

    @property
    def url(self) -> str:
        """The file as recipes name it."""
        return f"pypi:{self.project}/{self.filename}"


def read_requirement(text: str) -> Requirement:
    """Read what to start from: a project, and versions of it.

    Raises:
        UsageError: it is no requirement, or one with an address or a marker.
    """
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise UsageError(f"`{text}` is no requirement", hint="for example: numpy==2.3.1") from None
    if requirement.url is not None or requirement.marker is not None:
        raise UsageError(f"`{text}` has more than a name and versions", hint="for example: numpy==2.3.1")
    return requirement


def candidate(origins: Origins, requirement: Requirement, target: Target, only: Kind | None) -> Candidate:
    """Choose the newest version that fits, and of it a wheel of pure Python, else the source, else another wheel.

    Yanked files are taken by `==` alone, pre-releases where the requirement names one. `only` rules the other kind out.

    Raises:
        Unresolvable: nothing fits.
        FetchError: no index answers.
    """
    name = canonicalize_name(requirement.name)
    exact = any(each.operator in ("==", "===") for each in requirement.specifier)
    fitting = [
        release
        for release in releases(origins, name)
        if release.sha256 is not None
        and (exact or not release.yanked)
        and requirement.specifier.contains(release.version)
        and target.admits(release.python)
    ]
    versions = sorted({release.version for release in fitting}, reverse=True)
    for version in versions:
        found = _best([release for release in fitting if release.version == version], target, only)
        if found is not None:
            release, kind = found
            return Candidate(
                project=name,
                version=version,
                filename=release.filename,
                sha256=release.sha256 or "",
                kind=kind,
            )
    raise Unresolvable(
        f"the index has no {only or 'wheel and no source'} of `{requirement}` for {target}",
        hint="see what it has of other versions, or name another runtime with --runtime",
    )


def _best(files: Iterable[Release], target: Target, only: Kind | None) -> tuple[Release, Kind] | None:
    ranks = {str(tag): place for place, tag in enumerate(target.tags)}
    ranked: list[tuple[tuple[int, int, str], Release, Kind]] = []
    for release in files:
        if release.tags:
            places = [ranks[tag] for tag in release.tags if tag in ranks]
            if places and only != "source":
                pure = any(tag.endswith(_PURE) for tag in release.tags)
                ranked.append(((0 if pure else 2, min(places), release.filename), release, "wheel"))
        elif only != "wheel":
            kinds = [place for place, end in enumerate(_UNPACKED) if release.filename.endswith(end)]
            if kinds:
                ranked.append(((1, kinds[0], release.filename), release, "source"))
    best = min(ranked, key=lambda row: row[0], default=None)
    return best[1:] if best is not None else None
