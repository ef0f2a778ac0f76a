"""A small plan with outputs in a store, without a sandbox: what caches are tried with."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from layerlock.cache.bring import Cache
from layerlock.cache.entry import Entry, entry_of
from layerlock.cache.keys import Trust, signed, spelled
from layerlock.cache.place import Place
from layerlock.cache.push import Blob, Pushed, push
from layerlock.cache.substitute import Wanted, substitute
from layerlock.events import Event, Warned
from layerlock.io.nar import nar_chunks
from layerlock.model.derivation import Derivation, Input, Realisation, Transform
from layerlock.plan.resolve import Plan
from layerlock.store.local import LocalStore

SHAPE: Mapping[str, tuple[str, ...]] = {
    "root": (),
    "other-root": (),
    "compiler": ("root",),
    "library": ("root", "compiler"),
    "program": ("library", "compiler", "other-root"),
    "zip": ("program",),
}
"""Derivations, inputs first."""


def make_plan(shape: Mapping[str, tuple[str, ...]] = SHAPE, version: str = "1") -> Plan:
    """Make a plan of this shape."""
    planned: dict[str, str] = {}
    made = []
    for name, inputs in shape.items():
        derivation = Derivation(
            name=name,
            version=version,
            system="x86_64-linux",
            action=Transform(name="test/1", parameters={}),
            inputs=tuple(Input(name=one, mount=None) for one in inputs),
        )
        planned[name] = derivation.hash(planned)
        made.append(derivation)
    return Plan(derivations=tuple(made), planned=planned)


def fill(store: LocalStore, plan: Plan, salt: str = "", large: int = 0) -> dict[str, Realisation]:
    """Put an output of each derivation into a store; `large` bytes make that of `compiler` large."""
    made: dict[str, Realisation] = {}
    for derivation in plan.derivations:
        with store.scratch(derivation.name) as folder:
            tree = folder / "tree"
            (tree / "bin").mkdir(parents=True)
            (tree / "bin" / derivation.name).write_text(f"{derivation.name} {salt}")
            (tree / "bin" / derivation.name).chmod(0o755)
            (tree / "link").symlink_to(f"/bin/{derivation.name}")
            if large and derivation.name == "compiler":
                # What zstd cannot make smaller.
                (tree / "large").write_bytes(random.Random(large).randbytes(large))
            added = store.add_tree(tree, derivation.name)
        made[derivation.name] = Realisation(
            name=derivation.name,
            planned=plan.planned[derivation.name],
            resolved=derivation.hash({one.name: made[one.name].output for one in derivation.inputs}),
            output=added.sri,
            size=added.size,
        )
        store.register(made[derivation.name])
    return made


def entries_of(
    plan: Plan, made: Mapping[str, Realisation], keys: Iterable[Ed25519PrivateKey]
) -> dict[str, Entry]:
    """Make signed entries."""
    keys = tuple(keys)
    return {
        d.name: signed(entry_of(made[d.name], {one.name: made[one.name].output for one in d.inputs}), keys)
        for d in plan.derivations
    }


def blobs_of(store: LocalStore, entries: Mapping[str, Entry]) -> list[Blob]:
    """Give the trees of entries."""

    def pieces(path: Path) -> Iterator[memoryview]:
        return nar_chunks(path)

    return [
        Blob(key=e.blob, name=name, size=e.size, pieces=partial(pieces, store.held_tree(e.output)))
        for name, e in entries.items()
    ]


class Team:
    """A store with everything built, a key that is trusted, and a cache at some place."""

    def __init__(self, place: Place, folder: Path, *, large: int = 0) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.plan = make_plan()
        self.store = LocalStore(folder / "builder")
        self.made = fill(self.store, self.plan, large=large)
        self.entries = entries_of(self.plan, self.made, [self.key])
        self.cache = Cache(
            name="team", place=place, trust=Trust(keys=frozenset({spelled(self.key.public_key())}))
        )
        self.events: list[Event] = []

    def push(self) -> Pushed:
        """Write everything."""
        blobs = blobs_of(self.store, self.entries)
        return push(self.plan, self.entries, blobs, self.cache, self.events.append)

    def pull(
        self,
        store: LocalStore,
        *targets: str,
        recorded: Mapping[str, str] | None = None,
        done: Mapping[str, Realisation] | None = None,
        cache: Cache | None = None,
        confirmed: bool = False,
    ) -> dict[str, Realisation]:
        """Bring targets into another store."""
        wanted = Wanted(
            plan=self.plan,
            done=done or {},
            recorded=recorded or {},
            hold=lambda _: None,
            confirmed=confirmed,
        )
        return substitute(targets or ("zip",), wanted, [cache or self.cache], store, self.events.append)

    @property
    def warnings(self) -> str:
        """Every warning so far."""
        return "\n".join(f"{e.name}: {e.message}" for e in self.events if isinstance(e, Warned))
