"""What an engine tells of a running container: its processes, what they use, and that memory ran out."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from layerlock.errors import SandboxUnavailable
from layerlock.sandbox.docker import Engine, Missing
from layerlock.sandbox.engine.layout import OUTER
from layerlock.sandbox.groups import Reading
from layerlock.sandbox.processes import Usage
from layerlock.sandbox.spec import Limits

_LOOK = 0.3
_KIB = 1024


@dataclass(slots=True)
class Watch:
    """Looks at a container's processes, and listens to what the engine and the container's own shell report.

    `loader` is the name that the container's own processes go by: they are no part of the sandbox. Of the shell's
    last report (`account`) the kernel's own counts are taken; until then the engine's, once a second.
    """

    engine: Engine
    container: str
    loader: str
    limits: Limits
    _looked: float = 0.0
    _rows: tuple[Usage, ...] = ()
    _memory: int = 0
    _seconds: float = 0.0
    _killed: threading.Event = field(default_factory=threading.Event)
    _refused: bool = False
    _events: Any = None
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Begin to listen."""
        self._events = self.engine.memory_events(self.container)
        for what in (self._listen, self._measure):
            thread = threading.Thread(target=what, name="docker watch", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop listening; for when the container is gone."""
        if self._events is not None:
            with contextlib.suppress(Exception):
                self._events.close()
        for thread in self._threads:
            thread.join(_LOOK)

    def count(self) -> int:
        """Count the processes there are."""
        self._look()
        return len(self._rows) - OUTER

    def usage(self) -> tuple[Usage, ...]:
        """Give every process there is; their memory is what is resident, files included."""
        self._look()
        return self._rows

    def read(self, usage: tuple[Usage, ...]) -> Reading:
        """Give what is known by now."""
        # One above the limit is the container's own limit: more there can never be.
        crowded = len(usage) - OUTER > self.limits.processes
        return Reading(
            memory=self._memory,
            seconds=self._seconds,
            out_of_memory=self._killed.is_set(),
            process_overflow=self._refused or crowded,
        )

    def account(self, words: list[str]) -> None:
        """Take a line of the shell's report: a control group's file, and a name and number out of it."""
        file, name, *rest = words
        if not rest:  # a file of one number
            self._seconds = int(name) / 1e9
        elif (file, name) == ("cpu.stat", "usage_usec"):
            self._seconds = int(rest[0]) / 1e6
        elif name == "oom_kill" and rest[0] != "0":
            self._killed.set()
        elif file.endswith("pids.events") and name == "max" and rest[0] != "0":
            self._refused = True

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        # Without it the kernel's accounts still bite; only the name of what used most is not known then.
        with contextlib.suppress(SandboxUnavailable, Missing):
            self._rows = tuple(
                Usage(
                    number="1" if row[2] == self.loader else row[0],
                    name=row[2],
                    anonymous=int(row[1]) * _KIB,
                    shared=0,
                    seconds=0.0,
                )
                for row in self.engine.processes(self.container)
            )

    def _listen(self) -> None:
        # However the stream ends, nothing more can be heard.
        with contextlib.suppress(Exception):
            for _ in self._events:
                self._killed.set()

    def _measure(self) -> None:
        with contextlib.suppress(Exception):
            for sample in self.engine.statistics(self.container):
                self._memory = max(self._memory, _memory(sample))
                used = sample.get("cpu_stats", {}).get("cpu_usage", {}).get("total_usage", 0) / 1e9
                self._seconds = max(self._seconds, used)


def _memory(sample: Mapping[str, Any]) -> int:
    """Add up anonymous and shared memory: `anon` and `shmem` of version 2, `total_rss` alone of version 1."""
    table = sample.get("memory_stats", {}).get("stats", {})
    return int(table.get("anon", table.get("total_rss", 0))) + int(table.get("shmem", 0))
