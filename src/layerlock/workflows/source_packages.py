"""Source packages of Debian whose binaries a layer ships: which they are, and how they come into an archive."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from layerlock.build.workshop import FETCHES
from layerlock.errors import FetchError, HashMismatch, InvalidRecipe, Offline
from layerlock.io.together import together
from layerlock.model.lock import LockedFile
from layerlock.model.recipe import Deb, EnvironmentRecipe, PackageRecipe
from layerlock.reproduce.archive import Archive
from layerlock.reproduce.manifest import ArchivedFile, ArchivedSources, Manifest
from layerlock.workflows.archived_files import Need, Tally, keep_file, listed
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import deb_pin

if TYPE_CHECKING:
    from layerlock.sources.debian_sources import SourcePackage

_PURL: Final = re.compile(r"pkg:deb/debian/([a-z0-9][a-z0-9+.-]*)@([^?#]+)(?:\?([^#]*))?")


class SourcePackages:
    """The source packages of the binaries that a layer ships: those of its packages that say so by their purl.

    What an earlier run archived for the same lock is verified and stays. A package that cannot be had is told of at
    the end, and stops nothing: no build needs it.
    """

    def __init__(self, archive: Archive, previous: Manifest | None) -> None:
        self._archive = archive
        self._earlier = {(p.package, p.version): p for p in previous.source_packages} if previous else {}
        self._listed = {file.sha256: file for file in previous.files} if previous else {}
        self.kept: list[ArchivedSources] = []
        self.files: list[ArchivedFile] = []
        self.problems: list[str] = []

    def leave(self) -> None:
        """Keep what there is, and ask for nothing."""
        for package in self._earlier.values():
            self._keep(package, [self._listed[sha256] for sha256 in package.files])

    def keep(self, driver: Driver, layer: str, tally: Tally) -> None:
        """Bring what is missing."""
        for name, sources in sorted(_shipped(driver, layer).items()):
            wanted = {source for source in sources if not self._whole(source)}
            for source in sorted(sources.keys() - wanted):
                package = self._earlier[source]
                self._keep(package, [self._listed[sha256] for sha256 in package.files])
            found: tuple[SourcePackage, ...] = ()
            try:
                found = driver.supplier.source_packages(driver.repository.environment(name), wanted)
            except (FetchError, HashMismatch, Offline) as error:
                self.problems.append(str(error))
            pins = {(package.name, package.version): package.files for package in found}
            for source in sorted(wanted):
                self._bring(driver, source, pins.get(source, ()), sources[source], tally)

    def _bring(
        self,
        driver: Driver,
        source: tuple[str, str],
        pins: tuple[LockedFile, ...],
        ships_in: list[str],
        tally: Tally,
    ) -> None:
        name, version = source
        together([partial(self._file, driver, pin, tally) for pin in pins], most=FETCHES)
        here = [pin for pin in pins if self._archive.file(pin.sha256) is not None]
        package = ArchivedSources(
            package=name,
            version=version,
            ships_in=tuple(sorted(ships_in)),
            files=tuple(sorted(pin.sha256 for pin in here)),
            complete=bool(pins) and len(here) == len(pins),
        )
        self._keep(
            package, listed(Need(pin=pin, needed_by=f"source package {name} {version}") for pin in here)
        )

    def _file(self, driver: Driver, pin: LockedFile, tally: Tally) -> None:
        try:
            keep_file(driver, self._archive, pin, tally)
        except (FetchError, HashMismatch, Offline) as error:
            self.problems.append(str(error))

    def _keep(self, package: ArchivedSources, files: Iterable[ArchivedFile]) -> None:
        self.kept.append(package)
        self.files += files

    def _whole(self, source: tuple[str, str]) -> bool:
        package = self._earlier.get(source)
        return package is not None and package.complete and all(map(self._archive.whole, package.files))


def _shipped(driver: Driver, layer: str) -> dict[str, dict[tuple[str, str], list[str]]]:
    """Give the packages of a layer that ship files of their environment, by environment and source package."""
    found: dict[str, dict[tuple[str, str], list[str]]] = {}
    for name in driver.repository.layer(layer).layer.packages:
        recipe = driver.repository.package(name)
        if _PURL.fullmatch(recipe.package.purl):
            environment = _root(driver, recipe)
            source = _source(driver, recipe, environment)
            found.setdefault(environment.name, {}).setdefault(source, []).append(name)
    return found


def _root(driver: Driver, recipe: PackageRecipe) -> EnvironmentRecipe:
    """Give the environment with Debian packages that a package's environment is made from."""
    environment = driver.repository.environment(recipe.build.environment)
    while environment.environment.base is not None:
        environment = driver.repository.environment(environment.environment.base)
    return environment


def _source(driver: Driver, recipe: PackageRecipe, environment: EnvironmentRecipe) -> tuple[str, str]:
    """Give name and version of the source package that a purl means, as the pinned packages themselves state it.

    Raises:
        InvalidRecipe: no pinned package is the one that the purl names, or was built from it.
    """
    from layerlock.sources.deb_control import source_of  # noqa: PLC0415 - other verbs do without it

    found = _PURL.fullmatch(recipe.package.purl)
    assert found is not None  # noqa: S101 -- looked at by the caller
    name, version = unquote(found[1]), unquote(found[2])

    def source(deb: Deb) -> tuple[str, str]:
        return source_of(driver.supplier.fetch(deb_pin(environment.name, deb)))

    if "arch=source" in (found[3] or "").split("&"):
        if any(source(deb) == (name, version) for deb in environment.debs):
            return name, version
    else:
        for deb in environment.debs:
            if (deb.name, deb.version) == (name, version):
                return source(deb)
    raise InvalidRecipe(
        f"no package of the environment `{environment.name}` is {name} {version}, or was built from it",
        hint="the purl of a recipe that ships files of the environment names the package that they are from",
        location=driver.repository.locate("packages", recipe.name, "package.purl"),
    )
