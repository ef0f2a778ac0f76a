"""Stores that begin with the environments of another one: unpacking those is what takes long in small builds."""

from __future__ import annotations

from pathlib import Path

from layerlock.reproduce.seeding import seed
from layerlock.store.local import LocalStore


def seeded(store: Path, into: Path, *, sources: bool = True) -> Path:
    """Make a store with the environments of another one, and with its sources if those are wanted."""
    given = LocalStore(store)
    notes = [given.planned(path.stem) for path in (store / "planned").iterdir()]
    environments = [made for made in notes if made is not None and made.name.startswith("environment-")]
    there = [made for made in environments if given.tree(made.output) is not None]
    assert there
    files = [path.name[:64] for path in (store / "files").iterdir()] if sources else []
    seed(given, into, files=files, trees={made.output for made in there}, link=True)
    for made in there:
        LocalStore(into).register(made)
    return into
