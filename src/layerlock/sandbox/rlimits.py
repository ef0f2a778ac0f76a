"""The resource limits of every process in a sandbox, the same whichever backend made it."""

from __future__ import annotations

from layerlock.sandbox.spec import Limits

_MIB = 1024 * 1024
_ROOM = 4096
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


def rlimits(limits: Limits) -> tuple[tuple[str, int, int], ...]:
    """Give (name, soft, hard) of every resource limit."""
    # Far above the limit: this one is only there to brake a fork bomb until the guard or a pids group sees it, and a
    # command that it refuses would fail without a word of why. Kernels before 5.14 count all of the user's processes,
    # so that each build needs room for the rest; programs see the number, which therefore is one for all kernels.
    most_processes = limits.processes + _ROOM
    return (*_FIXED, ("nproc", most_processes, most_processes))
