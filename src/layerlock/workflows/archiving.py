"""Writing everything that a layer is made from into an archive, and looking an archive over."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from layerlock.build.workshop import FETCHES
from layerlock.errors import FetchError, HashMismatch, InvalidRecipe, Offline
from layerlock.events import Listener, Noted, Warned
from layerlock.io.together import together
from layerlock.model.lock import LockedFile, LockedSource
from layerlock.model.recipe import Deb, EnvironmentRecipe, PackageRecipe
from layerlock.plan.resolve import Plan
from layerlock.reproduce.archive import Archive, Flaw
from layerlock.reproduce.manifest import (
    VERSION,
    ArchivedFile,
    ArchivedSources,
    ArchivedTree,
    Manifest,
    RepositoryFile,
)
from layerlock.reproduce.past import GUEST
from layerlock.sandbox.program import pinned
from layerlock.workflows.driver import Driver
from layerlock.workflows.keeping import needed
from layerlock.workflows.planning import deb_pin, load_layer

_PURL: Final = re.compile(r"pkg:deb/debian/([a-z0-9][a-z0-9+.-]*)@([^?#]+)(?:\?([^#]*))?")
_PATH: Final = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9._+-]*(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)*")
"""Names that a recipe can state, but for hidden ones: what else lies about in a folder is nobody's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Archived:
    """What archiving a layer did; sizes in bytes.

    `written` counts what sources were written in this run; `problems` are source packages of Debian that could not be
    had: building does without them.
    """

    manifest: Manifest
    path: Path
    size: int
    entries: int
    problems: tuple[str, ...]
    written: int
    sources_written: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Need:
    """A file that the archive shall have: its pin, and what needs it."""

    pin: LockedFile
    needed_by: str


class _Tally:
    """Counts what was written; threads share it, and each only appends."""

    def __init__(self) -> None:
        self.sizes: list[int] = []


def archive_layer(driver: Driver, layer: str, archive: Archive, *, debian_sources: bool) -> Archived:
    """Write everything that a layer's lock names into an archive; what is there already is verified.

    That is every source, the sandbox's program, recipes, patches, guest code and the lock, and, unless
    `debian_sources` is false, the source packages of Debian whose binaries the layer ships.

    Raises:
        StaleLock: the recipes do not fit the lock.
        LayerlockError: something could not be fetched, or the archive not be written.
    """
    lock, plan, pins = load_layer(driver, layer)
    with driver.store.pin(needed(lock, driver.store)), archive.writing():
        tally = _Tally()
        repository = _repository(driver, layer, archive)
        needs = [
            *(_Need(pin=pin, needed_by=pin.key) for pin in pins.values() if isinstance(pin, LockedFile)),
            *_sandbox_program(plan),
        ]
        trees = [pin for pin in pins.values() if not isinstance(pin, LockedFile)]
        together([partial(_keep_file, driver, archive, pin, tally) for pin in _distinct(needs)], most=FETCHES)
        # One after the other: each is unpacked again to see that it can be.
        kept = tuple(_keep_tree(driver, archive, pin, tally) for pin in trees)
        sources = _SourcePackages()
        if debian_sources:
            sources.keep(driver, layer, archive, tally)
        manifest = Manifest(
            version=VERSION,
            layer=layer,
            lock=_lock_sha256(repository, layer),
            zip=lock.zip.sha256 if lock.zip is not None else None,
            files=_files([*needs, *sources.needs]),
            trees=_merged(kept),
            repository=repository,
            source_packages=tuple(sorted(sources.kept, key=lambda kept: (kept.package, kept.version))),
        )
        path = archive.add_manifest(manifest)
    return Archived(
        manifest=manifest,
        path=path,
        size=manifest.size,
        entries=len(manifest.sizes) + len(manifest.trees),
        problems=tuple(sorted(sources.problems)),
        written=sum(tally.sizes),
        sources_written=len(tally.sizes),
    )


def verify_archive(archive: Archive, emit: Listener) -> tuple[int, tuple[Flaw, ...]]:
    """Hash everything that the manifests of an archive list; give their number, and what is wrong."""
    manifests = archive.manifests()
    flaws: dict[Path, Flaw] = {}
    for manifest in manifests:
        emit(Noted(name=manifest.layer, message=f"checking what {manifest.name} lists"))
        for package in manifest.source_packages:
            if not package.complete:
                message = (
                    f"the source package {package.package} {package.version} was not complete to begin with"
                )
                emit(Warned(name=manifest.layer, message=message))
        for flaw in archive.flaws(manifest):
            flaws.setdefault(flaw.path, flaw)
    return len(manifests), tuple(flaws[path] for path in sorted(flaws))


