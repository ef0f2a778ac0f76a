"""Where a run's time went, as a trace that chrome://tracing and Perfetto open.

The form is the JSON of Chrome's trace viewer ("Trace Event Format"): complete events ("X") with a start and a length
in microseconds, on one lane a thread. Builds and fetches run in pools, so a lane is a slot of one of them.
"""

from __future__ import annotations

import json
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from layerlock.events import (
    BuildFailedEvent,
    BuildFinished,
    BuildReused,
    BuildStarted,
    BuildStep,
    FetchFinished,
    FetchRetried,
    FetchStarted,
    PlanMade,
    Waiting,
    Warned,
)
from layerlock.ui.text import address, printable, without_user

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from layerlock.events import Event

_PROCESS: Final = 1
_MAIN: Final = "driver"


class Timeline:
    """A listener that keeps what took how long; it may be called from several threads."""

    def __init__(self, title: str, clock: Callable[[], float], slot: Callable[[], str]) -> None:
        """Begin a run called `title`; `clock` tells seconds from anywhere on, `slot` who is calling.

        A slot is named as threads of pools are: `build_0`, `fetch_3`. Every other caller is the driver itself.
        """
        self._clock = clock
        self._slot = slot
        self._lock = Lock()
        self._began = clock()
        self._lanes: dict[str, int] = {_MAIN: 1}
        self._open: dict[tuple[str, str], dict[str, Any]] = {}
        self._done: list[dict[str, Any]] = []
        self._begin("run", title, _MAIN)
        self._begin("plan", title, _MAIN, label="plan")

    def __call__(self, event: Event) -> None:
        """Take in what happened just now."""
        with self._lock:
            self._take(event)

    def document(self) -> bytes:
        """Give the trace until now; what has not ended yet is cut off here, and says so."""
        with self._lock:
            now = self._now()
            run = {key: span for key, span in self._open.items() if key[0] in ("run", "plan")}
            cut = [
                _ended(span, now, {} if key in run else {"cut": "the run ended before"})
                for key, span in self._open.items()
            ]
            names = [
                {"ph": "M", "pid": _PROCESS, "name": "process_name", "args": {"name": "layerlock"}},
                *(
                    {"ph": "M", "pid": _PROCESS, "tid": lane, "name": "thread_name", "args": {"name": name}}
                    for name, lane in self._lanes.items()
                ),
                # The driver above, then builds, then fetches; not as they happened to begin.
                *(
                    {
                        "ph": "M",
                        "pid": _PROCESS,
                        "tid": self._lanes[name],
                        "name": "thread_sort_index",
                        "args": {"sort_index": index},
                    }
                    for index, name in enumerate(sorted(self._lanes, key=_order))
                ),
            ]
            spans = sorted([*self._done, *cut], key=lambda one: (one["ts"], -one.get("dur", 0)))
        return json.dumps({"displayTimeUnit": "ms", "traceEvents": [*names, *spans]}, indent=1).encode()

    def _take(self, event: Event) -> None:
        name = event.name
        match event:
            case PlanMade():
                self._end("plan", name=None)
                self._mark("plan made", {"to build": len(event.to_build), "to fetch": event.to_fetch})
            case Waiting():
                self._begin("wait", name, self._lane(), label=f"wait: another driver {event.doing} {name}")
            case BuildStarted():
                self._end("wait", name)
                self._begin("build", name, self._lane(), {"planned": event.planned})
            case BuildStep():
                self._end("step", name)
                self._begin("step", name, self._lane(), label=event.step)
            case BuildFinished():
                self._end("step", name)
                facts = {
                    "output": event.output,
                    "bytes": event.size,
                    "seconds of its commands": round(event.command_seconds, 3),
                    "peak memory, bytes": event.peak_memory,
                }
                self._end("build", name, facts)
            case BuildFailedEvent():
                self._end("step", name)
                self._end("build", name, {"failed": without_user(event.reason)})
            case BuildReused():
                self._end("wait", name)
                self._mark(f"{name} is there already", {"output": event.output})
            case FetchStarted():
                self._end("wait", name)
                self._end("fetch", name)
                self._begin("fetch", name, self._lane(), {"address": address(event.url)})
            case FetchRetried():
                self._end("fetch", name, {"failed": without_user(event.reason)})
            case FetchFinished():
                self._end("fetch", name, {"bytes": event.size})
            case Warned():
                self._mark(f"warning: {without_user(event.message)}", {})

    def _begin(
        self, kind: str, name: str, lane: str, facts: Mapping[str, Any] | None = None, label: str = ""
    ) -> None:
        self._open[kind, name] = {
            "ph": "X",
            "name": printable(label or name),
            "cat": kind,
            "pid": _PROCESS,
            "tid": self._lanes.setdefault(lane, len(self._lanes) + 1),
            "ts": self._now(),
            "args": _harmless(facts or {}),
        }

    def _end(self, kind: str, name: str | None, facts: Mapping[str, Any] | None = None) -> None:
        """End what is open of a kind and name, if there is; without a name, all of the kind."""
        for key in [key for key in self._open if key[0] == kind and name in (None, key[1])]:
            self._done.append(_ended(self._open.pop(key), self._now(), facts or {}))

    def _mark(self, label: str, facts: Mapping[str, Any]) -> None:
        self._done.append(
            {
                "ph": "i",
                "s": "t",
                "name": printable(label),
                "cat": "mark",
                "pid": _PROCESS,
                "tid": self._lanes.setdefault(self._lane(), len(self._lanes) + 1),
                "ts": self._now(),
                "args": _harmless(facts),
            }
        )

    def _lane(self) -> str:
        pool, _, number = self._slot().rpartition("_")
        return f"{pool} {int(number) + 1}" if pool and number.isdigit() else _MAIN

    def _now(self) -> int:
        """Microseconds since the run began: whole ones, so that what follows upon something never overlaps it."""
        return round((self._clock() - self._began) * 1e6)


def _ended(span: dict[str, Any], now: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {**span, "dur": now - span["ts"], "args": {**span["args"], **_harmless(facts)}}


def _harmless(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: printable(value) if isinstance(value, str) else value for name, value in facts.items()}


def _order(lane: str) -> tuple[int, str, int]:
    pool, _, number = lane.rpartition(" ")
    return (0, "", 0) if lane == _MAIN else (1, pool, int(number))
