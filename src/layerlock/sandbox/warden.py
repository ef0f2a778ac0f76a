"""A helper process that ends a sandbox when the driver is gone.

PR_SET_PDEATHSIG alone leaves gaps: bubblewrap's inner process asks for it late, without looking whether the
outer one still lives. A driver killed in that millisecond would leave a build that nothing limits or ends, or
a process that waits for ever.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from io import FileIO

# The end of the pipe is the end of the driver, however it came about.
# bubblewrap is in the helper's process group until it has set up the sandbox, whose first process leaves it.
_SCRIPT = """
trap "" HUP INT TERM
read -r pid || kill -KILL 0
read -r over || { kill -KILL "$pid"; kill -KILL 0; }
"""


@contextlib.contextmanager
def warden() -> Iterator[tuple[int, Callable[[int], None]]]:
    """Give the process group to start bubblewrap in, and a function that names the sandbox's first process.

    At the end of the context the helper goes away; the sandbox has to be dead by then. A shell does it: it
    starts in a millisecond.
    """
    out, into = os.pipe()
    with FileIO(into, "wb") as told:
        try:
            helper = subprocess.Popen(
                ["/bin/sh", "-c", _SCRIPT],
                stdin=out,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={},
                cwd="/",
                process_group=0,
            )
        finally:
            os.close(out)
        try:
            yield helper.pid, lambda pid: _tell(told, pid)
        finally:
            helper.kill()
            helper.wait()


def _tell(told: FileIO, pid: int) -> None:
    told.write(b"%d\n" % pid)
