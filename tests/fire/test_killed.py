"""The driver is killed at every step of fetching, unpacking, building, registering, packing and delivering.

One store is built in by one driver after the other; each dies at the first point that none before it died at (see
`killed`), so that all points are met in the time of a few builds, and what many deaths leave adds up. By default a
point is told apart by the two innermost places in the driver's code; LAYERLOCK_FIRE=all tells them apart by eight.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from layerlock.events import silent
from layerlock.io.lockfile import read_lock
from layerlock.store.keep import Keep
from layerlock.store.local import LocalStore
from tests.fire.conftest import Fire
from tests.fire.repository import ROOT, lock_file

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(1500)]
DEPTH = 8 if os.environ.get("LAYERLOCK_FIRE") == "all" else 2
MOST = 1500


@dataclass
class Doomed:
    """Drivers that are killed, one after the other, over one store."""

    fire: Fire
    store: LocalStore
    notes: Path
    drivers: subprocess.Popen[str]
    seen: int = 0
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lock = read_lock(lock_file(self.fire.repository, "one"), "one")
        self.names = {derivation.planned: derivation.name for derivation in lock.derivations}

    def run(self) -> int:
        """Run one driver to its death, or to its end; give its exit code, or the signal below zero."""
        assert self.drivers.stdin is not None
        assert self.drivers.stdout is not None
        self.drivers.stdin.write("\n")
        self.drivers.stdin.flush()
        return int(self.drivers.stdout.readline())

    def said(self, name: str) -> str:
        """Give what the last driver wrote to `stdout` or `stderr`."""
        return (self.notes / name).read_text()

    def finished(self) -> set[str]:
        """Give what is done: names of files that are in the store, and of derivations that are registered."""
        files = {path.name[65:] for path in self.store.layout.files.iterdir()}
        made = (self.store.planned(planned) for planned in self.names)
        return files | {one.name for one in made if one is not None and self.store.tree(one.output)}

    def begun(self) -> set[str]:
        """Give what was begun since this was asked last: files that were asked for, derivations that were built."""
        lines = (self.notes / "events").read_text().splitlines()[self.seen :]
        self.seen += len(lines)
        built = {name for kind, name in map(json.loads, lines) if kind == "BuildStarted"}
        asked = {path.lstrip("/") for path in self.fire.web.asked}
        self.fire.web.asked.clear()
        return built | asked

    @property
    def points(self) -> list[str]:
        return (self.notes / "points").read_text().splitlines()


def test_killed_at_every_step(fire: Fire, fresh: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    where = (fire.repository, fresh, "one", tmp_path / "out", notes, DEPTH)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fire.killed", *map(str, where)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as drivers:
        kill_all(Doomed(fire, LocalStore(fresh), notes, drivers))


def kill_all(doomed: Doomed) -> None:
    """Start drivers until one of them is not killed, and look at the store after each."""
    finished: set[str] = set()
    for _ in range(MOST):
        ended = doomed.run()
        # A good entry or none; and nothing that was finished before was begun again, or is gone.
        assert doomed.store.verify(silent) == (), doomed.points[-1]
        assert not doomed.begun() & finished, doomed.points[-1]
        assert finished <= doomed.finished(), doomed.points[-1]
        finished = doomed.finished()
        if ended == 0:
            break
        assert ended == -signal.SIGKILL, (doomed.points[-1], ended, doomed.said("stderr"))
    assert doomed.said("stdout").strip() == doomed.fire.zip_sha256("one")
    assert finished >= set(doomed.names.values())
    kinds = {point.split(" ")[0] for point in doomed.points}
    assert kinds >= {"open", "os.rename", "os.mkdir", "os.remove", "fcntl.flock", "FetchStarted", "BuildStep"}
    assert len(doomed.points) > 100
    doomed.store.gc(Keep())
    assert list(doomed.store.layout.tmp.iterdir()) == []
