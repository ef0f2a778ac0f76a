"""Drivers that end themselves by SIGKILL, each at the first point that none before it has died at.

Started as a program of its own: REPOSITORY STORE LAYER OUT NOTES DEPTH. For each line that it is given it forks a
driver that has all modules at hand, since starting Python anew took most of the time, and says how that one ended. A
point is an event of the driver, or an
operation on files or locks that Python tells its audit hooks of (the kill comes before the operation), seen from the
DEPTH innermost places in the driver's code that lead to it. NOTES/points lists those that were died at, NOTES/events
what happened. The product itself knows nothing of this.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import layerlock
from layerlock.events import BuildStep, Event
from layerlock.workflows.building import build_layer
from tests.fire.repository import make_driver

SOURCES = str(Path(layerlock.__file__).parent) + "/"
LOADED = frozenset({"build", "io", "layer", "model", "plan", "sandbox", "sources", "store", "workflows"})
OPERATIONS = frozenset(
    {
        "fcntl.flock",
        "os.chmod",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.truncate",
        "os.utime",
        "subprocess.Popen",
    }
)


class Killer:
    """Knows the points that were died at, and dies at the first other one."""

    def __init__(self, notes: Path, depth: int) -> None:
        self._depth = depth
        self._points = os.open(notes / "points", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._events = os.open(notes / "events", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._known = set((notes / "points").read_text().splitlines())

    def pass_by(self, point: str) -> None:
        if point not in self._known:
            os.write(self._points, point.encode() + b"\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def event(self, event: Event) -> None:
        kind = type(event).__name__
        os.write(self._events, json.dumps([kind, event.name]).encode() + b"\n")
        # Each step of each build is a point of its own; of downloads one of each kind stands for all.
        step = event.step if isinstance(event, BuildStep) else ""
        self.pass_by(f"{kind} {event.name if kind.startswith('Build') else ''} {step}")

    def operation(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Look at an operation, as an audit hook does."""
        if name in OPERATIONS or (name == "open" and _writes(arguments)):
            places = _places(sys._getframe(1), self._depth)
            if places:
                self.pass_by(f"{name} {places}")


def _writes(arguments: tuple[Any, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _places(frame: FrameType | None, depth: int) -> str:
    found: list[str] = []
    while frame is not None and len(found) < depth:
        name = frame.f_code.co_filename
        if name.startswith(SOURCES):
            found.append(f"{name.removeprefix(SOURCES)}:{frame.f_lineno}")
        elif "importlib" in name:
            return ""  # Python writes what it compiled of a module
        frame = frame.f_back
    return " < ".join(found)


def drive(killer: Killer, repository: str, store: str, layer: str, out: str) -> None:
    """Build a layer, as far as it goes."""
    driver = make_driver(Path(repository), Path(store), killer.event)
    sys.addaudithook(killer.operation)
    sys.stdout.write(build_layer(driver, layer, Path(out)).sha256)
    sys.stdout.flush()


def main() -> None:
    """Fork a driver for each line; write its exit code, below zero for the signal that ended it."""
    repository, store, layer, out, notes, depth = sys.argv[1:]
    for module in pkgutil.walk_packages(layerlock.__path__, "layerlock."):
        if module.name.split(".")[1] in LOADED:
            importlib.import_module(module.name)
    for _ in sys.stdin:
        child = os.fork()
        if child:
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            sys.stdout.write(f"{code}\n")
            sys.stdout.flush()
            continue
        signal.alarm(120)
        for number, name in enumerate((os.devnull, f"{notes}/stdout", f"{notes}/stderr")):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
        drive(Killer(Path(notes), int(depth)), repository, store, layer, out)
        sys.exit()


if __name__ == "__main__":
    main()
