"""What garbage collection keeps: the locks of checkouts, and what running builds use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from layerlock.model.lock import Lock, LockedFile
from layerlock.store.keep import Keep
from layerlock.store.local import LocalStore
from layerlock.workflows.driver import Driver


def needed(lock: Lock, store: LocalStore) -> Keep:
    """Give what a lock needs: its sources, its recorded outputs, and what was built of its derivations."""
    built = [store.planned(derivation.planned) for derivation in lock.derivations]
    return Keep(
        files=frozenset(pin.sha256 for pin in lock.sources if isinstance(pin, LockedFile)),
        trees=frozenset(pin.tree for pin in lock.sources if not isinstance(pin, LockedFile))
        | frozenset(derivation.output for derivation in lock.derivations if derivation.output is not None),
        realisations=frozenset(made.resolved for made in built if made is not None),
    )


@contextmanager
def kept(driver: Driver, lock: Lock) -> Iterator[None]:
    """Keep what a lock needs from a collection meanwhile, and what was built for as long as the checkout stands."""
    store = driver.store
    with store.pin(needed(lock, store)):
        yield
        store.add_root(driver.repository.root, lock.layer, needed(lock, store))
