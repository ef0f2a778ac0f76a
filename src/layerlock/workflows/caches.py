"""The caches of a repository: read from `recipes/caches.toml`, opened when one is first needed."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerlock.errors import InvalidRecipe, Location, NotCached
from layerlock.events import Listener
from layerlock.io.documents import read_record, read_table
from layerlock.model.caches import Caches, CacheSource
from layerlock.model.derivation import Realisation
from layerlock.model.lock import LockedFile, LockedGit
from layerlock.plan.resolve import Plan
from layerlock.store.keep import Keep
from layerlock.store.local import LocalStore

if TYPE_CHECKING:
    from layerlock.cache.bring import Cache
    from layerlock.cache.place import Place
    from layerlock.cache.substitute import CachedSources
    from layerlock.io.http import Fetcher

FILE: Final = "recipes/caches.toml"


def read_caches(root: Path) -> Caches:
    """Read a repository's caches; a repository without the file has none.

    Raises:
        InvalidRecipe: the file does not follow the format, or names something twice.
    """
    path = root / FILE
    if not path.is_file():
        return Caches()
    found = read_record(Caches, read_table(path, FILE), path, FILE)
    for what, names in (
        ("cache", [one.name for one in found.caches]),
        ("key", [one.key for one in found.keys]),
    ):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InvalidRecipe(f"the {what} {twice} is listed twice", location=Location(file=FILE))
    return found


def open_caches(root: Path, fetcher: Callable[[], Fetcher], *, offline: bool) -> tuple[Cache, ...]:
    """Open a repository's caches, in order; without a network those in folders only. No cache is asked yet."""
    from layerlock.cache.bring import Cache  # noqa: PLC0415 - a build with nothing to do needs none of it
    from layerlock.cache.keys import trust  # noqa: PLC0415 - as above

    found = read_caches(root)
    trusted = trust(found, datetime.datetime.now(datetime.UTC).date())
    opened = (
        Cache(name=source.name, place=open_place(source, root, fetcher), trust=trusted)
        for source in found.caches
    )
    return tuple(one for one in opened if not (offline and one.place.remote))


def open_place(source: CacheSource, root: Path, fetcher: Callable[[], Fetcher]) -> Place:
    """Open where a cache keeps its objects; a folder's name is taken from `root`."""
    bucket = re.fullmatch(r"s3://([^/]+)(?:/(.*))?", source.url)
    if bucket is not None:
        from layerlock.cache.s3 import S3  # noqa: PLC0415 - brings boto3 in

        return S3(bucket[1], bucket[2] or "", endpoint=source.endpoint, region=source.region)
    if source.url.startswith(("http://", "https://")):
        from layerlock.cache.web import Web  # noqa: PLC0415 - as above

        return Web(source.url, fetcher())
    from layerlock.cache.folder import Folder  # noqa: PLC0415 - as above

    return Folder(root / source.url)


class Substitutes:
    """Where outputs come from that need not be built. `only` says that nothing else is allowed."""

    def __init__(self, caches: Callable[[], tuple[Cache, ...]], *, only: bool = False) -> None:
        self.caches = cache(caches)
        self.only = only
        self._sources = cache(self._make_sources)

    def outputs(
        self,
        plan: Plan,
        targets: Collection[str],
        done: Mapping[str, Realisation],
        recorded: Mapping[str, str],
        store: LocalStore,
        emit: Listener,
        *,
        confirmed: bool = False,
    ) -> dict[str, Realisation]:
        """Bring outputs of targets, or of what they need, into the store; give what came, by name.

        With `confirmed` only outputs are taken that the lock records.

        Raises:
            NotCached: nothing may be built, and a target could not be had.
        """
        made: dict[str, Realisation] = {}
        if self.caches():
            from layerlock.cache.substitute import Wanted, substitute  # noqa: PLC0415 - as above

            def hold(one: Realisation) -> None:
                store.hold(Keep(trees=frozenset({one.output}), realisations=frozenset({one.resolved})))

            wanted = Wanted(plan=plan, done=done, recorded=recorded, hold=hold, confirmed=confirmed)
            made = substitute(targets, wanted, self.caches(), store, emit)
        missing = [name for name in targets if name not in made and name not in done]
        if self.only and missing:
            asked = ", ".join(one.name for one in self.caches()) or f"none is listed in {FILE}"
            raise NotCached(
                f"no cache has {', '.join(missing)} (asked: {asked})",
                hint="the reasons stand above; without --cache-only it is built, `layerlock cache push` shares it",
            )
        return made

    def bring(self, pin: LockedFile | LockedGit, store: LocalStore, emit: Listener) -> Path | None:
        """Bring a pinned source into a store, as `workflows.supplier.Elsewhere` asks for it."""
        return self._sources().bring(pin, store, emit) if self.caches() else None

    def _make_sources(self) -> CachedSources:
        from layerlock.cache.substitute import CachedSources  # noqa: PLC0415 - as above

        return CachedSources(self.caches)
