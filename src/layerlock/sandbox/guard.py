"""The thread that watches a running sandbox and ends it at the first limit that it passes."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from layerlock.sandbox.groups import Reading
from layerlock.sandbox.processes import Usage
from layerlock.sandbox.spec import Limits, Outcome

_TICK = 0.1
# What looking costs may take at most one part in this many of the time.
_SHARE = 10
# How many readings back a process may have ended and still be the one that memory ran out for.
_REMEMBERED = 20


class Population(Protocol):
    """The processes inside a sandbox."""

    def count(self) -> int:
        """Count the processes there are now, quickly."""

    def usage(self) -> tuple[Usage, ...]:
        """Give every process there is now, and what it uses."""


@dataclass(slots=True)
class Guard:
    """Watches by itself between `start` and `stop`; `reason` names what the sandbox was ended for.

    The reasons are the boolean fields of `Outcome`. `measure` reads memory and time, given what the processes
    were just seen to use; `size` gives the bytes of the output so far, where there is one.
    """

    limits: Limits
    measure: Callable[[tuple[Usage, ...]], Reading]
    processes: Population
    size: Callable[[], int] | None
    kill: Callable[[], None]
    cancelled: Callable[[], bool]
    reason: str = ""
    peak: int = 0
    seconds: float = 0.0
    _biggest: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    _stopped: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._watch, name="sandbox guard", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching and take a last reading; for when every process is dead."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        self._judge(self.measure(()))
        if not self.reason and self.size is not None and self.size() > self.limits.output_bytes:
            self.end("output_overflow")

    def biggest(self) -> str | None:
        """Name the process that used most memory of late."""
        return max(self._biggest)[1] if self._biggest else None

    def end(self, reason: str) -> None:
        """End the sandbox; the first reason stays."""
        with self._lock:
            self.reason = self.reason or reason
        self.kill()

    def outcome(self, code: int | None, seconds: float, control: str) -> Outcome:
        """Say how the sandbox ended, of which the command's exit status is `code`, if it had one."""
        status = -1 if code is None or self.reason else code
        return Outcome(
            status=status,
            signal=status - 128 if 128 < status <= 192 else None,
            out_of_memory=self.reason == "out_of_memory",
            timed_out=self.reason == "timed_out",
            log_overflow=self.reason == "log_overflow",
            output_overflow=self.reason == "output_overflow",
            process_overflow=self.reason == "process_overflow",
            cancelled=self.reason == "cancelled",
            killed_process=self.biggest() if self.reason == "out_of_memory" else None,
            seconds=seconds,
            cpu_seconds=self.seconds,
            peak_memory=self.peak,
            control=control,
        )

    def _watch(self) -> None:
        started = time.monotonic()
        measure_next = started + 1.0
        pause = _TICK / 10  # A short command should not wait for its first reading.
        while not self._stopped.wait(pause):
            begun = time.monotonic()
            if self.cancelled():
                self.end("cancelled")
            if begun - started > self.limits.seconds:
                self.end("timed_out")
            if self.processes.count() > self.limits.processes:
                self.end("process_overflow")
            usage = self.processes.usage()
            self._remember(usage)
            self._judge(self.measure(usage))
            if self.size is not None and begun >= measure_next:
                if self.size() > self.limits.output_bytes:
                    self.end("output_overflow")
                measure_next = time.monotonic() + max(1.0, (time.monotonic() - begun) * _SHARE)
            remaining = max(0.0, self.limits.seconds - (time.monotonic() - started))
            pause = min(max(_TICK, (time.monotonic() - begun) * _SHARE), remaining + 0.001)

    def _remember(self, usage: tuple[Usage, ...]) -> None:
        """Keep the name of the process that uses most memory: the kernel may kill it before the next look.

        Only once a good part of the limit is in use: who takes all of it between two looks is never seen, and a
        bystander would be blamed.
        """
        inner = [(each.anonymous + each.shared, each.name) for each in usage if each.number != "1"]
        if inner and not self.reason and sum(used for used, _ in inner) >= self.limits.memory // 2:
            self._biggest.append(max(inner))

    def _judge(self, reading: Reading) -> None:
        self.peak = max(self.peak, reading.memory)
        self.seconds = max(self.seconds, reading.seconds)
        if reading.out_of_memory:
            self.end("out_of_memory")
        elif reading.process_overflow:
            self.end("process_overflow")


def tree_bytes(folder: Path) -> int:
    """Sum up what a tree takes on disk, without following links; what vanishes meanwhile counts nothing."""
    total = 0
    todo: list[str] = [str(folder)]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
        except OSError:
            continue
    return total
