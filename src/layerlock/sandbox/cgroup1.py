"""Control groups of version 1: one group in each of the memory, pids and cpuacct hierarchies."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from layerlock.sandbox.groups import (
    OUTER,
    NoControl,
    Reading,
    make_group,
    number,
    own_group,
    put,
    remove_group,
    table,
)
from layerlock.sandbox.processes import Processes, Usage
from layerlock.sandbox.spec import Limits


@dataclass(slots=True)
class Cgroup1:
    """Holds memory in a group; processes and processor time too where those hierarchies are writable."""

    name: ClassVar[str] = "cgroup1"
    limits: Limits
    memory: Path
    pids: Path | None = None
    processor: Path | None = None

    @classmethod
    def create(cls, limits: Limits) -> Cgroup1:
        """Make the groups and set the limits.

        Raises:
            NoControl: the memory hierarchy is not there or not ours.
        """
        made = cls(limits=limits, memory=make_group(own_group("cgroup", "memory")))
        try:
            made._set_limits()
        except NoControl:
            made.close()
            raise
        return made

    def _set_limits(self) -> None:
        put(self.memory / "memory.limit_in_bytes", self.limits.memory)
        swap = self.memory / "memory.memsw.limit_in_bytes"
        if swap.exists():
            put(swap, self.limits.memory)
        else:
            put(self.memory / "memory.swappiness", 0)
        with contextlib.suppress(NoControl):
            self.pids = make_group(own_group("cgroup", "pids"))
            put(self.pids / "pids.max", self.limits.processes + OUTER)
        with contextlib.suppress(NoControl):
            self.processor = make_group(own_group("cgroup", "cpuacct"))

    def admit(self, pid: int) -> None:
        """Move a process into the groups."""
        for group in self._groups():
            put(group / "cgroup.procs", pid)

    def read(self, processes: Processes, usage: tuple[Usage, ...]) -> Reading:
        """Read the kernel's accounts."""
        del processes
        memory = table(self.memory / "memory.stat")
        seconds = sum(each.seconds for each in usage)
        if self.processor is not None:
            seconds = number(self.processor / "cpuacct.usage") / 1e9
        return Reading(
            memory=memory.get("total_rss", 0) + memory.get("total_shmem", 0),
            seconds=seconds,
            out_of_memory=table(self.memory / "memory.oom_control").get("oom_kill", 0) > 0,
            process_overflow=self._too_many(usage),
        )

    def _too_many(self, usage: tuple[Usage, ...]) -> bool:
        if self.pids is None:
            return len(usage) > self.limits.processes
        return table(self.pids / "pids.events").get("max", 0) > 0

    def close(self) -> None:
        """Remove the groups."""
        for group in self._groups():
            remove_group(group)

    def _groups(self) -> tuple[Path, ...]:
        return tuple(group for group in (self.memory, self.pids, self.processor) if group is not None)
