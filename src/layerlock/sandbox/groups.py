"""What both versions of control groups share: finding one's own, making one below, reading its files."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_COUNTER = itertools.count(1)
_PREFIX = "layerlock-"
_PATIENCE = 5.0
OUTER = 1
"""Processes in a group that are not the sandbox's own: bubblewrap's outer one."""


class NoControl(Exception):
    """This kind of control cannot be used here; says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """A measurement: bytes of anonymous and shared memory, seconds of processor, and which limit was hit."""

    memory: int
    seconds: float
    out_of_memory: bool
    process_overflow: bool


def own_group(kind: str, controller: str) -> Path:
    """Give the folder of the group that this process is in, for `cgroup2` or a controller of `cgroup`.

    Raises:
        NoControl: the hierarchy is not mounted, or does not show this process's group.
    """
    for found in _memberships():
        if (kind == "cgroup2" and found[0] == "0") or (
            kind == "cgroup" and controller in found[1].split(",")
        ):
            for root, point in _mounted(kind, controller):
                if found[2] == root or found[2].startswith(root.rstrip("/") + "/"):
                    return Path(point) / found[2][len(root.rstrip("/")) :].strip("/")
    raise NoControl(f"{kind} with {controller} is not mounted")


def _memberships() -> list[tuple[str, str, str]]:
    rows = (line.split(":", 2) for line in _text(Path("/proc/self/cgroup")).splitlines())
    return [(row[0], row[1], row[2]) for row in rows if len(row) == 3]


def _mounted(kind: str, controller: str) -> Iterator[tuple[str, str]]:
    for line in _text(Path("/proc/self/mountinfo")).splitlines():
        first, _, last = line.partition(" - ")
        system, _, choices = last.split(" ", 2)
        if system == kind and (kind == "cgroup2" or controller in choices.split(",")):
            yield first.split(" ")[3], first.split(" ")[4]


def allowed_memory() -> int:
    """Give the bytes that the groups of this process leave to it; more than any machine has where they set no limit.

    A container's limit stands in its group, or in one above, and the machine's own figures know nothing of it. Pages
    of files that the kernel would give back do not count as taken.
    """
    found = [1 << 62]
    for kind, most, taken, cached in (
        ("cgroup2", "memory.max", "memory.current", "inactive_file"),
        ("cgroup", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            own = own_group(kind, "memory")
        except NoControl:
            continue
        for group in (own, *own.parents):
            limit = number(group / most)
            if limit:
                given_back = table(group / "memory.stat").get(cached, 0)
                found.append(max(0, limit - max(0, number(group / taken) - given_back)))
    return min(found)


def make_group(parent: Path) -> Path:
    """Make a fresh group below `parent`, first sweeping those that killed drivers left.

    Raises:
        NoControl: it cannot be made.
    """
    sweep(parent)
    group = parent / f"{_PREFIX}{os.getpid()}-{next(_COUNTER)}"
    try:
        group.mkdir()
    except OSError as error:
        raise NoControl(f"no group can be made in {parent}: {error.strerror}") from None
    return group


def sweep(parent: Path) -> None:
    """Remove groups of drivers that are gone; a group with a live process cannot be removed, and stays."""
    for group in parent.glob(f"{_PREFIX}*"):
        owner = re.match(rf"{_PREFIX}(\d+)-", group.name)
        if owner and not Path("/proc", owner[1]).exists():
            with contextlib.suppress(OSError):
                group.rmdir()


def remove_group(group: Path) -> None:
    """Remove an emptied group; the kernel may need a moment after the last process's end."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            group.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > until:
                return
            time.sleep(0.01)
        else:
            return


def put(file: Path, value: int | str) -> None:
    """Write a setting.

    Raises:
        NoControl: the kernel refuses it.
    """
    try:
        file.write_text(str(value))
    except OSError as error:
        raise NoControl(f"{file} cannot be set: {error.strerror}") from None


def table(file: Path) -> dict[str, int]:
    """Read a file of `name number` lines; empty where it is missing."""
    rows = (line.split() for line in _text(file).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


def number(file: Path) -> int:
    """Read a file that holds one number; 0 where it is missing."""
    text = _text(file).strip()
    return int(text) if text.isdecimal() else 0


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
