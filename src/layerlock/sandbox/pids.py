"""A control group that does nothing but bound the number of processes, beside whichever control there is.

RLIMIT_NPROC cannot do it alone: the kernel lets root's processes pass (`INIT_USER` in kernel/fork.c, whatever the user
namespace says), and for others it knows no kinder answer than a failing fork. Between two looks of the guard a fork
bomb of root's once took every process number of the host (32,768), and a build beside it could not fork.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from layerlock.sandbox.groups import OUTER, NoControl, make_group, own_group, put, remove_group, table


@dataclass(slots=True)
class Pids:
    """A group of its own in the pids hierarchy of whichever version can be had; without one nothing is bounded."""

    group: Path | None

    @classmethod
    def create(cls, processes: int, *parents: Callable[[], Path]) -> Pids:
        """Make the group below the first parent that works."""
        for parent in parents:
            with contextlib.suppress(NoControl), contextlib.ExitStack() as undo:
                group = make_group(parent())
                undo.callback(remove_group, group)
                put(group / "pids.max", processes + OUTER)
                undo.pop_all()
                return cls(group=group)
        return cls(group=None)

    def admit(self, pid: int) -> None:
        """Move a process into the group; where that is not allowed there is none from now on."""
        if self.group is not None:
            try:
                put(self.group / "cgroup.procs", pid)
            except NoControl:
                self.close()

    def overflowed(self) -> bool:
        """Whether a process was refused."""
        return self.group is not None and table(self.group / "pids.events").get("max", 0) > 0

    def close(self) -> None:
        """Remove the group."""
        if self.group is not None:
            remove_group(self.group)
            self.group = None


def version1() -> Path:
    """Give the group that this process is in, of version 1. Raises NoControl."""
    return own_group("cgroup", "pids")
