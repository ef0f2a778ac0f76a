"""The supply of sources: every kind of source, brought into one store."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.events import Listener
from layerlock.model.lock import LockedFile, LockedGit, LockedPath, LockedSource, SignedIndex
from layerlock.model.recipe import Deb, EnvironmentRecipe, PackageRecipe, PinnedImage, Source
from layerlock.plan.packages import source_key
from layerlock.store.local import LocalStore

if TYPE_CHECKING:
    from layerlock.sources.fetch import Reach


class StoreSupplier:
    """Pins and fetches into a store; how sources are reached is worked out when the first one is needed.

    What knows the network is imported there too: a build with nothing to do is over before it would be loaded.
    """

    def __init__(self, store: LocalStore, reach: Callable[[], Reach], emit: Listener) -> None:
        self._store = store
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

    def closure(self, environment: EnvironmentRecipe, place: Path) -> None:
        """Pin an environment's packages anew from the archive's signed index, and write them to `place`."""
        from layerlock.sources.debian_index import write_closure  # noqa: PLC0415

        write_closure(environment, place, self._reach(), self._emit)

    def image(self, environment: EnvironmentRecipe, place: Path) -> None:
        """Pin an environment's image anew, as its registry has it, and write the pins to `place`."""
        from layerlock.sources.oci import write_image  # noqa: PLC0415

        write_image(environment, place, self._reach(), self._emit)

    def confirm_image(self, environment: EnvironmentRecipe, pinned: PinnedImage) -> None:
        """Hold pins of an image against its registry."""
        from layerlock.sources.oci import confirm_image  # noqa: PLC0415

        confirm_image(environment, pinned, self._reach())
