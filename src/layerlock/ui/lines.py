"""What each event is worth in words: one line, or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from layerlock.events import (
    BuildFailedEvent,
    BuildFinished,
    BuildLine,
    BuildReused,
    BuildStarted,
    BuildStep,
    Checked,
    CheckStarted,
    Event,
    FetchFinished,
    FetchRetried,
    FetchStarted,
    Noted,
    PlanMade,
    RoomExpected,
    Sent,
    TimeExpected,
    Tried,
    Waiting,
    Warned,
)
from layerlock.ui.text import address, count, duration, last_line, lines, names, printable, size

NAMED = 6
"""Names that a plan's line lists."""

LARGE = 5_000_000
"""Bytes from which on the start of a download is worth a line of its own."""

LONG = 60
"""Seconds from which on it is worth a line how long builds took before."""

Importance = Literal["ahead", "start", "step", "done", "trouble", "log"]
"""`ahead` tells what to expect, and stays; `start` is what a live display shows by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line: what happened, as one word, and to what."""

    word: str
    text: str
    importance: Importance

    def __str__(self) -> str:
        return f"{self.word:<8} {self.text}"


def describe(event: Event) -> Line | None:  # noqa: PLR0912 - one branch a type of event
    """Write an event as a line; None for those that only move a display on."""
    name = printable(event.name)
    match event:
        case PlanMade():
            return _plan(event, name)
        case TimeExpected():
            return _time(event)
        case RoomExpected():
            return _room(event)
        case FetchStarted(url=url, size=total):
            if total is not None and total < LARGE:
                return None
            known = f" ({size(total)})" if total is not None else ""
            return Line(word="fetch", text=f"{name}{known} from {_host(url)}", importance="start")
        case FetchRetried(url=url, reason=reason):
            return Line(
                word="retry", text=f"{name}: {address(reason)} ({address(url)})", importance="trouble"
            )
        case FetchFinished(size=total, seconds=seconds):
            return Line(
                word="fetched", text=f"{name} ({size(total)} in {duration(seconds)})", importance="done"
            )
        case Sent(to=to, size=total, seconds=seconds):
            text = f"{name} to {printable(to)} ({size(total)} in {duration(seconds)})"
            return Line(word="sent", text=text, importance="done")
        case BuildStarted():
            return Line(word="build", text=name, importance="start")
        case BuildStep(step=step):
            return Line(word="step", text=f"{name}: {printable(step)}", importance="step")
        case BuildLine(line=line):
            return Line(word="log", text=f"{name} | {last_line(line)}", importance="log")
        case BuildFinished(size=total, seconds=seconds, peak_memory=peak):
            memory = f", {size(peak)} of memory" if peak else ""
            return Line(
                word="built", text=f"{name} ({size(total)} in {duration(seconds)}{memory})", importance="done"
            )
        case BuildReused():
            return Line(word="reused", text=f"{name} (its inputs are what they were)", importance="done")
        case Waiting(doing=doing):
            return Line(word="waiting", text=f"{name}: another driver {doing} it", importance="trouble")
        case BuildFailedEvent(reason=reason):
            said = _first(reason).removeprefix(f"{name}: ")
            return Line(word="failed", text=f"{name}: {said}", importance="trouble")
        case CheckStarted(derivations=rebuilt, variations=variations):
            under = f" under {', '.join(variations)}" if variations else " without variations"
            text = f"{name}: {count(len(rebuilt), 'derivation')}{under}"
            return Line(word="check", text=text, importance="start")
        case Checked(verdict=verdict, reason=reason):
            said = f": {printable(reason.splitlines()[0])}" if reason else ""
            importance: Importance = "done" if verdict == "match" else "trouble"
            return Line(word=verdict, text=f"{name}{said}", importance=importance)
        case Warned(message=message):
            return Line(word="warning", text=_about(name, message), importance="trouble")
        case Noted(message=message):
            return Line(word="note", text=_about(name, message), importance="step")
        case Tried(message=message):
            return Line(word="tried", text=_about(name, message), importance="done")
        case _:
            return None


def _plan(event: PlanMade, name: str) -> Line | None:
    parts = []
    if event.to_build:
        parts.append(f"{len(event.to_build)} to build ({names(event.to_build, NAMED)})")
    if event.to_fetch:
        bytes_ = f" ({size(event.fetch_bytes)})" if event.fetch_bytes else ""
        parts.append(f"{count(event.to_fetch, 'source')} to fetch{bytes_}")
    if not parts:
        return None
    return Line(word="plan", text=f"{name}: {', '.join(parts)}", importance="ahead")


def _time(event: TimeExpected) -> Line | None:
    if event.seconds < LONG:
        return None
    others = f"elsewhere, with {count(event.processors, 'processor')}" if event.processors else "elsewhere"
    where = "here" if event.here == event.known else f"here and {others}" if event.here else others
    which = "" if event.known == event.builds else f" of {event.builds}"
    text = f"{event.known}{which} took {duration(event.seconds)} {where}, one after the other"
    return Line(word="time", text=text, importance="ahead")


def _room(event: RoomExpected) -> Line | None:
    store = printable(event.store)
    if event.needed > event.free:
        text = (
            f"{store} will take {size(event.needed)}, and {size(event.free)} are free: make room (layerlock gc), "
            "or name another folder with --store"
        )
        return Line(word="room", text=text, importance="trouble")
    if not event.new:
        return None
    free = size(event.free)
    text = f"{size(event.needed)} or more go into {store}, a new store ({free} free); layerlock gc clears up"
    return Line(word="room", text=text, importance="ahead")


def _host(url: str) -> str:
    """Give the host of an address: a line that says that a download began needs no more."""
    return address(url).partition("://")[2].partition("/")[0] or address(url)


def _first(reason: str) -> str:
    """Give a reason's first line, without the clause that leads over to the following ones."""
    first, *rest = lines(reason)
    return (first.rpartition("; ")[0] or first) if rest else first


def _about(name: str, message: str) -> str:
    text = " ".join(address(line).strip() for line in message.split("\n"))
    return f"{name}: {text}" if name else text
