"""Holding a sandbox to its memory and number of processes, by whatever the host offers for it.

The kernel's control groups are best: of version 2 where a group that is ours to divide has the memory
controller, else of version 1 where its hierarchies are writable. Without them a watchdog sums up what the
processes use.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

from layerlock.errors import SandboxUnavailable
from layerlock.sandbox.cgroup1 import Cgroup1
from layerlock.sandbox.cgroup2 import Cgroup2, parent_with
from layerlock.sandbox.groups import NoControl, Reading
from layerlock.sandbox.pids import Pids, version1
from layerlock.sandbox.processes import Processes, Usage
from layerlock.sandbox.spec import Limits

Strategy = Literal["auto", "cgroup2", "cgroup1", "watchdog"]


class Control(Protocol):
    """One way of holding a sandbox to its limits."""

    @property
    def name(self) -> str:
        """The strategy's name."""

    def admit(self, pid: int) -> None:
        """Take a process in, and with it all that it will start."""

    def read(self, processes: Processes, usage: tuple[Usage, ...]) -> Reading:
        """Measure; `usage` is what the processes were just seen to use."""

    def close(self) -> None:
        """Give back what was taken; called when every process is dead."""


@dataclass(slots=True)
class Watchdog:
    """Sums up the memory and counts the processes of the sandbox, ten times a second.

    Memory that no process maps and no file in /dev/shm holds (a `memfd` only written to) escapes it. Processes are
    bounded by a group as well, where one can be had: a fork bomb is quicker than any watching.
    """

    limits: Limits
    pids: Pids
    name: str = "watchdog"

    @classmethod
    def create(cls, limits: Limits) -> Watchdog:
        """Make the group for processes, if that is possible."""
        parents = (partial(parent_with, "pids"), version1)
        return cls(limits=limits, pids=Pids.create(limits.processes, *parents))

    def admit(self, pid: int) -> None:
        """Take a process into the group; for the rest the sandbox's own /proc shows the processes."""
        self.pids.admit(pid)

    def read(self, processes: Processes, usage: tuple[Usage, ...]) -> Reading:
        """Measure cheaply, with pages that processes share counted often; only beyond the limit exactly."""
        held = processes.shared_files()
        memory = sum(each.anonymous for each in usage) + max(held, sum(each.shared for each in usage))
        if memory > self.limits.memory:
            anonymous, shared = processes.proportional()
            memory = anonymous + max(held, shared)
        return Reading(
            memory=memory,
            seconds=sum(each.seconds for each in usage),
            out_of_memory=memory > self.limits.memory,
            process_overflow=len(usage) > self.limits.processes or self.pids.overflowed(),
        )

    def close(self) -> None:
        """Remove the group."""
        self.pids.close()


def control(strategy: Strategy, limits: Limits) -> Control:
    """Open the control that was asked for, or with `auto` the best that works.

    Raises:
        SandboxUnavailable: the one asked for does not work here.
    """
    reasons: list[str] = []
    kinds = (Cgroup2, Cgroup1)
    for kind in kinds:
        if strategy in ("auto", kind.name):
            try:
                return kind.create(limits)
            except NoControl as error:
                reasons.append(f"{kind.name}: {error}")
    if strategy in ("auto", "watchdog"):
        return Watchdog.create(limits)
    raise SandboxUnavailable(
        f"memory cannot be controlled that way here ({'; '.join(reasons)})",
        hint="leave the choice to the driver, or run it below `systemd-run --user --scope -p Delegate=yes`",
    )