def _repository(driver: Driver, layer: str, archive: Archive) -> tuple[RepositoryFile, ...]:
    """Keep recipes, patches, guest code and the lock: the files that planning and building read."""
    root = driver.repository.root
    found: dict[str, Path] = {f"lockfiles/{layer}.lock": driver.repository.lock_path(layer)}
    for folder in ("recipes", "patches"):
        for path in (root / folder).rglob("*"):
            shown = path.relative_to(root).as_posix()
            if path.is_file() and _PATH.fullmatch(shown) and "__pycache__" not in path.parts:
                found[shown] = path
    # The guest code that the plan is made with, wherever the driver has it from.
    found |= {f"{GUEST}/{path.name}": path for path in driver.guest.glob("*.py")}
    made = []
    for shown, path in sorted(found.items()):
        data = path.read_bytes()
        made.append(RepositoryFile(path=shown, sha256=archive.add_bytes(data), size=len(data)))
    return tuple(made)


def _lock_sha256(repository: Iterable[RepositoryFile], layer: str) -> str:
    return next(file.sha256 for file in repository if file.path == f"lockfiles/{layer}.lock")


def _sandbox_program(plan: Plan) -> list[_Need]:
    """Give the packages of the program that makes sandboxes, for every machine that the plan builds on."""
    machines = sorted({derivation.system.partition("-")[0] for derivation in plan.derivations})
    pins = [pin for pin in map(pinned, machines) if pin is not None]
    return [
        _Need(pin=deb_pin("sandbox-program", deb), needed_by=f"sandbox-program/{deb.name}")
        for pin in pins
        for deb in pin.debs
    ]


def _distinct(needs: Iterable[_Need]) -> list[LockedFile]:
    return list({need.pin.sha256: need.pin for need in needs}.values())


def _keep_file(driver: Driver, archive: Archive, pin: LockedFile, tally: _Tally) -> None:
    def fill(place: Path) -> None:
        shutil.copyfile(driver.supplier.fetch(pin), place)

    if archive.add_file(pin.sha256, fill):
        tally.sizes.append(pin.size)


def _keep_tree(driver: Driver, archive: Archive, pin: LockedSource, tally: _Tally) -> ArchivedTree:
    assert not isinstance(pin, LockedFile)  # noqa: S101 -- told apart by the caller
    place, written = archive.add_tree(pin.tree, driver.supplier.fetch(pin))
    with place.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = place.stat().st_size
    if written:
        tally.sizes.append(size)
    return ArchivedTree(tree=pin.tree, sha256=sha256, size=size, needed_by=(pin.key,))


def _files(needs: Iterable[_Need]) -> tuple[ArchivedFile, ...]:
    by_hash: dict[str, list[_Need]] = {}
    for need in needs:
        by_hash.setdefault(need.pin.sha256, []).append(need)
    return tuple(
        ArchivedFile(
            sha256=sha256,
            size=same[0].pin.size,
            name=min(unquote(need.pin.urls[0].rpartition("/")[2]) for need in same),
            needed_by=tuple(sorted({need.needed_by for need in same})),
        )
        for sha256, same in sorted(by_hash.items())
    )


def _merged(trees: Iterable[ArchivedTree]) -> tuple[ArchivedTree, ...]:
    by_hash: dict[str, ArchivedTree] = {}
    for tree in trees:
        earlier = by_hash.get(tree.tree)
        users = {*tree.needed_by, *(earlier.needed_by if earlier else ())}
        by_hash[tree.tree] = ArchivedTree(
            tree=tree.tree, sha256=tree.sha256, size=tree.size, needed_by=tuple(sorted(users))
        )
    return tuple(by_hash[key] for key in sorted(by_hash))


class _SourcePackages:
    """The source packages of the binaries that a layer ships: those of its packages that say so by their purl.

    A package that cannot be had is told of at the end, and stops nothing: no build needs it.
    """

    def __init__(self) -> None:
        self.kept: list[ArchivedSources] = []
        self.needs: list[_Need] = []
        self.problems: list[str] = []

    def keep(self, driver: Driver, layer: str, archive: Archive, tally: _Tally) -> None:
        for name, sources in sorted(_shipped(driver, layer).items()):
            environment = driver.repository.environment(name)
            try:
                found = driver.supplier.source_packages(environment, sources.keys())
            except (FetchError, HashMismatch, Offline) as error:
                self.problems.append(str(error))
                found = ()
            files = {(package.name, package.version): package.files for package in found}
            works = [partial(self._file, driver, archive, pin, tally) for p in found for pin in p.files]
            here = {pin.sha256 for pin in together(works, most=FETCHES) if pin is not None}
            for (package, version), packages in sorted(sources.items()):
                pins = files.get((package, version), ())
                mine = tuple(pin for pin in pins if pin.sha256 in here)
                self.needs += (
                    _Need(pin=pin, needed_by=f"source package {package} {version}") for pin in mine
                )
                self.kept.append(
                    ArchivedSources(
                        package=package,
                        version=version,
                        ships_in=tuple(sorted(packages)),
                        files=tuple(sorted(pin.sha256 for pin in mine)),
                        complete=bool(pins) and len(mine) == len(pins),
                    )
                )

    def _file(self, driver: Driver, archive: Archive, pin: LockedFile, tally: _Tally) -> LockedFile | None:
        try:
            _keep_file(driver, archive, pin, tally)
        except (FetchError, HashMismatch, Offline) as error:
            self.problems.append(str(error))
            return None
        return pin


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
