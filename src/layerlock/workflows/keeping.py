"""What garbage collection keeps: the locks of checkouts, and what running builds use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from layerlock.errors import LayerlockError
from layerlock.events import Listener, Warned
from layerlock.io.lockfile import read_lock
from layerlock.model.derivation import Realisation
from layerlock.model.lock import Lock, LockedFile, LockedSource
from layerlock.store.keep import Keep
from layerlock.store.local import LocalStore
from layerlock.store.roots import registered
from layerlock.workflows.driver import Driver


def needed(lock: Lock, store: LocalStore) -> Keep:
    """Give what a lock needs: its sources, its recorded outputs, and what was built of its derivations."""
    built = [store.planned(derivation.planned) for derivation in lock.derivations]
    recorded = frozenset(
        derivation.output for derivation in lock.derivations if derivation.output is not None
    )
    return sources(lock.sources) | outputs(made for made in built if made is not None) | Keep(trees=recorded)


def sources(pins: Iterable[LockedSource]) -> Keep:
    """Give the files and trees of pinned sources."""
    return Keep(
        files=frozenset(pin.sha256 for pin in pins if isinstance(pin, LockedFile)),
        trees=frozenset(pin.tree for pin in pins if not isinstance(pin, LockedFile)),
    )


def outputs(made: Iterable[Realisation]) -> Keep:
    """Give builds and what came of them."""
    each = tuple(made)
    return Keep(
        realisations=frozenset(one.resolved for one in each), trees=frozenset(one.output for one in each)
    )


@contextmanager
def kept(driver: Driver, lock: Lock) -> Iterator[None]:
    """Keep what a lock needs from a collection meanwhile, and what was built for as long as the checkout stands."""
    store = driver.store
    with store.pin(needed(lock, store)):
        yield
        store.add_root(driver.repository.root, lock.layer, needed(lock, store))


def checkouts(store: LocalStore, own: Path) -> tuple[Path, ...]:
    """Give the repository at hand and the other ones that have built into the store and still stand."""
    here = own.absolute()
    return (here, *(place for place in registered(store.layout) if place != here))


def by_lock(store: LocalStore, places: Iterable[Path], emit: Listener) -> Mapping[str, Keep]:
    """Give what every lock of some checkouts needs as it is now, by what people call it.

    A checkout registers what its locks needed when it built last; here they are read anew, since they may have been
    pulled or written since. One that cannot be read is told of: what it registered holds all the same.
    """
    found = {}
    for place in places:
        for path in sorted((place / "lockfiles").glob("*.lock")):
            try:
                keep = needed(read_lock(path, path.stem), store)
            except LayerlockError as error:
                emit(Warned(name=str(path), message=f"{error}; what its last build needed is kept"))
            else:
                found[f"the lock of {path.stem} in {place}"] = keep
    return found
