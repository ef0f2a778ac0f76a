"""`pylock.toml` (PEP 751): reading the wheels that another tool locked, and writing a package's own for others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import tomli
import tomli_w
from packaging.markers import Marker
from packaging.pylock import (
    Package,
    PackageSdist,
    PackageWheel,
    Pylock,
    PylockSelectError,
    PylockValidationError,
)
from packaging.specifiers import SpecifierSet
from packaging.utils import NormalizedName, parse_wheel_filename
from packaging.version import Version

from layerlock.errors import BadPylock, InvalidRecipe, Location, Unresolvable
from layerlock.sources.offers import Wheel
from layerlock.sources.origins import check_url
from layerlock.sources.target import Target


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedWheel:
    """A wheel to write: `address` is where it is to be had, `path` its place beside the file; one of them is set."""

    filename: str
    sha256: str
    size: int | None
    address: str | None = None
    path: str | None = None


def read_pylock(
    data: bytes, shown: str, target: Target, without: frozenset[str]
) -> tuple[tuple[Wheel, int | None], ...]:
    """Choose a target's wheels out of a `pylock.toml`, with their sizes where they are stated, sorted by project.

    Only names and hashes count: the wheels come from the indexes that pip is configured with. `without` are
    projects (normalised) that are left out.

    Raises:
        BadPylock: it is no TOML, or does not follow the specification; the place in it is named.
        Unresolvable: it is not for the target, or something in it is to be had in another way than as a wheel.
    """
    location = Location(file=shown)
    try:
        document = Pylock.from_dict(tomli.loads(data.decode("utf-8")))
    except UnicodeDecodeError:
        raise BadPylock("the file is not UTF-8 text", location=location) from None
    except tomli.TOMLDecodeError as error:
        raise BadPylock(f"not TOML: {error}", location=location) from None
    except PylockValidationError as error:
        raise BadPylock(
            f"the file does not follow PEP 751: {error.message}",
            hint="write it anew with the tool that made it",
            location=Location(file=shown, path=error.context or ""),
        ) from None
    kept = [package for package in document.packages if package.name not in without]
    chosen = Pylock(
        lock_version=document.lock_version,
        environments=document.environments,
        requires_python=document.requires_python,
        extras=document.extras,
        dependency_groups=document.dependency_groups,
        default_groups=document.default_groups,
        created_by=document.created_by,
        packages=kept,
    )
    found = []
    try:
        for package, source in chosen.select(environment=target.environment, tags=target.tags):
            if not isinstance(source, PackageWheel):
                raise Unresolvable(
                    _no_wheel(package, isinstance(source, PackageSdist), target), location=location
                )
            found.append((_wheel(package, source, location), source.size))
    except PylockSelectError as error:
        raise Unresolvable(
            f"the file does not hold the wheels for {target}: {error}",
            hint="lock for this target with the tool that wrote it",
            location=location,
        ) from None
    return tuple(sorted(found, key=lambda each: each[0].project))


def write_pylock(wheels: Iterable[LockedWheel], python: str, marker: str | None) -> str:
    """Write wheels as a `pylock.toml`, sorted by project.

    Args:
        wheels: one a project.
        python: the Python version, `X.Y`.
        marker: what tells the target from others; None where any will do.
    """
    packages = []
    for wheel in wheels:
        name, version, _, _ = parse_wheel_filename(wheel.filename)
        packages.append(
            Package(
                name=name,
                version=version,
                wheels=[
                    PackageWheel(
                        name=wheel.filename,
                        url=wheel.address,
                        path=wheel.path,
                        size=wheel.size,
                        hashes={"sha256": wheel.sha256},
                    )
                ],
            )
        )
    document = Pylock(
        lock_version=Version("1.0"),
        environments=[Marker(marker)] if marker else None,
        requires_python=SpecifierSet(f"=={python}.*"),
        created_by="layerlock",
        packages=sorted(packages, key=lambda package: package.name),
    )
    document.validate()
    table: Mapping[str, object] = document.to_dict()
    return tomli_w.dumps(table)


def _wheel(package: Package, source: PackageWheel, location: Location) -> Wheel:
    sha256 = source.hashes.get("sha256", "").lower()
    if len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef"):
        raise BadPylock(
            f"`{source.filename}` has no sha256, by which files are pinned here", location=location
        )
    project: NormalizedName = package.name
    try:
        check_url(f"pypi:{project}/{source.filename}")
    except InvalidRecipe as error:
        raise BadPylock(error.message, location=location) from None
    _, version, build, _ = parse_wheel_filename(source.filename)
    return Wheel(
        project=project,
        version=version,
        filename=source.filename,
        sha256=sha256,
        preference=0,
        build=build,
        yanked=None,
    )


def _no_wheel(package: Package, sdist: bool, target: Target) -> str:
    if sdist:
        return f"`{package.name}` has a source distribution and no wheel for {target}"
    return (
        f"`{package.name}` comes from a repository, a folder or an archive; only wheels of indexes are taken"
    )
