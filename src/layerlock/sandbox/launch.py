"""Starting bubblewrap with every limit in place before anything runs inside, and ending it for good.

The start is gated by the system call filter: bubblewrap reads it from a pipe as its last act before it
starts the command. The driver moves bubblewrap into its control group before it tells what to make, learns
the sandbox's process id from the status pipe, sets its limits and only then sends the filter. If the driver
dies before, the pipe ends early, an empty filter is refused by the kernel and the sandbox never comes to
life; from then on the warden and PR_SET_PDEATHSIG end it. (`--block-fd` would do for gating, but lets the
command run when the driver is gone.)
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from layerlock.sandbox.bwrap import options, plan_of
from layerlock.sandbox.identity import identity
from layerlock.sandbox.program import Program
from layerlock.sandbox.rlimits import rlimits
from layerlock.sandbox.spec import Limits, SandboxSpec
from layerlock.sandbox.warden import warden

_START = 60.0
# One instruction of classic BPF, "return SECCOMP_RET_ALLOW": the filter is a gate, not a policy.
_ALLOW = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)


class SetupFailed(Exception):
    """bubblewrap ended before it started the command; what it said stands in its output."""


@dataclass(slots=True)
class Sandbox:
    """A sandbox that runs: bubblewrap's own process, and the sandbox's first process by id and descriptor."""

    process: subprocess.Popen[bytes]
    first: int
    descriptor: int
    status: int

    def kill(self) -> None:
        """End every process of the sandbox; harmless when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)

    def alive(self) -> bool:
        """Say whether the first process, and with it any other one, may still run."""
        return not readable([self.descriptor], 0)

    def wait(self) -> int | None:
        """Wait until every process is dead; give the command's exit status, None where it has none.

        The first process of a pid namespace becomes waitable only when the kernel has killed and reaped all
        the others, so its end is the end of all. bubblewrap's outer process may end before it does.
        """
        self.process.wait()
        self.kill()
        readable([self.descriptor])
        told = b""
        while piece := os.read(self.status, 4096):
            told += piece
        for line in told.splitlines():
            with contextlib.suppress(ValueError):
                code = json.loads(line).get("exit-code")
                if isinstance(code, int):
                    return code
        return None


def readable(descriptors: Iterable[int], seconds: float | None = None) -> set[int]:
    """Wait until some of the descriptors can be read; unlike select(2) it bears any number of open files."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {ready for ready, _ in poll.poll(None if seconds is None else seconds * 1000)}


@contextlib.contextmanager
def executable(program: Program) -> Iterator[str]:
    """Give the path to execute for a program, safe from the sandbox that it makes.

    The first process inside is bubblewrap, and `/proc/1/exe` leads to the host's file: whoever owns that
    file may change it, even from inside. A file that is ours is therefore run from a sealed copy in memory.
    """
    path = Path(program.command[0])
    if path.stat().st_uid != os.geteuid():
        yield str(path)
        return
    copy = os.memfd_create("bubblewrap", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        _fill(copy, path.read_bytes())
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(copy, fcntl.F_ADD_SEALS, seals)
        yield f"/proc/{os.getpid()}/fd/{copy}"
    finally:
        os.close(copy)


@contextlib.contextmanager
def launched(
    spec: SandboxSpec,
    program: Program,
    *,
    streams: tuple[int, int, int],
    admit: Callable[[int], None],
    terminal: bool = False,
) -> Iterator[Sandbox]:
    """Start a sandbox with the given standard streams; `admit(pid)` is called with bubblewrap's own process before
    that makes anything: what it is admitted to holds the sandbox too.

    At the end of the context everything in it is dead, whatever happened. `terminal` makes the first
    stream, a terminal, the controlling one.

    Raises:
        SetupFailed: bubblewrap could not make the sandbox.
        OSError: it could not be started.
    """
    with contextlib.ExitStack() as stack:
        group, watch = stack.enter_context(warden())
        files = {path: _held(stack, data) for path, data in identity(spec.uid, spec.gid)}
        status, status_in = _pipe(stack)
        gate_out, gate = _pipe(stack)
        words = options(spec, plan_of(spec), files)
        arguments, told = _pipe(stack)
        # The gate is no part of what comes through the pipe: a driver that dies half-way leaves it shut.
        gated = ("--json-status-fd", str(status_in.fileno()), "--seccomp", str(gate_out.fileno()))
        process = subprocess.Popen(
            [*program.command, *gated, "--args", str(arguments.fileno()), "--", *spec.argv],
            executable=stack.enter_context(executable(program)),
            stdin=streams[0],
            stdout=streams[1],
            stderr=streams[2],
            env={},
            cwd="/",
            umask=0o022,
            process_group=None if terminal else group,
            start_new_session=terminal,
            pass_fds=(*files.values(), status_in.fileno(), gate_out.fileno(), arguments.fileno()),
            # Only ever for `shell`, which has no threads: a function to call after the fork needs that.
            preexec_fn=_own_terminal if terminal else None,  # noqa: PLW1509 - see above
        )
        stack.callback(_reap, process)
        for inner in (status_in, gate_out, arguments):
            inner.close()
        # Before bubblewrap has read what to make: the sandbox's view of control groups begins where it is then, and
        # shows no name that would be another one in every build.
        admit(process.pid)
        with contextlib.suppress(BrokenPipeError):
            told.write(b"".join(word.encode() + b"\0" for word in words))
        told.close()
        first, descriptor = _first(stack, status.fileno())
        sandbox = Sandbox(process=process, first=first, descriptor=descriptor, status=status.fileno())
        stack.callback(_end, sandbox)
        _limit(first, spec.limits)
        watch(first)
        with contextlib.suppress(BrokenPipeError):
            gate.write(_ALLOW)
        gate.close()
        yield sandbox


def _own_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _end(sandbox: Sandbox) -> None:
    sandbox.kill()
    readable([sandbox.descriptor])


def _reap(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _first(stack: contextlib.ExitStack, status: int) -> tuple[int, int]:
    """Read the id of the sandbox's first process; it waits for the gate, so the id is still its own."""
    told = b""
    while b"\n" not in told:
        if not readable([status], _START):
            raise SetupFailed("bubblewrap does not answer")
        piece = os.read(status, 4096)
        if not piece:
            raise SetupFailed("bubblewrap ended at once")
        told += piece
    first = int(json.loads(told.splitlines()[0])["child-pid"])
    try:
        descriptor = os.pidfd_open(first)
    except ProcessLookupError:
        raise SetupFailed("the sandbox ended at once") from None
    stack.callback(os.close, descriptor)
    return first, descriptor


def _limit(pid: int, limits: Limits) -> None:
    with contextlib.suppress(ProcessLookupError):
        for name, soft, hard in rlimits(limits):
            which = getattr(resource, f"RLIMIT_{name.upper()}")
            _, most = resource.prlimit(pid, which)
            most = hard if most == resource.RLIM_INFINITY else min(hard, most)
            resource.prlimit(pid, which, (min(soft, most), most))


def _pipe(stack: contextlib.ExitStack) -> tuple[FileIO, FileIO]:
    """Open a pipe as two files: unlike a bare descriptor, a file can be closed twice without harm."""
    out, into = os.pipe()
    return stack.enter_context(FileIO(out, "rb")), stack.enter_context(FileIO(into, "wb"))


def _held(stack: contextlib.ExitStack, data: bytes) -> int:
    descriptor = os.memfd_create("layerlock", os.MFD_CLOEXEC)
    stack.callback(os.close, descriptor)
    _fill(descriptor, data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _fill(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
