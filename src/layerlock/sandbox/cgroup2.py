"""Control groups of version 2: one group below the nearest one of ours that hands out the controller."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from layerlock.sandbox.groups import (
    OUTER,
    NoControl,
    Reading,
    make_group,
    own_group,
    put,
    remove_group,
    table,
)
from layerlock.sandbox.processes import Processes, Usage
from layerlock.sandbox.spec import Limits


@dataclass(slots=True)
class Cgroup2:
    """Holds memory in a group, processes too where the pids controller is handed out."""

    name: ClassVar[str] = "cgroup2"
    limits: Limits
    group: Path

    @classmethod
    def create(cls, limits: Limits) -> Cgroup2:
        """Make the group and set the limits.

        Raises:
            NoControl: no group above this process is ours and hands out the memory controller.
        """
        made = cls(limits=limits, group=make_group(parent_with("memory")))
        try:
            put(made.group / "memory.max", limits.memory)
            with contextlib.suppress(NoControl):
                put(made.group / "memory.swap.max", 0)
            # One process too big ends the build: a compiler check that merely failed would change the result.
            with contextlib.suppress(NoControl):
                put(made.group / "memory.oom.group", 1)
            with contextlib.suppress(NoControl):
                put(made.group / "pids.max", limits.processes + OUTER)
        except NoControl:
            made.close()
            raise
        return made

    def admit(self, pid: int) -> None:
        """Move a process into the group."""
        put(self.group / "cgroup.procs", pid)

    def read(self, processes: Processes, usage: tuple[Usage, ...]) -> Reading:
        """Read the kernel's accounts."""
        del processes
        memory = table(self.group / "memory.stat")
        if (self.group / "pids.max").exists():
            too_many = table(self.group / "pids.events").get("max", 0) > 0
        else:
            too_many = len(usage) > self.limits.processes
        return Reading(
            memory=memory.get("anon", 0) + memory.get("shmem", 0),
            seconds=table(self.group / "cpu.stat").get("usage_usec", 0) / 1e6,
            out_of_memory=table(self.group / "memory.events").get("oom_kill", 0) > 0,
            process_overflow=too_many,
        )

    def close(self) -> None:
        """Remove the group."""
        remove_group(self.group)


def parent_with(controller: str) -> Path:
    """Find the nearest group, from one's own upwards, below which a process of ours can be put and is controlled.

    Moving a process needs a writable `cgroup.procs` in both groups' common ancestor, which the found one
    is. A group that holds processes hands out no controllers, so one's own never does, save the root.

    Raises:
        NoControl: there is none.
    """
    own = own_group("cgroup2", controller)
    for group in (own, *own.parents):
        if not (group / "cgroup.controllers").exists():
            break
        handed_out = controller in _words(group / "cgroup.subtree_control")
        if handed_out and os.access(group / "cgroup.procs", os.W_OK) and os.access(group, os.W_OK):
            return group
    raise NoControl(f"no group from {own} upwards is ours and hands out the {controller} controller")


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []
