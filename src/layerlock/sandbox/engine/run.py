"""Running a command in a sandbox inside a container to its end, with its output in a log and its limits enforced."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from layerlock.errors import SandboxUnavailable
from layerlock.io.atomic import remove_tree
from layerlock.sandbox.docker import Missing
from layerlock.sandbox.engine.layout import Returned, container
from layerlock.sandbox.engine.lifetime import Running, running
from layerlock.sandbox.engine.station import WHOLE, Station
from layerlock.sandbox.engine.trees import TooLarge, received, single, sizes
from layerlock.sandbox.engine.watch import Watch
from layerlock.sandbox.guard import Guard, tree_bytes
from layerlock.sandbox.log import Log
from layerlock.sandbox.probe import refusal
from layerlock.sandbox.spec import Outcome, SandboxSpec

NAME = "docker"
_ANY = 16 << 30
_SMALL = 16 << 20


def run(
    spec: SandboxSpec,
    *,
    station: Station,
    log: Path,
    on_line: Callable[[str], None],
    cancel: threading.Event | None = None,
) -> Outcome:
    """Run a spec's command to its end, as `sandbox.run.run` does; when this returns or raises, nothing of it is left.

    Raises:
        BuildFailed: the command, the working folder or a mount's source does not exist.
        SandboxUnavailable: the engine cannot do it, or went away.
        HostileOutput: what came back as a stream holds what must not leave a sandbox.
        OSError: the log cannot be written.
    """
    images = station.images
    planned = container(
        spec,
        station.way,
        image=images.of(spec.root, station.way.owner),
        shell=images.shell,
        program=images.program,
    )
    with log.open("wb") as sink:
        lines = Log(sink=sink, limit=spec.limits.log_bytes, on_line=on_line)
        with running(station.engine, planned) as held:
            return _followed(spec, station, held, lines, planned.returned, cancel)


def _followed(
    spec: SandboxSpec,
    station: Station,
    held: Running,
    lines: Log,
    returned: tuple[Returned, ...],
    cancel: threading.Event | None,
) -> Outcome:
    watch = Watch(engine=held.engine, container=held.id, loader=station.images.loader, limits=spec.limits)
    report = _Report(watch=watch)
    over = threading.Event()
    with _guarded(spec, held, watch, _size(spec, held, returned, over), cancel) as guard:
        started = time.monotonic()
        ended = held.follow(_logged(lines, guard, held), report.take)
        seconds = time.monotonic() - started
        over.set()
    lines.finish()
    if not ended and not guard.reason:
        raise SandboxUnavailable("the container ended early; was the engine stopped?")
    if report.code is None and not guard.reason:
        raise refusal(lines.last)
    if not guard.reason:
        _bring_back(spec, station, held, returned, guard)
    return guard.outcome(report.code, seconds, NAME)


@dataclass(slots=True)
class _Report:
    """What the container's own shell and bubblewrap tell: the exit status, and the kernel's accounts."""

    watch: Watch
    code: int | None = None

    def take(self, line: str) -> None:
        if line.startswith("account "):
            self.watch.account(line.split()[1:])
        else:
            with contextlib.suppress(ValueError):
                self.code = json.loads(line).get("exit-code", self.code)


def _logged(lines: Log, guard: Guard, held: Running) -> Callable[[bytes], None]:
    def take(data: bytes) -> None:
        if not lines.take(data):
            held.abandon()
            guard.end("log_overflow")

    return take


@contextlib.contextmanager
def _guarded(
    spec: SandboxSpec,
    held: Running,
    watch: Watch,
    size: Callable[[], int] | None,
    cancel: threading.Event | None,
) -> Iterator[Guard]:
    guard = Guard(
        limits=spec.limits,
        measure=watch.read,
        processes=watch,
        size=size,
        kill=held.kill,
        cancelled=cancel.is_set if cancel is not None else lambda: False,
    )
    watch.start()
    guard.start()
    try:
        yield guard
    except BaseException:
        held.abandon()
        raise
    finally:
        guard.stop()
        watch.stop()


def _size(
    spec: SandboxSpec, held: Running, returned: tuple[Returned, ...], over: threading.Event
) -> Callable[[], int] | None:
    if spec.out is None:
        return None
    for each in returned:
        if each.inside == "/out":
            return partial(_sent_bytes, held, each.place, spec.limits.output_bytes, over)
    return partial(tree_bytes, spec.out)


def _sent_bytes(held: Running, place: str, most: int, over: threading.Event) -> int:
    """Count what the engine would send of a folder: it has no cheaper way to tell how large one is.

    Nothing is counted when the sandbox is over: then the output is counted as it is brought back.
    """
    with (
        contextlib.suppress(SandboxUnavailable, Missing),
        contextlib.closing(held.engine.fetch(held.id, place)) as pieces,
    ):
        for total in sizes(pieces):
            if over.is_set():
                return 0
            if total > most:
                return total
    return 0


def _bring_back(
    spec: SandboxSpec, station: Station, held: Running, returned: tuple[Returned, ...], guard: Guard
) -> None:
    for each in returned:
        own = each.inside in WHOLE
        if not own or each.inside in station.returned:
            strict = each.inside not in ("/build", "/tmp")  # noqa: S108 - inside
            most = spec.limits.output_bytes if each.inside == "/out" else _ANY
            try:
                received(held.engine.fetch(held.id, each.place), each.target, most=most, strict=strict)
            except TooLarge:
                guard.end("output_overflow")
                return
        else:
            _bring_files(station, held, each)


def _bring_files(station: Station, held: Running, place: Returned) -> None:
    """Bring back the single files that are wanted of a place, those that there are."""
    for path in station.returned:
        folder, _, name = path.rpartition("/")
        if folder == place.inside:
            contents = None
            with contextlib.suppress(Missing):
                contents = single(held.engine.fetch(held.id, f"{place.place}/{name}"), most=_SMALL)
            if contents is not None:
                remove_tree(place.target / name)
                (place.target / name).write_bytes(contents)
