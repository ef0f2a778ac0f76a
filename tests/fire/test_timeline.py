"""`layerlock build --trace` on real fetches and builds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fire.conftest import Fire
from tests.ui.traces import spans_of

pytestmark = pytest.mark.sandbox


def build(fire: Fire, store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `layerlock build one` on a store."""
    command = [sys.executable, "-m", "layerlock", "--repo", str(fire.repository), "--store", str(store)]
    return subprocess.run(
        [*command, "build", "one", "--out", str(store / "out"), *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_a_build_from_nothing_leaves_a_trace(fire: Fire, fresh: Path, tmp_path: Path) -> None:
    """Every fetch and build is a span, each on a lane of its kind; a second build with a trace has none of them."""
    trace = tmp_path / "trace.json"
    done = build(fire, fresh, "--trace", str(trace))
    assert done.returncode == 0, done.stderr
    spans = spans_of(trace.read_bytes())
    built = {one["name"] for one in spans if one["cat"] == "build"}
    assert {"a", "b-after-a", "layer-one-tree", "layer-one-zip", "layer-one-smoke"} <= built
    assert {"a/a", "b-after-a/b-after-a"} <= {one["name"] for one in spans if one["cat"] == "fetch"}
    assert {"unpack", "run", "store"} <= {one["name"] for one in spans if one["cat"] == "step"}
    (run,) = (one for one in spans if one["cat"] == "run")
    assert all(one["ts"] + one["dur"] <= run["ts"] + run["dur"] for one in spans)
    again = build(fire, fresh, "--trace", str(trace))
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert {one["cat"] for one in spans_of(trace.read_bytes())} == {"run", "plan"}


def test_a_build_that_fails_leaves_a_trace_too(fire: Fire, fresh: Path, tmp_path: Path) -> None:
    """What it came to."""
    trace = tmp_path / "trace.json"
    done = build(fire, fresh, "--trace", str(trace), "--offline")
    assert done.returncode != 0
    assert [one["name"] for one in spans_of(trace.read_bytes()) if one["cat"] == "run"] == ["build one"]


def test_a_trace_without_a_folder_is_refused_at_once(fire: Fire, fresh: Path, tmp_path: Path) -> None:
    """Not after an hour of building."""
    done = build(fire, fresh, "--trace", str(tmp_path / "missing" / "trace.json"))
    assert done.returncode == 2
    assert "no folder" in done.stderr
    assert not fire.web.asked
