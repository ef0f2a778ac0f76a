"""What happened, as typed records: the core emits them, displays and logs listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that happened to `name` (a source, a derivation, a layer)."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanMade(Event):
    """A plan was made: the derivations still to realise, in build order, and the bytes still to fetch."""

    derivations: tuple[str, ...]
    to_build: tuple[str, ...]
    to_fetch: int
    fetch_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeExpected(Event):
    """What the builds of a plan took before: `known` of them, `seconds` one after the other.

    `here` of those ran on this machine, the others where a lock was recorded, with so many `processors` (0: not told).
    """

    builds: int
    known: int
    here: int
    seconds: int
    processors: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RoomExpected(Event):
    """The bytes that a plan will put into the store, as far as they are known, and those that are free there.

    `new` is a store that no build has used yet.
    """

    store: str
    new: bool
    needed: int
    free: int


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchStarted(Event):
    """A download begins at `url`; `size` in bytes where it is known."""

    url: str
    size: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchProgressed(Event):
    """`done` bytes of a download have arrived."""

    done: int
    size: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchRetried(Event):
    """One attempt failed for `reason`; another follows (of the same or the next address)."""

    url: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FetchFinished(Event):
    """The bytes are in the store and are the pinned ones."""

    size: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent(Event):
    """`size` bytes were written `to` another place, such as a cache, in which they take `packed` bytes."""

    to: str
    size: int
    packed: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildStarted(Event):
    """A derivation's build begins; `log` is the path of its log."""

    planned: str
    resolved: str
    log: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildStep(Event):
    """A build went on to another step: unpacking, patching, running, harvesting."""

    step: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildLine(Event):
    """One line of a build's log."""

    line: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildFinished(Event):
    """A derivation's output stands in the store. Times in seconds, memory and size in bytes."""

    planned: str
    resolved: str
    output: str
    size: int
    seconds: float
    command_seconds: float
    peak_memory: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildReused(Event):
    """A derivation was not built: an output for its resolved hash exists already."""

    planned: str
    resolved: str
    output: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting(Event):
    """Another driver on the same store has this in hand, and this one waits; `doing` is `builds` or `fetches`."""

    doing: str


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildFailedEvent(Event):
    """A derivation's build ended without an output."""

    reason: str
    log: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckStarted(Event):
    """A run of a check begins: `derivations` are rebuilt under `variations`, of which there may be none."""

    derivations: tuple[str, ...]
    variations: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked(Event):
    """A derivation has its verdict: match, mismatch or inconclusive, and for the latter two a reason."""

    verdict: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Warned(Event):
    """Something that a person should know and that stops nothing."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Noted(Event):
    """A fact for the record, such as which sandbox or memory control is used."""

    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried(Event):
    """What came of a trial, in a search that takes many of them."""

    message: str


Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """A listener that drops every event."""


def once(emit: Listener, event: Event) -> Callable[[], None]:
    """Give a function that emits an event when it is called first, and does nothing afterwards."""
    left = [event]
    return lambda: emit(left.pop()) if left else None
