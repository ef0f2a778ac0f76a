"""Running a command in a sandbox to its end, with its output in a log and its limits enforced; or a shell."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from layerlock.errors import SandboxUnavailable
from layerlock.sandbox.groups import NoControl
from layerlock.sandbox.guard import Guard, tree_bytes
from layerlock.sandbox.launch import Sandbox, SetupFailed, launched, readable
from layerlock.sandbox.limits import Control, Strategy, control
from layerlock.sandbox.log import Log
from layerlock.sandbox.probe import refusal
from layerlock.sandbox.processes import Processes
from layerlock.sandbox.program import Program
from layerlock.sandbox.spec import Outcome, SandboxSpec
from layerlock.sandbox.terminal import attached


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
        pump = Pump(source=output, log=Log(sink=sink, limit=spec.limits.log_bytes, on_line=on_line))
        ends = contextlib.ExitStack()
        ends.callback(os.close, into)
        try:
            with ends, launched(spec, program, streams=(nothing, into, into), admit=held.admit) as sandbox:
                ends.close()
                return _finish(spec, sandbox, held, pump, cancel)
        except SetupFailed as error:
            pump.drain()
            raise refusal(pump.log.last or str(error)) from error
        except NoControl as error:
            raise SandboxUnavailable(f"the memory control {held.name} does not work: {error}") from error


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
    return guard.outcome(code, seconds, held.name)


@contextlib.contextmanager
def _guarded(
    spec: SandboxSpec, sandbox: Sandbox, held: Control, cancel: threading.Event | None
) -> Iterator[Guard]:
    processes = Processes(sandbox.first)
    guard = Guard(
        limits=spec.limits,
        measure=partial(held.read, processes),
        processes=processes,
        size=partial(tree_bytes, spec.out) if spec.out is not None else None,
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


@dataclass(slots=True)
class Pump:
    """Carries a sandbox's output from its pipe to the log."""

    source: int
    log: Log
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
        self.log.finish()

    def _carry(self) -> bool:
        data = os.read(self.source, 65536)
        self._open = bool(data)
        return self.log.take(data)


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
