"""What is going on at this moment, gathered from events: what a live display shows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from layerlock.events import (
    BuildFailedEvent,
    BuildFinished,
    BuildLine,
    BuildReused,
    BuildStarted,
    BuildStep,
    Event,
    FetchFinished,
    FetchProgressed,
    FetchRetried,
    FetchStarted,
    PlanMade,
    Waiting,
)

RATE_WINDOW = 5.0
"""Seconds over which a download's rate is taken: long enough to be steady, short enough to show a stall."""


STALL = 3.0
"""Seconds without a byte after which a download is said to be waiting."""


@dataclass(slots=True)
class Download:
    """A download that runs. Bytes and moments (seconds of the display's clock)."""

    name: str
    size: int | None
    done: int
    started: float
    samples: deque[tuple[float, int]] = field(default_factory=deque)

    def progress(self, done: int, now: float) -> None:
        """Note how many bytes there are by now; fewer than before where a download begins anew."""
        if done < self.done:
            self.samples.clear()
        self.done = done
        self.samples.append((now, done))
        while len(self.samples) > 2 and self.samples[1][0] <= now - RATE_WINDOW:
            self.samples.popleft()

    def stalled(self, now: float) -> bool:
        """Say whether nothing has arrived for a while."""
        return now - (self.samples[-1][0] if self.samples else self.started) > STALL

    def rate(self, now: float) -> float:
        """Give bytes a second, over the last seconds; 0 where too little is known."""
        if not self.samples or now <= self.samples[0][0]:
            return 0.0
        began, done = self.samples[0]
        return max(0.0, (self.done - done) / (now - began))


@dataclass(slots=True)
class Running:
    """A build that runs: its step, and the last line of its log, as it was written."""

    name: str
    started: float
    step: str = ""
    line: str = ""


@dataclass(slots=True)
class Board:
    """Downloads and builds that run, what is still to come, and what was done so far."""

    downloads: dict[str, Download] = field(default_factory=dict)
    builds: dict[str, Running] = field(default_factory=dict)
    waiting: dict[str, None] = field(default_factory=dict)
    to_build: int = 0
    to_fetch: int = 0
    fetch_bytes: int = 0
    built: int = 0
    fetched: int = 0
    fetched_bytes: int = 0

    def apply(self, event: Event, now: float) -> None:  # noqa: PLR0912 - one branch a type of event
        """Take in an event that happened at `now`."""
        name = event.name
        match event:
            case PlanMade():
                self.waiting.update(dict.fromkeys(event.to_build))
                self.to_build += len(event.to_build)
                # A plan does not count what caches gave before it was made.
                self.to_fetch = max(self.to_fetch, self.fetched) + event.to_fetch
                self.fetch_bytes = max(self.fetch_bytes, self.bytes_so_far()) + event.fetch_bytes
            case FetchStarted(size=total):
                download = self._download(name, total, now)
                download.size = total if total is not None else download.size
            case FetchProgressed(done=done, size=total):
                self._download(name, total, now).progress(done, now)
            case FetchRetried():
                if name in self.downloads:
                    self.downloads[name].samples.clear()
            case FetchFinished(size=total):
                self.downloads.pop(name, None)
                self.fetched += 1
                self.fetched_bytes += total
            case BuildStarted():
                self.waiting.pop(name, None)
                self.builds[name] = Running(name=name, started=now)
            case Waiting(doing="builds"):
                self.waiting.pop(name, None)
                self.builds[name] = Running(name=name, started=now, step="waiting for another driver")
            case BuildStep(step=step):
                if name in self.builds:
                    self.builds[name].step = step
            case BuildLine(line=line):
                if name in self.builds:
                    self.builds[name].line = line
            case BuildFinished() | BuildReused() | BuildFailedEvent():
                self.waiting.pop(name, None)
                self.builds.pop(name, None)
                self.built += not isinstance(event, BuildFailedEvent)
            case _:
                pass

    def bytes_so_far(self) -> int:
        """Count the bytes that have arrived, of finished and of running downloads."""
        return self.fetched_bytes + sum(download.done for download in self.downloads.values())

    def _download(self, name: str, size: int | None, now: float) -> Download:
        if name not in self.downloads:
            self.downloads[name] = Download(name=name, size=size, done=0, started=now)
        return self.downloads[name]
