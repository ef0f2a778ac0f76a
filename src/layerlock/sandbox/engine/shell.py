"""A shell in a sandbox inside a container, attached to this terminal or to the driver's own streams."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator

from layerlock.sandbox.engine.connection import OUTPUT, Connection
from layerlock.sandbox.engine.layout import container, shell_command
from layerlock.sandbox.engine.lifetime import running
from layerlock.sandbox.engine.station import Station
from layerlock.sandbox.launch import readable
from layerlock.sandbox.spec import SandboxSpec

_PIECE = 4096
Resize = Callable[[int, int], None]


def shell(spec: SandboxSpec, *, station: Station) -> int:
    """Run a spec's command attached to this terminal; give its exit status.

    It is a further process of the container, on a terminal that the engine makes for it. The container's first process
    stays tied to the driver, so that nothing outlives it here either. Of the limits the container's hold: memory and
    processes.

    Raises:
        SandboxUnavailable: as for `run`.
    """
    images = station.images
    image = images.of(spec.root, station.way.owner)
    planned = container(spec, station.way, image=image, shell=images.shell, program=images.program)
    command = shell_command(spec, shell=images.shell, program=images.program)
    terminal = sys.stdin.isatty()
    with running(station.engine, planned) as held:
        process, streams = held.engine.execute(held.id, command, station.way.user, terminal=terminal)
        with contextlib.closing(streams):
            if terminal:
                with _raw(lambda rows, columns: held.engine.resize(process, rows, columns)):
                    _carry(streams)
            else:
                _carry_plain(streams)
            # Before the streams are closed: an engine kills a process whose streams go away.
            return held.engine.status(process)


@contextlib.contextmanager
def _raw(resize: Resize) -> Iterator[None]:
    """Make the driver's terminal raw, and tell of its size now and when it changes."""
    outside = sys.stdin.fileno()
    before = termios.tcgetattr(outside)

    def tell(*_: object) -> None:
        with contextlib.suppress(OSError, termios.error):
            rows, columns = termios.tcgetwinsize(outside)
            if rows and columns:
                resize(rows, columns)

    previous = signal.signal(signal.SIGWINCH, tell)
    try:
        tell()
        tty.setraw(outside)
        yield
    finally:
        signal.signal(signal.SIGWINCH, previous)
        termios.tcsetattr(outside, termios.TCSADRAIN, before)


def _carry(streams: Connection) -> None:
    outside = sys.stdin.fileno()
    sources = [outside, streams.fileno()]
    while True:
        ready = readable(sources)
        if streams.fileno() in ready:
            data = streams.receive()
            if not data:
                return
            _write(sys.stdout.fileno(), data)
        if outside in ready:
            typed = os.read(outside, _PIECE)
            if not typed:
                sources.remove(outside)
            streams.send(typed)


def _carry_plain(streams: Connection) -> None:
    """Carry input in a thread of its own: a plain file is always ready, and output comes in frames."""
    carrying = threading.Thread(target=_feed, args=(streams,), name="shell input", daemon=True)
    carrying.start()
    for stream, data in streams.frames():
        _write(sys.stdout.fileno() if stream == OUTPUT else sys.stderr.fileno(), data)


def _feed(streams: Connection) -> None:
    with contextlib.suppress(OSError):
        while typed := os.read(sys.stdin.fileno(), _PIECE):
            streams.send(typed)
    streams.end_input()


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]
