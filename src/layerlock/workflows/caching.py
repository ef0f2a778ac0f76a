"""Filling binary caches, emptying them into the store, and looking into them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerlock.build.known import known
from layerlock.cache.bring import Cache, tree_pieces
from layerlock.cache.check import Flaw, verify_all, verify_plan
from layerlock.cache.entry import Entry, entry_of
from layerlock.cache.keys import signed, spelled
from layerlock.cache.lookup import Book
from layerlock.cache.push import Blob, Pushed, push, source_blobs, write_closure
from layerlock.errors import NotBuilt
from layerlock.events import Warned
from layerlock.io.lockfile import read_lock
from layerlock.io.memory import keep_freed_memory
from layerlock.io.together import together
from layerlock.model.derivation import Realisation
from layerlock.model.lock import LockedFile, LockedGit
from layerlock.plan import layers
from layerlock.store.keep import Keep
from layerlock.workflows import keeping
from layerlock.workflows.driver import Driver
from layerlock.workflows.keeping import kept
from layerlock.workflows.planning import Loaded, load

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SOURCES_AT_ONCE: Final = 16
"""Sources that are fetched at once beside the outputs, which come as `substitute` says; most are small, and those that
come together wait for the disk together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """What came out of the caches and what did not: names of outputs, and keys of sources."""

    outputs: tuple[str, ...]
    sources: tuple[str, ...]
    missing_outputs: tuple[str, ...]
    missing_sources: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """What a cache has of a plan: outputs that may be used, those that may not with the reasons, and requests."""

    outputs: tuple[str, ...]
    refused: tuple[tuple[str, str], ...]
    bytes: int
    requests: int


def targets_of(driver: Driver, name: str) -> tuple[str, ...]:
    """Give the derivations that building a layer or a package is about."""
    if name in driver.repository.names("layers"):
        return layers.tree_name(name), layers.zip_name(name), layers.smoke_name(name)
    return (name,)


def push_closure(driver: Driver, name: str, cache: Cache, key: Ed25519PrivateKey) -> Pushed:
    """Sign what was built of a layer or a package, and write it with its sources into a cache.

    Raises:
        NotBuilt: the store does not hold it.
        NotReproducible: it is not what the lock records.
        Unreachable: the cache cannot be written.
    """
    keep_freed_memory()
    loaded = load(driver, name)
    if spelled(key.public_key()) not in cache.trust.keys:
        message = "the key that signs is not trusted by recipes/caches.toml: nobody will use what it signs"
        driver.emit(Warned(name=f"cache {cache.name}", message=message))
    with driver.store.pin(Keep()):
        made = known(loaded.plan, driver.store, loaded.recorded)
        driver.store.hold(keeping.outputs(made.values()) | keeping.sources(loaded.pins.values()))
        missing = [target for target in targets_of(driver, name) if target not in made]
        if missing:
            raise NotBuilt(
                f"the store does not hold {', '.join(missing)}",
                hint=f"build it first: layerlock build {name}",
            )
        entries = dict(_entries(driver, loaded, key))
        pins, store = loaded.pins.values(), driver.store
        sources = source_blobs(pins, store.file, store.tree, lambda pin, _: f"the source {pin.key}")
        blobs = [*_trees(driver, entries), *sources]
        return push(loaded.plan, entries, blobs, cache, driver.emit)


def pull_closure(driver: Driver, name: str) -> Pulled:
    """Bring everything that the caches have of a layer or a package into the store, sources too."""
    keep_freed_memory()
    loaded = load(driver, name)
    assert driver.substitutes is not None  # noqa: S101 - the command line has no way to rule them out here
    with ExitStack() as stack:
        if name in driver.repository.names("layers"):
            stack.enter_context(kept(driver, read_lock(driver.repository.lock_path(name), name)))
        else:
            stack.enter_context(driver.store.pin(keeping.sources(loaded.pins.values())))
        stack.enter_context(driver.store.filling())
        done = known(loaded.plan, driver.store, loaded.recorded)
        every = tuple(loaded.plan.planned)
        pins = [
            pin
            for pin in loaded.pins.values()
            if isinstance(pin, LockedFile | LockedGit) and driver.supplier.missing(pin)
        ]
        made: dict[str, Realisation] = {}

        def outputs() -> None:
            assert driver.substitutes is not None  # noqa: S101 - as above
            made.update(
                driver.substitutes.outputs(
                    loaded.plan, every, done, loaded.recorded, driver.store, driver.emit
                )
            )

        bring = driver.substitutes.bring
        works: list[Callable[[], Path | None]] = [
            partial(bring, pin, driver.store, driver.emit) for pin in pins
        ]
        brought: list[Path | None] = []
        # Side by side: while trees wait for the disk, sources come.
        together((outputs, lambda: brought.extend(together(works, most=_SOURCES_AT_ONCE))), most=2)
        driver.store.settle()
    return Pulled(
        outputs=tuple(made),
        sources=tuple(pin.key for pin, path in zip(pins, brought, strict=True) if path is not None),
        missing_outputs=tuple(one for one in every if one not in made and one not in done),
        missing_sources=tuple(pin.key for pin, path in zip(pins, brought, strict=True) if path is None),
    )


