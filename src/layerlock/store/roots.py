"""Roots: what checkouts and running builds have asked a store to keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from layerlock.errors import StoreError
from layerlock.io.atomic import shared, write_bytes
from layerlock.store.keep import Keep, decode, encode
from layerlock.store.layout import Layout, checkout_root


@dataclass(frozen=True, kw_only=True, slots=True)
class Root:
    """A file below `roots`: what it keeps, and for whom. A pin of a running build has no checkout."""

    path: Path
    keep: Keep
    checkout: Path | None
    name: str

    @property
    def holder(self) -> str:
        """Who it is that keeps, for people."""
        if self.checkout is None:
            return f"a running build (process {self.path.name.split('-')[1]})"
        return f"the lock of {self.name} in {self.checkout}"

    @property
    def stands(self) -> bool:
        """Whether the checkout is still there; a pin ends with its process, which its lock file tells."""
        return self.checkout is None or self.checkout.is_dir()


def write_root(layout: Layout, checkout: Path, name: str, keep: Keep) -> None:
    """Write what the lock `name` of a checkout needs, unless it says this already. Raises OSError."""
    place = str(checkout.absolute())
    path = checkout_root(layout, checkout, name)
    data = encode(keep, checkout=place, name=name)
    if path.exists() and path.read_bytes() == data:
        return  # as with every build that has nothing to do
    with shared(layout.collector):
        write_bytes(path, data, by_way_of=layout.tmp)


def read_roots(layout: Layout) -> Iterator[Root]:
    """Read every root. Raises StoreError where one is damaged: nothing can be collected then."""
    for path in sorted(layout.roots.glob("*.json")):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            continue  # a pin whose build has just ended
        yield read_root(layout, path, data)


def read_root(layout: Layout, path: Path, data: bytes) -> Root:
    """Read one root. Raises StoreError where it is damaged."""
    keep, about = decode(data, str(path))
    place, name = about.get("checkout"), about.get("name", "")
    if path.name.startswith("checkout-") and (
        place is None or checkout_root(layout, Path(place), name) != path
    ):
        raise StoreError(f"{path} is damaged: it tells of another checkout", hint="remove it")
    return Root(path=path, keep=keep, checkout=Path(place) if place is not None else None, name=name)


def registered(layout: Layout) -> tuple[Path, ...]:
    """Give the folders of the checkouts that were registered and still stand; damaged roots are left out."""
    found = set()
    for path in layout.roots.glob("checkout-*.json"):
        try:
            root = read_root(layout, path, path.read_bytes())
        except (OSError, StoreError):
            continue
        if root.checkout is not None and root.stands:
            found.add(root.checkout)
    return tuple(sorted(found))
