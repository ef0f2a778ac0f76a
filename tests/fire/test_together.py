"""Several drivers at once on one store: every one succeeds, with the same bytes, and nothing is made twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from layerlock.events import silent
from layerlock.store.local import LocalStore
from layerlock.workflows.building import fetch_all
from tests.fire.conftest import Fire
from tests.fire.repository import make_driver

pytestmark = pytest.mark.sandbox


def start(fire: Fire, store: Path, out: Path, *names: str) -> subprocess.Popen[str]:
    """Start the command to build something."""
    command = [
        sys.executable,
        "-m",
        "layerlock",
        "--repo",
        str(fire.repository),
        "--store",
        str(store),
        "--json",
    ]
    return subprocess.Popen(
        [*command, "build", *names, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def ends(processes: Iterable[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """Wait for all of them to succeed, and give the events of all."""
    events = []
    for process in processes:
        told, said = process.communicate(timeout=280)
        assert process.returncode == 0, told[-2000:] + said
        events += [json.loads(line) for line in told.splitlines()]
    return events


@pytest.mark.parametrize("drivers", [2, 8])
def test_drivers_at_once_make_everything_once(fire: Fire, fresh: Path, tmp_path: Path, drivers: int) -> None:
    # The same layer, another one that shares most of it, and a package of both.
    work = ("one", "two", "one", "a", "two", "b-after-a", "one", "c")[:drivers]
    events = ends([start(fire, fresh, tmp_path / str(i), name) for i, name in enumerate(work)])
    zips = {
        event["layer"]: event["sha256"] for event in events if event["event"] == "Result" and "layer" in event
    }
    assert zips == {name: fire.zip_sha256(name) for name in set(work) & {"one", "two"}}
    built = Counter(event["name"] for event in events if event["event"] == "BuildStarted")
    assert set(built.values()) == {1}, built
    assert set(Counter(fire.web.asked).values()) == {1}, fire.web.asked
    assert "Waiting" in {event["event"] for event in events}
    store = LocalStore(fresh)
    assert store.verify(silent) == ()
    assert list(store.layout.tmp.iterdir()) == []


def test_who_waits_is_told_and_can_be_stopped(fire: Fire, fresh: Path, tmp_path: Path) -> None:
    """Ctrl-C ends the wait at once; when the driver that is waited for is killed, the other one goes on."""
    fetch_all(make_driver(fire.repository, fresh), "one")
    with ExitStack() as stack:
        first = stack.enter_context(start(fire, fresh, tmp_path / "first", "one"))
        stack.callback(first.kill)
        assert until(first, "BuildStarted") == "environment-small"
        first.send_signal(signal.SIGSTOP)
        waiting = [
            stack.enter_context(start(fire, fresh, tmp_path / name, "one")) for name in ("second", "third")
        ]
        for process in waiting:
            stack.callback(process.kill)
            assert until(process, "Waiting") == "environment-small"
        stopped, patient = waiting
        stopped.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, said = stopped.communicate(timeout=30)
        assert time.monotonic() - began < 5
        assert stopped.returncode == 128 + signal.SIGINT, said
        assert "interrupted" in said
        first.kill()
        events = ends([patient])
    assert events[-1]["sha256"] == fire.zip_sha256("one")
    assert "environment-small" in {event["name"] for event in events if event["event"] == "BuildStarted"}


def until(process: subprocess.Popen[str], kind: str) -> str:
    """Read a driver's events up to the first one of a kind, and give its name."""
    assert process.stdout is not None
    for line in process.stdout:
        event: dict[str, str] = json.loads(line)
        if event["event"] == kind:
            return event["name"]
    raise AssertionError(f"no {kind}")
