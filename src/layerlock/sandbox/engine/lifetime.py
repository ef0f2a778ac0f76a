"""A container for as long as it is wanted, and none of it afterwards.

The engine removes a container with its volumes when its first process ends, and that process ends when its standard
input does: the connection over which the driver holds it. So a driver that is killed, or whose machine is gone,
leaves nothing that runs or that takes up room, on whichever machine the engine is, and no helper process is needed
for it. What can be left is a container that was made and not started yet; the next driver sweeps those of the dead.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from layerlock.errors import SandboxUnavailable
from layerlock.sandbox.docker import Engine, Missing
from layerlock.sandbox.engine.connection import REPORT, Connection
from layerlock.sandbox.engine.layout import ENDED, GIVEN, STARTED, Container
from layerlock.sandbox.engine.trees import packed


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A container that runs, holds what was sent to it, and waits for a word on its input."""

    id: str
    engine: Engine
    tie: Connection

    def follow(self, output: Callable[[bytes], None], report: Callable[[str], None]) -> bool:
        """Start the sandbox, and pass on its output and every line of report until it is over.

        False where its end was never reported: it was killed, or the engine went away.
        """
        word = secrets.token_hex(16).encode()
        out, reported = _Ended(b"\x01" + word), False
        self.tie.send(word + b"\n")
        line = b""
        for stream, data in self.tie.frames():
            if stream == REPORT:
                *whole, line = (line + data).split(b"\n")
                for each in whole:
                    reported = reported or each == ENDED.encode()
                    report(each.decode(errors="replace"))
            elif passed := out.take(data):
                output(passed)
            if reported and out.over:
                return True
        return False

    def kill(self) -> None:
        """End every process in it, while somebody else reads its output; harmless when it has ended."""
        self.tie.end_input()
        with contextlib.suppress(SandboxUnavailable):
            self.engine.remove(self.id)
        # Should the engine be gone or hang, nobody waits for it.
        self.tie.cut()

    def abandon(self) -> None:
        """End every process in it, as the one who read its output and reads no more.

        An engine that removes a container waits until what it wrote was read: from who should read it, for ever.
        """
        self.tie.cut()
        self.kill()


@dataclass(slots=True)
class _Ended:
    """Holds back what may be the beginning of the mark that ends a stream."""

    mark: bytes
    over: bool = False
    _held: bytes = b""

    def take(self, data: bytes) -> bytes:
        """Give what is not the mark."""
        data = self._held + data
        at = data.rfind(self.mark[:1])
        if at >= 0 and self.mark.startswith(data[at:]):
            self.over = data[at:] == self.mark
            self._held = data[at:]
            return data[:at]
        self._held = b""
        return data


@contextlib.contextmanager
def running(engine: Engine, container: Container) -> Iterator[Running]:
    """Make, start and fill a container; at the end of the context nothing of it is left.

    Raises:
        SandboxUnavailable: the engine refuses it.
        BuildFailed: a mount's source does not exist.
    """
    with engine.session() as own, _made(own, container) as held:
        yield held


@contextlib.contextmanager
def _made(engine: Engine, container: Container) -> Iterator[Running]:
    made = engine.create(container, own_label())
    try:
        with contextlib.closing(engine.attach(made)) as tie:
            _start(engine, made, tie)
            uid, gid = container.way.owner
            engine.send(made, GIVEN, packed(container.sent, uid=uid, gid=gid))
            yield Running(id=made, engine=engine, tie=tie)
            tie.end_input()
            engine.remove(made)
    except Missing as error:
        raise SandboxUnavailable("the container went away; was the engine stopped?") from error
    except BaseException:
        with contextlib.suppress(SandboxUnavailable):
            engine.remove(made)
        raise


def _start(engine: Engine, made: str, tie: Connection) -> None:
    engine.start(made)
    told = b""
    for stream, data in tie.frames():
        told += data
        if stream == REPORT and STARTED.encode() in told:
            return
    raise SandboxUnavailable(
        f"a container of the docker engine at {engine.address} ended at once: {told.decode(errors='replace')}"
    )


def sweep(engine: Engine) -> None:
    """Remove containers of drivers that lived on this machine, in this boot, and are dead."""
    for container, label in engine.labelled().items():
        if _dead(label):
            with contextlib.suppress(SandboxUnavailable):
                engine.remove(container)


def own_label() -> str:
    """Name this driver: the boot of its machine, its namespace of processes, its id, and when it started."""
    return " ".join((*_here(), str(os.getpid()), _started(os.getpid())))


def _dead(label: str) -> bool:
    parts = label.split(" ")
    if tuple(parts[:2]) != _here() or len(parts) != 4 or not parts[2].isdecimal():
        return False  # another machine's, about which nothing is known here
    return _started(int(parts[2])) != parts[3]


def _here() -> tuple[str, str]:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return boot, str(Path("/proc/self/ns/pid").readlink())


def _started(pid: int) -> str:
    """Give when a process started, in ticks since the boot; empty where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text[text.rindex(")") + 2 :].split()[19]
