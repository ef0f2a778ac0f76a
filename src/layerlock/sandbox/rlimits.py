"""The resource limits of every process in a sandbox, the same whichever backend made it."""

from __future__ import annotations

import os
import re

from layerlock.sandbox.spec import Limits

_MIB = 1024 * 1024
_ROOM = 256
_ROOM_BESIDE_OTHERS = 4096
# (name, soft, hard), the names as setrlimit(2) has them after RLIMIT_. gcc raises its stack to 64 MiB where it may.
_FIXED = (
    ("core", 0, 0),
    ("fsize", 16 * 1024 * _MIB, 16 * 1024 * _MIB),
    ("memlock", 64 * 1024, 64 * 1024),
    ("msgqueue", 819200, 819200),
    ("nofile", 1024, 4096),
    ("sigpending", 4096, 4096),
    ("stack", 8 * _MIB, 64 * _MIB),
)


def rlimits(limits: Limits, *, apart: bool) -> tuple[tuple[str, int, int], ...]:
    """Give (name, soft, hard) of every resource limit.

    `apart` says that the sandbox's processes are counted by themselves, and not with all others of the same user.
    """
    # Above the limit: this one is only there to brake a fork bomb of an ordinary user until the guard sees it, and a
    # command that it refuses would fail without a word of why.
    most_processes = limits.processes + (_ROOM if apart else _ROOM_BESIDE_OTHERS)
    return (*_FIXED, ("nproc", most_processes, most_processes))


def counted_apart() -> bool:
    """Say whether this kernel counts the processes of a user namespace by themselves, as Linux 5.14 and later do."""
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return version is not None and (int(version[1]), int(version[2])) >= (5, 14)
