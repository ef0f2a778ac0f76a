"""The processes inside a sandbox, seen from outside through the sandbox's own /proc, and what they use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

_TICKS = os.sysconf("SC_CLK_TCK")
_OUTSIDE = os.stat("/proc").st_dev  # noqa: PTH116 - device number only


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """One process: its name, resident bytes that are its own and that are shared, seconds of processor.

    `seconds` counts the children that it has waited for, so that the sum over all processes is the whole.
    """

    number: str
    name: str
    anonymous: int
    shared: int
    seconds: float


class Processes:
    """A view into the pid namespace whose first process is `first`.

    `/proc/FIRST/root/proc` lists that namespace and nothing else; what runs inside cannot mount anything
    over it. It exists only once bubblewrap has changed its root, so it is looked for until then.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._folder = -1

    def close(self) -> None:
        """Let go of the view."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def count(self) -> int:
        """Count the processes there are now, by their names in /proc alone: a fork bomb outruns a closer look."""
        return sum(1 for _ in self._numbers()) if self._ready() else 0

    def usage(self) -> tuple[Usage, ...]:
        """Give every process there is now; empty before the sandbox is set up and after its end."""
        return tuple(self._each()) if self._ready() else ()

    def proportional(self) -> tuple[int, int]:
        """Give (anonymous, shared) bytes with pages that several processes map counted once.

        Exact, but the kernel walks every page table for it: some ten milliseconds a gigabyte.
        """
        anonymous = shared = 0
        for number in self._numbers() if self._ready() else ():
            for line in self._read(f"{number}/smaps_rollup").splitlines():
                if line.startswith("Pss_Anon:"):
                    anonymous += int(line.split()[1]) * 1024
                elif line.startswith("Pss_Shmem:"):
                    shared += int(line.split()[1]) * 1024
        return anonymous, shared

    def shared_files(self) -> int:
        """Give the bytes held in the sandbox's /dev/shm."""
        with contextlib.suppress(OSError):
            found = os.statvfs(f"/proc/{self._first}/root/dev/shm")
            # Without /dev/shm of its own, or before its set-up, the path is another file system's.
            if self._ready() and found.f_blocks and self._own_memory():
                return (found.f_blocks - found.f_bfree) * found.f_frsize
        return 0

    def _own_memory(self) -> bool:
        place = f"/proc/{self._first}/root/dev"
        return os.stat(f"{place}/shm").st_dev not in (os.stat(place).st_dev, os.stat("/dev/shm").st_dev)  # noqa: PTH116, S108

    def _ready(self) -> bool:
        if self._folder >= 0:
            return True
        with contextlib.suppress(OSError):
            folder = os.open(f"/proc/{self._first}/root/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            if os.fstat(folder).st_dev != _OUTSIDE and os.access("1", os.F_OK, dir_fd=folder):
                self._folder = folder
            else:
                os.close(folder)
        return self._folder >= 0

    def _numbers(self) -> list[str]:
        try:
            return [name for name in os.listdir(self._folder) if name.isdecimal()]  # noqa: PTH208 - by descriptor
        except OSError:
            return []

    def _each(self) -> Iterator[Usage]:
        for number in self._numbers():
            stat = self._read(f"{number}/stat")
            status = self._read(f"{number}/status")
            if not stat:
                continue
            fields = stat[stat.rindex(")") + 2 :].split()
            sizes = {"RssAnon": 0, "RssShmem": 0}
            for line in status.splitlines():
                key, _, value = line.partition(":")
                if key in sizes:
                    sizes[key] = int(value.split()[0]) * 1024
            yield Usage(
                number=number,
                name=stat[stat.index("(") + 1 : stat.rindex(")")],
                anonymous=sizes["RssAnon"],
                shared=sizes["RssShmem"],
                seconds=sum(int(field) for field in fields[11:15]) / _TICKS,
            )

    def _read(self, path: str) -> str:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        except OSError:
            return ""
        try:
            pieces = []
            while piece := os.read(descriptor, 65536):
                pieces.append(piece)
            return b"".join(pieces).decode(errors="replace")
        except OSError:
            return ""
        finally:
            os.close(descriptor)
