"""Which workers of a cluster may do a plan's work: those of our version, that write to our cache, and are trusted."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from layerlock.cluster.orders import Facts
from layerlock.errors import NoWorker, UntrustedResult, VersionMismatch
from layerlock.events import Listener, Warned


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A worker as the scheduler knows it: its address, what it offers, and what it has told of itself, if it did."""

    address: str
    called: str
    resources: Mapping[str, float]
    facts: Facts | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """Addresses of workers that may be given work, and of those among them whose signature is trusted.

    `whole` says that these are all there are: then those that join later may be given work too.
    """

    workers: tuple[str, ...]
    trusted: tuple[str, ...]
    whole: bool


def spacious(members: Iterable[Member], wanted: Collection[Mapping[str, float]]) -> bool:
    """Say whether each worker can do any of the builds in each of its slots; `wanted` are the resources they take.

    Then resources decide nothing, and are better left unsaid: Dask hands out at once whatever names some, where it
    otherwise holds work back until a slot is free, and takes the most urgent.
    """
    return all(
        amount * one.resources.get("cores", 1.0) <= one.resources.get(resource, 0.0)
        for one in members
        for each in wanted
        for resource, amount in each.items()
    )


def survey(
    members: Collection[Member],
    versions: str,
    seen: Callable[[Collection[str]], Collection[str]],
    keys: Collection[str],
    unrecorded: Collection[str],
    emit: Listener,
) -> Fit:
    """Choose workers. `seen` says which marks of workers are in one of our caches, `keys` are those that are trusted,
    and `unrecorded` the derivations of which no lock records the output.

    Raises:
        VersionMismatch: there are workers, and all are of other versions.
        NoWorker: there are workers, and none writes to a cache that can be read here.
        UntrustedResult: there are workers, and none can vouch for what is not recorded.
    """
    if not members:
        emit(Warned(name="cluster", message="no worker has joined yet; builds wait for one"))
        return Fit(workers=(), trusted=(), whole=True)
    same = [one for one in members if one.facts is not None and one.facts.versions == versions]
    others = sorted(
        {one.facts.versions if one.facts else "no worker of layerlock" for one in members} - {versions}
    )
    if not same:
        raise VersionMismatch(
            f"the workers are of {'; '.join(others)}, and this is {versions}",
            hint="run the same versions everywhere: one lock for all machines, requirements/cluster.txt",
        )
    if others:
        emit(
            Warned(name="cluster", message=f"some workers are given no work: they are of {'; '.join(others)}")
        )
    marks = set(seen([one.facts.mark for one in same if one.facts]))
    near = [one for one in same if one.facts and one.facts.mark in marks]
    for one in same:
        if one.facts and one not in near:
            emit(
                Warned(
                    name="cluster",
                    message=f"{one.called} is given no work: it writes to {one.facts.cache}, which is none of the "
                    "caches that can be read here",
                )
            )
    if not near:
        raise NoWorker(
            "no worker writes to a cache that can be read here",
            hint="list the cache that workers are started with in recipes/caches.toml",
        )
    trusted = tuple(one.address for one in near if one.facts and one.facts.key in keys)
    if unrecorded and not trusted:
        raise UntrustedResult(
            f"no lock records {', '.join(sorted(unrecorded)[:5])}, and no worker signs with a key that is trusted",
            hint="start workers with --key FILE, and list its public key in recipes/caches.toml",
        )
    return Fit(workers=tuple(one.address for one in near), trusted=trusted, whole=len(near) == len(members))
