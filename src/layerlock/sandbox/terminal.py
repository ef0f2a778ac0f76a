"""A terminal of its own for a sandbox, carried to and from the driver's."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator

from layerlock.sandbox.launch import readable

Carry = Callable[[int], None]
"""Carries bytes both ways until the given process descriptor says that the process is dead."""


@contextlib.contextmanager
def attached() -> Iterator[tuple[int, Carry]]:
    """Give (the inner terminal, a function that carries); the driver's terminal is raw meanwhile."""
    outside = sys.stdin.fileno()
    before = termios.tcgetattr(outside)
    outer, inner = os.openpty()
    _resize(outside, outer)
    previous = signal.signal(signal.SIGWINCH, lambda *_: _resize(outside, outer))
    try:
        tty.setraw(outside)
        yield inner, lambda process: _carry(outside, outer, process)
    finally:
        signal.signal(signal.SIGWINCH, previous)
        termios.tcsetattr(outside, termios.TCSADRAIN, before)
        os.close(outer)
        os.close(inner)


def _resize(outside: int, outer: int) -> None:
    with contextlib.suppress(OSError, termios.error):
        termios.tcsetwinsize(outer, termios.tcgetwinsize(outside))


def _carry(outside: int, outer: int, process: int) -> None:
    sources = [outside, outer, process]
    while True:
        ready = readable(sources)
        if outer in ready:
            _write(sys.stdout.fileno(), _read(outer))
        elif process in ready:
            return
        if outside in ready:
            typed = _read(outside)
            if not typed:
                sources.remove(outside)
            _write(outer, typed)


def _read(source: int) -> bytes:
    try:
        return os.read(source, 4096)
    except OSError:
        return b""


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
