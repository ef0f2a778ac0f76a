"""Writing everything that a layer is made from into an archive, and looking an archive over."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layerlock.events import Listener, Noted, Warned
from layerlock.io.filehash import file_sha256
from layerlock.model.lock import LockedFile, LockedSource
from layerlock.plan.resolve import Plan
from layerlock.reproduce.archive import Archive, Flaw
from layerlock.reproduce.manifest import (
    VERSION,
    ArchivedTree,
    Manifest,
    RepositoryFile,
)
from layerlock.reproduce.past import GUEST
from layerlock.sandbox.program import pinned
from layerlock.workflows.archived_files import Need, Tally, keep_files, listed, merged_files
from layerlock.workflows.driver import Driver
from layerlock.workflows.keeping import needed
from layerlock.workflows.planning import PROGRAM, load_layer, program_pin
from layerlock.workflows.source_packages import SourcePackages

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
        tally = Tally()
        repository = _repository(driver, layer, archive)
        needs = [
            *(Need(pin=pin, needed_by=pin.key) for pin in pins.values() if isinstance(pin, LockedFile)),
            *_sandbox_program(plan),
        ]
        trees = [pin for pin in pins.values() if not isinstance(pin, LockedFile)]
        keep_files(driver, archive, needs, tally)
        # One after the other: each is unpacked again to see that it can be.
        kept = tuple(_keep_tree(driver, archive, pin, tally) for pin in trees)
        sha256 = _lock_sha256(repository, layer)
        sources = SourcePackages(archive, _previous(archive, layer, sha256))
        if debian_sources:
            sources.keep(driver, layer, tally)
        else:
            sources.leave()
        manifest = Manifest(
            version=VERSION,
            layer=layer,
            lock=sha256,
            zip=lock.zip.sha256 if lock.zip is not None else None,
            files=merged_files((*listed(needs), *sources.files)),
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


def _sandbox_program(plan: Plan) -> list[Need]:
    """Give the packages of the program that makes sandboxes, for every machine that the plan builds on."""
    machines = sorted({derivation.system.partition("-")[0] for derivation in plan.derivations})
    pins = [pin for pin in map(pinned, machines) if pin is not None]
    return [
        Need(pin=program_pin(deb), needed_by=f"{PROGRAM}/{deb.name}") for pin in pins for deb in pin.packages
    ]


def _keep_tree(driver: Driver, archive: Archive, pin: LockedSource, tally: Tally) -> ArchivedTree:
    assert not isinstance(pin, LockedFile)  # noqa: S101 -- told apart by the caller
    place, written = archive.add_tree(pin.tree, driver.supplier.fetch(pin))
    sha256 = file_sha256(place)
    size = place.stat().st_size
    if written:
        tally.sizes.append(size)
    return ArchivedTree(tree=pin.tree, sha256=sha256, size=size, needed_by=(pin.key,))


def _merged(trees: Iterable[ArchivedTree]) -> tuple[ArchivedTree, ...]:
    by_hash: dict[str, ArchivedTree] = {}
    for tree in trees:
        earlier = by_hash.get(tree.tree)
        users = {*tree.needed_by, *(earlier.needed_by if earlier else ())}
        by_hash[tree.tree] = ArchivedTree(
            tree=tree.tree, sha256=tree.sha256, size=tree.size, needed_by=tuple(sorted(users))
        )
    return tuple(by_hash[key] for key in sorted(by_hash))


def _previous(archive: Archive, layer: str, lock: str) -> Manifest | None:
    """Give what an earlier run listed for the same lock."""
    return next((m for m in archive.manifests() if (m.layer, m.lock) == (layer, lock)), None)
