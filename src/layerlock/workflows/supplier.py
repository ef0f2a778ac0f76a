"""The supply of sources: every kind of source, brought into one store."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from layerlock.errors import HashMismatch
from layerlock.events import Listener
from layerlock.model.lock import LockedFile, LockedGit, LockedPath, LockedSource, SignedIndex
from layerlock.model.recipe import Deb, EnvironmentRecipe, PackageRecipe, PinnedImage, Source
from layerlock.model.requirements import PinnedWheel, Resolved
from layerlock.plan.packages import source_key
from layerlock.plan.requirements import Asked
from layerlock.store.local import LocalStore

if TYPE_CHECKING:
    from layerlock.sources.debian_sources import SourcePackage
    from layerlock.sources.fetch import Reach


class Elsewhere(Protocol):
    """A place that is looked at before the network: an archive, or another store."""

    def bring(self, pin: LockedFile | LockedGit, store: LocalStore, emit: Listener) -> Path | None:
        """Bring a pinned source into a store, verified; None where it is not here and the network may be asked."""


class OtherStore:
    """Another store of this machine: what it has need not be fetched again."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    def bring(self, pin: LockedFile | LockedGit, store: LocalStore, emit: Listener) -> Path | None:
        """Copy a pinned source, verified; one that is damaged here counts as absent."""
        from layerlock.sources.place import copy_tree  # noqa: PLC0415 - not every build copies

        del emit  # It is no download.
        try:
            if isinstance(pin, LockedFile):
                held = self._store.file(pin.sha256)
                if held is None:
                    return None
                return store.add_file(pin.sha256, held.name[65:], lambda place: _copy(held, place))
            tree = self._store.tree(pin.tree)
            if tree is None:
                return None
            with store.scratch("copy") as scratch:
                copy = scratch / "tree"
                copy.mkdir()
                copy_tree(tree, copy)
                made = store.add_tree(copy, tree.name[65:])
                return made.path if made.sri == pin.tree else None
        except (HashMismatch, FileNotFoundError):
            return None


class StoreSupplier:
    """Pins and fetches into a store; how sources are reached is worked out when the first one is needed.

    What knows the network is imported there too: a build with nothing to do is over before it would be loaded.
    """

    def __init__(
        self,
        store: LocalStore,
        reach: Callable[[], Reach],
        emit: Listener,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._store = store
        self._elsewhere = elsewhere
        self._reach = cache(reach)
        self._emit = emit

    def missing(self, locked: LockedSource) -> bool:
        """Say whether the store lacks a pinned source."""
        match locked:
            case LockedFile():
                return self._store.file(locked.sha256) is None
            case LockedGit() | LockedPath():
                return self._store.tree(locked.tree) is None

    def fetch(self, locked: LockedSource) -> Path:
        """Bring a pinned source into the store, or find it there."""
        from layerlock.sources.fetch import fetch  # noqa: PLC0415

        # A folder of the repository is where the repository is.
        if self._elsewhere is not None and not isinstance(locked, LockedPath) and self.missing(locked):
            brought = self._elsewhere.bring(locked, self._store, self._emit)
            if brought is not None:
                return brought
        return fetch(locked, self._store, self._reach(), self._emit)

    def folder_hash(self, folder: Path) -> str | None:
        """Hash a folder of the repository as a source of kind `path`; None where there is none."""
        from layerlock.sources.fetch import folder_sha256  # noqa: PLC0415

        return folder_sha256(folder)

    def pin(
        self, recipe: PackageRecipe, source: Source, previous: LockedSource | None, *, upgrade: bool
    ) -> LockedSource:
        """Pin a package's source; a previous pin that still fits is kept."""
        from layerlock.sources.pin import pin  # noqa: PLC0415

        return pin(
            source_key(recipe, source),
            source,
            previous,
            store=self._store,
            reach=self._reach(),
            emit=self._emit,
            upgrade=upgrade,
        )

    def vouch(self, environment: EnvironmentRecipe, debs: tuple[Deb, ...]) -> SignedIndex:
        """Hold Debian packages against the archive's signed index."""
        from layerlock.sources.debian_index import vouch  # noqa: PLC0415

        return vouch(environment, debs, self._reach(), self._emit)

    def source_packages(
        self, environment: EnvironmentRecipe, wanted: Collection[tuple[str, str]]
    ) -> tuple[SourcePackage, ...]:
        """Find Debian's source packages, by name and version, in the signed index of sources."""
        from layerlock.sources.debian_index import component  # noqa: PLC0415
        from layerlock.sources.debian_sources import find_sources  # noqa: PLC0415

        components = {"main", *(component(deb) for deb in environment.debs)}
        return find_sources(environment.environment, wanted, self._reach(), self._emit, components=components)

    def closure(self, environment: EnvironmentRecipe, place: Path) -> None:
        """Pin an environment's packages anew from the archive's signed index, and write them to `place`."""
        from layerlock.sources.debian_index import write_closure  # noqa: PLC0415

        write_closure(environment, place, self._reach(), self._emit)

    def image(self, environment: EnvironmentRecipe, place: Path) -> None:
        """Pin an environment's image anew, as its registry has it, and write the pins to `place`."""
        from layerlock.sources.oci import write_image  # noqa: PLC0415

        write_image(environment, place, self._reach(), self._emit)

    def wheels(
        self,
        recipe: PackageRecipe,
        asked: Asked,
        kept: tuple[PinnedWheel, ...],
        pylock: tuple[Path, str] | None,
    ) -> Resolved:
        """Find the wheels that a package asks for, or take those of a `pylock.toml`, and fetch them."""
        from layerlock.sources.wheel_pins import pin_pylock, pin_wheels  # noqa: PLC0415

        store, reach, emit = self._store, self._reach(), self._emit
        if pylock is not None:
            return pin_pylock(recipe.name, asked, *pylock, store=store, reach=reach, emit=emit)
        return pin_wheels(recipe.name, asked, kept, store=store, reach=reach, emit=emit)

    def confirm_image(self, environment: EnvironmentRecipe, pinned: PinnedImage) -> None:
        """Hold pins of an image against its registry."""
        from layerlock.sources.oci import confirm_image  # noqa: PLC0415

        confirm_image(environment, pinned, self._reach())


def _copy(source: Path, place: Path) -> None:
    import shutil  # noqa: PLC0415 - not every build copies

    shutil.copyfile(source, place)
