"""How long builds took and what they used, as the records of it are read: in no hash, and no part of any lock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from layerlock.model.decode import Name, Sha256, item

VERSION = 1
"""The version of the format that is written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Took:
    """What one build took: whole seconds of wall time, bytes of memory at the most, bytes of its output."""

    name: Name = item("The derivation.")
    planned: Sha256 = item("Its planned hash.")
    seconds: int = item("Wall time, in seconds.")
    memory: int = item("The most memory that it used, in bytes; 0 where nobody looked.", default=0)
    size: int = item("The size of its output's NAR in bytes.", default=0)
    processors: int = item(
        "How many processes it was told to run at once; 0 where a cluster built it.", default=0
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """`lockfiles/LAYER.times.toml`."""

    version: int = item("The version of the format.")
    builds: tuple[Took, ...] = item("What each build took, in build order.", default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What builds can be expected to take: those known, and their seconds one after the other.

    `here` of them were built on this machine before. `processors` are those of the others, where they agree, else 0.
    `size` is that of all outputs in bytes, as far as notes or locks tell it.
    """

    known: int
    here: int
    seconds: int
    size: int
    processors: int


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """What builds took before: on this machine, and where locks were recorded.

    `sizes` are bytes of the outputs that locks record, by planned hash.
    """

    here: tuple[Took, ...] = ()
    elsewhere: tuple[Took, ...] = ()
    sizes: Mapping[str, int] = field(default_factory=dict)

    def of(self, wanted: Iterable[tuple[str, str]]) -> dict[str, Took]:
        """Give what is known of some builds (by name and planned hash), by name.

        What this machine took counts before what others did, and a build of the same planned hash before another one
        of the same name: a recipe that was changed a little takes about as long.
        """
        own = {took.planned: took for took in self.here}
        exact = {took.planned: took for took in self.elsewhere}
        alike = {took.name: took for took in self.elsewhere}
        found = (
            (name, own.get(planned) or exact.get(planned) or alike.get(name)) for name, planned in wanted
        )
        return {name: took for name, took in found if took is not None}


def expect(wanted: Iterable[tuple[str, str]], history: History) -> Expected:
    """Say what builds, by name and planned hash, can be expected to take."""
    wanted = tuple(wanted)
    by_name = history.of(wanted)
    found = by_name.values()
    own = set(history.here)
    abroad = [took for took in found if took not in own]
    processors = {took.processors for took in abroad}
    return Expected(
        known=len(found),
        here=len(found) - len(abroad),
        seconds=sum(took.seconds for took in found),
        size=sum(
            by_name[name].size if name in by_name else history.sizes.get(planned, 0)
            for name, planned in wanted
        ),
        processors=processors.pop() if len(processors) == 1 else 0,
    )
