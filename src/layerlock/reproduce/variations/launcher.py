"""Changes its own process as it is told, and becomes the program that it is told: run by path, imported by nobody.

    python -I launcher.py '{"umask": 63}' PROGRAM ARGUMENT...

Everything here is inherited by what the program starts. Standard library only, and no part of the package: the
program may run in another interpreter.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

_PDEATHSIG = 1
_KEEP = 0xFFFFFFFF
_NEWUTS = 0x04000000


def main() -> None:
    """Apply the changes and start the program.

    Raises:
        OSError: a change was refused, or the program cannot be started.
    """
    changes: dict[str, Any] = json.loads(sys.argv[1])
    parent = os.getppid()
    library = ctypes.CDLL(None, use_errno=True)
    if changes.get("affinity") is not None:
        os.sched_setaffinity(0, changes["affinity"])
    if changes.get("host_name"):
        _checked(library.unshare(_NEWUTS))
        name = changes["host_name"].encode()
        _checked(library.sethostname(name, len(name)))
    if changes.get("umask") is not None:
        os.umask(changes["umask"])
    if changes.get("gid") is not None:
        os.setgroups([])
        os.setgid(changes["gid"])
    if changes.get("uid") is not None:
        os.setuid(changes["uid"])
    if changes.get("personality"):
        now = library.personality(_KEEP)
        _checked(now)
        _checked(library.personality(now | changes["personality"]))
    # Last: a change of user takes it back.
    _checked(library.prctl(_PDEATHSIG, signal.SIGTERM, 0, 0, 0))
    if os.getppid() != parent:
        sys.exit("whoever started this is gone")
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - what it is for


def _checked(result: int) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
