"""Running a command in a sandbox to its end, with its output in a log and its limits enforced; or a shell."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from layerlock.errors import BuildFailed, LayerlockError, SandboxUnavailable
from layerlock.sandbox.groups import NoControl
from layerlock.sandbox.guard import Guard
from layerlock.sandbox.launch import Sandbox, SetupFailed, launched, readable
from layerlock.sandbox.limits import Control, Strategy, control
from layerlock.sandbox.probe import explain
from layerlock.sandbox.processes import Processes
from layerlock.sandbox.program import Program
from layerlock.sandbox.spec import Outcome, SandboxSpec
from layerlock.sandbox.terminal import attached

_LONGEST_LINE = 4096
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x09}


def run(
    spec: SandboxSpec,
    *,
    program: Program,
    log: Path,
    on_line: Callable[[str], None],
    strategy: Strategy = "auto",
    cancel: threading.Event | None = None,
) -> Outcome:
    """Run a spec's command to its end; when this returns or raises, every process of the sandbox is dead.

    Its output goes to `log` as it is, and line by line, without control characters, to `on_line`. Setting
    `cancel` ends it early, as KeyboardInterrupt does.

    Raises:
        BuildFailed: the command or the working folder does not exist inside.
        SandboxUnavailable: the sandbox could not be set up, or its memory not be controlled as `strategy`
            asks.
        OSError: the log cannot be written.
    """
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(log.open("wb"))
        held = control(strategy, spec.limits)
        stack.callback(held.close)
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, nothing)
        output, into = os.pipe()
        stack.callback(os.close, output)
        pump = Pump(source=output, sink=sink, limit=spec.limits.log_bytes, on_line=on_line)
        ends = contextlib.ExitStack()
        ends.callback(os.close, into)
        try:
            with ends, launched(spec, program, streams=(nothing, into, into), admit=held.admit) as sandbox:
                ends.close()
                return _finish(spec, sandbox, held, pump, cancel)
        except SetupFailed as error:
            pump.drain()
            raise _refusal(pump.last or str(error)) from error
        except NoControl as error:
            raise SandboxUnavailable(f"the memory control {held.name} does not work: {error}") from error


def _refusal(said: str) -> LayerlockError:
    """Tell what the spec is to blame for from what the host is."""
    blamed = re.match(r"bwrap: (execvp|Can't chdir to|Can't find source path) (.*)", said)
    if blamed:
        what = {"execvp": "the command", "Can't chdir to": "the working folder"}.get(
            blamed[1], "a mount's source"
        )
        return BuildFailed(f"{what} cannot be used: {blamed[2]}")
    return explain(said)


def _finish(
    spec: SandboxSpec, sandbox: Sandbox, held: Control, pump: Pump, cancel: threading.Event | None
) -> Outcome:
    started = time.monotonic()
    with _guarded(spec, sandbox, held, cancel) as guard:
        if not pump.until_dead(sandbox):
            guard.end("log_overflow")
        code = sandbox.wait()
    seconds = time.monotonic() - started
    pump.drain()
    if code is None and not guard.reason:
        raise SetupFailed
    return _outcome(code, guard, held, seconds)


@contextlib.contextmanager
def _guarded(
    spec: SandboxSpec, sandbox: Sandbox, held: Control, cancel: threading.Event | None
) -> Iterator[Guard]:
    processes = Processes(sandbox.first)
    guard = Guard(
        limits=spec.limits,
        control=held,
        processes=processes,
        out=spec.out,
        kill=sandbox.kill,
        cancelled=cancel.is_set if cancel is not None else lambda: False,
    )
    guard.start()
    try:
        yield guard
    finally:
        sandbox.kill()
        guard.stop()
        processes.close()


def _outcome(code: int | None, guard: Guard, held: Control, seconds: float) -> Outcome:
    status = -1 if code is None or guard.reason else code
    return Outcome(
        status=status,
        signal=status - 128 if 128 < status <= 192 else None,
        out_of_memory=guard.reason == "out_of_memory",
        timed_out=guard.reason == "timed_out",
        log_overflow=guard.reason == "log_overflow",
        output_overflow=guard.reason == "output_overflow",
        process_overflow=guard.reason == "process_overflow",
        cancelled=guard.reason == "cancelled",
        killed_process=guard.biggest() if guard.reason == "out_of_memory" else None,
        seconds=seconds,
        cpu_seconds=guard.seconds,
        peak_memory=guard.peak,
        control=held.name,
    )


@dataclass(slots=True)
class Pump:
    """Carries a sandbox's output from its pipe to the log and tells of each line."""

    source: int
    sink: BinaryIO
    limit: int
    on_line: Callable[[str], None]
    last: str = ""
    _written: int = 0
    _partial: bytes = b""
    _open: bool = field(default=True)

    def until_dead(self, sandbox: Sandbox) -> bool:
        """Carry until the command has ended; False as soon as the log is full."""
        outer = os.pidfd_open(sandbox.process.pid)
        try:
            while True:
                waiting = [outer, self.source] if self._open else [outer]
                ready = readable(waiting)
                if self.source in ready and not self._carry():
                    return False
                if outer in ready and self.source not in ready:
                    return True
        finally:
            os.close(outer)

    def drain(self) -> None:
        """Carry what is left in the pipe once nothing writes to it any more."""
        while self._open and readable([self.source], 0):
            self._carry()
        if self._partial:
            self._tell(self._partial)
            self._partial = b""
        self.sink.flush()

    def _carry(self) -> bool:
        data = os.read(self.source, 65536)
        self._open = bool(data)
        room = self.limit - self._written
        self.sink.write(data[:room])
        self._written += min(len(data), room)
        lines = (self._partial + data[:room]).split(b"\n")
        self._partial = lines.pop()[-_LONGEST_LINE:]
        for line in lines:
            self._tell(line)
        if lines:
            self.sink.flush()
        return len(data) <= room

    def _tell(self, line: bytes) -> None:
        # A progress bar rewrites its line: what stands last counts.
        shown = line[-_LONGEST_LINE:].decode(errors="replace").rstrip("\r").rpartition("\r")[2]
        self.last = shown.translate(_CONTROLS)
        self.on_line(self.last)


def shell(spec: SandboxSpec, *, program: Program, strategy: Strategy = "auto") -> int:
    """Run a spec's command attached to this terminal; give its exit status, -1 where a limit ended it.

    A terminal is never handed in itself, since what reads a terminal can also feed it: the sandbox gets one
    of its own, and the bytes are carried. Where standard input is none, the standard streams are handed in.

    Raises:
        SandboxUnavailable: as for `run`.
    """
    with contextlib.ExitStack() as stack:
        held = control(strategy, spec.limits)
        stack.callback(held.close)
        terminal = sys.stdin.isatty()
        inner, carry = stack.enter_context(attached()) if terminal else (-1, None)
        streams = (inner, inner, inner) if terminal else (0, 1, 2)
        try:
            with launched(spec, program, streams=streams, admit=held.admit, terminal=terminal) as sandbox:
                with _guarded(spec, sandbox, held, None):
                    if carry is not None:
                        carry(sandbox.descriptor)
                    code = sandbox.wait()
                return -1 if code is None else code
        except SetupFailed as error:
            raise SandboxUnavailable(
                "the sandbox could not be set up", hint="its reason stands above"
            ) from error
