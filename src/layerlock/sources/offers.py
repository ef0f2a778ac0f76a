"""What the indexes offer of a project: the wheels of each version that fit, and why other versions have none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.tags import Tag
from packaging.utils import (
    BuildTag,
    InvalidSdistFilename,
    InvalidWheelFilename,
    NormalizedName,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from layerlock.errors import FetchError, InvalidRecipe
from layerlock.io.filehash import file_sha256
from layerlock.sources.origins import NO_PROJECT, Origins, check_url
from layerlock.sources.target import Target

if TYPE_CHECKING:
    from pypi_simple import ProjectPage

_ORDER = ("sdist", "unhashed", "platform", "python")
"""Kinds of refusal, the one that says most last: of several files of a version it is the one to tell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """A wheel that fits: `preference` is the place of its best tag, smaller is better; `yanked` gives the reason."""

    project: NormalizedName
    version: Version
    filename: str
    sha256: str
    preference: int
    build: BuildTag
    yanked: str | None

    @property
    def file(self) -> str:
        """The wheel as recipes name it."""
        return f"pypi:{self.project}/{self.filename}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """What there is of a project: wheels that fit by version, newest and best first, and why a version has none.

    `listed` are the sha256 of every file, by name; `nothing` says why the project has no page at all.
    """

    project: NormalizedName
    wheels: Mapping[Version, tuple[Wheel, ...]]
    refused: Mapping[Version, str]
    listed: Mapping[str, str]
    nothing: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    name: str
    sha256: str
    python: str | None
    yanked: str | None


def offer(origins: Origins, project: str, target: Target) -> Offer:
    """Look a project up.

    Raises:
        FetchError: an index does not answer as it should; what it offers might have been the right one.
    """
    name = canonicalize_name(project)
    places = {tag: place for place, tag in enumerate(target.tags)}
    wheels: dict[Version, list[Wheel]] = {}
    refused: dict[Version, tuple[int, str]] = {}
    listed: dict[str, str] = {}
    pages = origins.listed(name)
    for file in _files(origins, pages, name):
        listed.setdefault(file.name, file.sha256)
        match _judge(file, name, target, places):
            case Wheel() as wheel:
                # The first place that lists a file is the one that is asked for it, as in pip.
                if listed[wheel.filename] == wheel.sha256:
                    wheels.setdefault(wheel.version, []).append(wheel)
            case (version, kind, why):
                refused[version] = max(refused.get(version, (-1, "")), (_ORDER.index(kind), why))
            case None:
                pass
    nothing = "" if listed else (NO_PROJECT if pages else "pip is configured to use no index")
    return Offer(
        project=name,
        wheels={
            version: tuple(sorted(wheels[version], key=_rank)) for version in sorted(wheels, reverse=True)
        },
        refused={v: refused[v][1] for v in sorted(refused, reverse=True) if v not in wheels},
        listed=listed,
        nothing=nothing,
    )


def _files(origins: Origins, pages: Iterable[ProjectPage | str], project: NormalizedName) -> Iterator[_File]:
    """Give every file that pip would look at: those of its folders, then those of its indexes."""
    for path in origins.local_files():
        if _read(path.name, project) is not None:
            sha256 = file_sha256(path)
            yield _File(name=path.name, sha256=sha256, python=None, yanked=None)
    for page in pages:
        if isinstance(page, str):
            if page != NO_PROJECT:
                raise FetchError(
                    f"pypi:{project}: {page}",
                    hint="check the network and pip's configuration, then try again",
                )
            continue
        for package in page.packages:
            yield _File(
                name=package.filename,
                sha256=(package.digests.get("sha256") or "").lower(),
                python=package.requires_python,
                yanked=(package.yanked_reason or "no reason is given") if package.is_yanked else None,
            )


def _read(filename: str, project: NormalizedName) -> tuple[Version, BuildTag, frozenset[Tag]] | None:
    """Take a file name apart; None for what is no release of the project that a recipe could name."""
    try:
        check_url(f"pypi:{project}/{filename}")
        if filename.endswith(".whl"):
            name, version, build, tags = parse_wheel_filename(filename)
            return (version, build, tags) if name == project else None
        name, version = parse_sdist_filename(filename)
    except (InvalidRecipe, InvalidWheelFilename, InvalidSdistFilename):
        return None
    return (version, (), frozenset()) if name == project else None


def _judge(
    file: _File, project: NormalizedName, target: Target, places: Mapping[Tag, int]
) -> Wheel | tuple[Version, str, str] | None:
    read = _read(file.name, project)
    if read is None:
        return None
    version, build, tags = read
    if not tags:
        return version, "sdist", "only a source distribution"
    if not target.admits(file.python):
        return version, "python", f"for Python {file.python}"
    fitting = [places[tag] for tag in tags if tag in places]
    if not fitting:
        return version, "platform", f"no wheel for {target}"
    if len(file.sha256) != 64 or not set(file.sha256) <= set("0123456789abcdef"):
        return version, "unhashed", "the index states no sha256"
    return Wheel(
        project=project,
        version=version,
        filename=file.name,
        sha256=file.sha256,
        preference=min(fitting),
        build=build,
        yanked=file.yanked,
    )


def _rank(wheel: Wheel) -> tuple[int, tuple[int, str], str]:
    """Order wheels of one version as pip does, the best first: by tag, then the newest build."""
    number, rest = wheel.build or (-1, "")
    return wheel.preference, (-number, rest), wheel.filename
