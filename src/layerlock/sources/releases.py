"""What a package index lists of a project: which file is newer than the pinned one, allowed, and of the same kind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from layerlock.errors import FetchError, InvalidRecipe
from layerlock.sources.origins import Origins

_NAMED: Final = re.compile(r"pypi:([^/]+)/(.+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One file of a project: its version, its tags (none for a source distribution), and what the index says of it."""

    filename: str
    version: Version
    tags: frozenset[str]
    sha256: str | None
    size: int | None
    yanked: bool
    reason: str
    python: str | None


def named(urls: Iterable[str]) -> tuple[str, str] | None:
    """Give project and file name of the first address that names a file of an index; None where none does."""
    for url in urls:
        found = _NAMED.fullmatch(url)
        if found is not None:
            return found[1], found[2]
    return None


def read_filename(filename: str) -> tuple[Version, frozenset[str]] | None:
    """Take version and tags out of a file name; None for what is neither a wheel nor a source distribution."""
    try:
        if filename.endswith(".whl"):
            _, version, _, tags = parse_wheel_filename(filename)
            return version, frozenset(map(str, tags))
        return parse_sdist_filename(filename)[1], frozenset()
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None


def releases(origins: Origins, project: str) -> tuple[Release, ...]:
    """List the files of a project, of every index that pip is configured with.

    Raises:
        FetchError: no index gives a page of the project.
    """
    pages = origins.listed(project)
    found = []
    for page in pages:
        for package in () if isinstance(page, str) else page.packages:
            read = read_filename(package.filename)
            if read is not None:
                found.append(
                    Release(
                        filename=package.filename,
                        version=read[0],
                        tags=read[1],
                        sha256=(package.digests.get("sha256") or "").lower() or None,
                        size=package.size,
                        yanked=package.is_yanked,
                        reason=package.yanked_reason or "",
                        python=package.requires_python,
                    )
                )
    if all(isinstance(page, str) for page in pages):
        reasons = "; ".join(page for page in pages if isinstance(page, str))
        raise FetchError(f"pypi:{project}: {reasons or 'pip is configured to use no index'}")
    return tuple(found)


def specifier(allows: str, pinned: Version) -> SpecifierSet:
    """Give the releases that a source may move to: what its recipe says, else those of the same minor version.

    Raises:
        InvalidRecipe: what the recipe says is no version specifier.
    """
    if not allows:
        parts = pinned.release
        return SpecifierSet(f"=={parts[0]}.{parts[1]}.*" if len(parts) > 2 else f"=={parts[0]}.*")
    try:
        return SpecifierSet(allows)
    except InvalidSpecifier:
        raise InvalidRecipe(
            f"`{allows}` is no version specifier", hint="as pip has them: `>=1.24,<2`"
        ) from None


def newest(listed: Iterable[Release], filename: str, allows: str, python: str | None) -> Release | None:
    """Give the newest file that could stand for a pinned one; None where the pinned one is the newest.

    It is of the same kind (for wheels: it has a tag in common), a final release, not yanked, with a hash, and for
    the Python `X.Y` where that matters.

    Raises:
        InvalidRecipe: `allows` is no version specifier.
    """
    pinned = read_filename(filename)
    if pinned is None:
        return None
    version, tags = pinned
    wanted = specifier(allows, version)
    fitting = [
        release
        for release in listed
        if release.version > version
        and not release.version.is_prerelease
        and not release.yanked
        and release.sha256 is not None
        and wanted.contains(release.version)
        and bool(release.tags) == bool(tags)
        and (not tags or bool(tags & release.tags))
        and _fits(release.python, python)
    ]
    if not fitting:
        return None
    suffix = re.search(r"\.(?:whl|tar\.\w+|zip)$", filename)
    return max(
        fitting,
        key=lambda each: (
            each.version,
            len(tags & each.tags),
            bool(suffix and each.filename.endswith(suffix[0])),
            each.filename,
        ),
    )


def _fits(requires: str | None, python: str | None) -> bool:
    """Say whether a release is for a Python version; what an index says and cannot be read forbids nothing."""
    if not requires or python is None:
        return True
    try:
        return SpecifierSet(requires).contains(f"{python}.99")
    except InvalidSpecifier:
        return True
