"""Memory that a stream's buffers share: what one frees is there for the next, without the kernel.

A push or a pull takes and frees megabytes at a time in many threads. glibc's allocator gives such memory back to the
kernel at once, which then has to find and clear every page anew: a quarter of a million page faults, and a twentieth
of the processors' time, for a layer of 1.5 GB (`python -m tools.cache_speed`).
"""

from __future__ import annotations

import ctypes
from typing import Final

# Of <malloc.h>; see mallopt(3).
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8


def keep_freed_memory(most: int = 256 << 20) -> None:
    """Have this process keep freed memory, up to `most` bytes, in one pool for all its threads.

    For a process that streams much and then ends. With another C library than glibc nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most that there may be
        mallopt(_TRIM_THRESHOLD, most)