def sign_closure(driver: Driver, name: str, cache: Cache, key: Ed25519PrivateKey) -> tuple[str, ...]:
    """Add a key's signature to the entries of a layer or a package that a trusted key has signed.

    That is how a new key takes over from an old one: what nobody trusted signed stays without it. Gives the names of
    the derivations whose closures were written.
    """
    loaded = load(driver, name)
    book = Book(cache, loaded.plan, driver.emit)
    fit: dict[str, Entry] = {}
    for one in loaded.plan.planned:
        for entry in book.entries(one, tuple(loaded.plan.planned)):
            problem = _refusal(entry, one, loaded, cache)
            if problem:
                driver.emit(Warned(name=one, message=f"not signed: {problem}"))
            else:
                fit.setdefault(one, signed(entry, (key,)))
    written = [one for one in fit if write_closure(loaded.plan, one, fit, cache, driver.emit, there=True)]
    return tuple(written)


def holdings(driver: Driver, name: str, cache: Cache) -> Held:
    """Say what a cache has of a layer or a package, and what of it may be used; no tree is fetched."""
    loaded = load(driver, name)
    book = Book(cache, loaded.plan, driver.emit)
    good: dict[str, Entry] = {}
    refused: list[tuple[str, str]] = []
    for one in loaded.plan.planned:
        for entry in book.entries(one, tuple(loaded.plan.planned)):
            problem = _refusal(entry, one, loaded, cache)
            if problem:
                refused.append((one, problem))
            else:
                good.setdefault(one, entry)
    return Held(
        outputs=tuple(good),
        refused=tuple(refused),
        bytes=sum(entry.size for entry in good.values()),
        requests=book.requests,
    )


def verify_cache(driver: Driver, name: str | None, cache: Cache) -> tuple[int, tuple[Flaw, ...]]:
    """Check what a cache has of a layer or a package, or all that is in it; give objects and flaws."""
    with driver.store.scratch("cache-verify") as folder:
        if name is None:
            return verify_all(cache, folder, driver.emit)
        loaded = load(driver, name)
        files = [(pin.sha256, pin.size) for pin in loaded.pins.values() if isinstance(pin, LockedFile)]
        return verify_plan(loaded.plan, files, cache, folder, driver.emit)


def _refusal(entry: Entry, name: str, loaded: Loaded, cache: Cache) -> str:
    from layerlock.cache.substitute import Wanted, refusal  # noqa: PLC0415

    wanted = Wanted(plan=loaded.plan, done={}, recorded=loaded.recorded, hold=lambda _: None)
    return refusal(entry, name, wanted, cache)


def _entries(driver: Driver, loaded: Loaded, key: Ed25519PrivateKey) -> Iterator[tuple[str, Entry]]:
    """Make signed entries of what the store has; what was made from other inputs than it knows is left out."""
    plan = loaded.plan
    records = {name: driver.store.planned(planned) for name, planned in plan.planned.items()}
    outputs = {name: record.output for name, record in records.items() if record is not None}
    for derivation in plan.derivations:
        record = records[derivation.name]
        if record is None or driver.store.tree(record.output) is None:
            continue
        needed = [one.name for one in derivation.inputs]
        entry = None
        if all(one in outputs for one in needed):
            entry = entry_of(record, {one: outputs[one] for one in needed})
        problem = (
            "the store has forgotten what it was made from"
            if entry is None
            else entry.fits(derivation, plan.planned[derivation.name])
        )
        if entry is None or problem:
            driver.emit(Warned(name=derivation.name, message=f"not pushed: {problem}"))
            continue
        yield derivation.name, signed(entry, (key,))


def _trees(driver: Driver, entries: Mapping[str, Entry]) -> Iterator[Blob]:
    for name, entry in entries.items():
        path = driver.store.held_tree(entry.output)
        pieces = partial(tree_pieces, path, entry.output, f"the output of {name}")
        yield Blob(key=entry.blob, name=name, size=entry.size, pieces=pieces)
