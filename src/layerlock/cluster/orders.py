"""What a worker is told and what it answers: orders to fetch and to build, and what came of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from layerlock.cache.entry import Entry
from layerlock.model.derivation import Derivation
from layerlock.model.lock import LockedSource
from layerlock.model.times import Took

TOPIC = "layerlock"
"""Where workers tell what concerns no single build."""


def topic(name: str, planned: str) -> str:
    """Give the topic under which everything about a derivation is told, whichever worker builds it."""
    return f"{TOPIC}/{name}/{planned}"


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestOrder:
    """The guest code of some derivations, by file name: a worker need not have the same."""

    files: Mapping[str, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchOrder:
    """Sources of a derivation, to be brought where it will be built.

    `folders` are NARs of folders of the submitter's repository, compressed, by tree hash. `snapshots` are moments of
    Debian's archive that may be asked; `keys` are those whose signatures count in the cache.
    """

    name: str
    planned: str
    pins: tuple[LockedSource, ...]
    snapshots: tuple[str, ...]
    keys: frozenset[str]
    folders: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildOrder:
    """A derivation to build. `inputs` are the keys of the tasks that give its inputs, by the inputs' names.

    `files` are patches and files of recipes by the paths at which builds look for them; `guest` and `sources` are the
    keys of the tasks that give the guest code and the sources. `anew` says to build it whatever is there already.
    """

    derivation: Derivation
    planned: str
    inputs: Mapping[str, str]
    files: Mapping[str, bytes]
    guest: str | None
    sources: FetchOrder
    anew: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """Sources are in a worker's store: so many bytes.

    Dask takes this for the size of the result, so that what needs it is placed where it is.
    """

    size: int

    def __sizeof__(self) -> int:
        return self.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A build's entry, signed by whoever made it, and the worker that says so (its address and name).

    `log` is the end of the build's log, compressed; empty where nothing was built. `took` is what the build took, where
    the worker knows. The size for Dask is the output's.
    """

    entry: Entry
    worker: str
    called: str
    log: bytes = b""
    took: Took | None = None

    def __sizeof__(self) -> int:
        return self.entry.size + len(self.log)


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What a worker tells of itself when it joins.

    `versions` are the driver's, Python's and Dask's; `key` is the public key that it signs with, `cache` the address
    of the cache that it writes to, and `mark` the sha256 of a file that it has put there.
    """

    versions: str
    key: str
    cache: str
    mark: str
