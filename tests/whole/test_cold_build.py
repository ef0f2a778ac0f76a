"""The layer cv, built once from nothing, against what its lock records."""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).parents[2]


@pytest.mark.cold
@pytest.mark.sandbox
@pytest.mark.timeout(2700)
def test_cv_comes_out_as_recorded(tmp_path: Path, cold_store: Path) -> None:
    lock = tomli.loads((ROOT / "lockfiles/cv.lock").read_text())
    command = [
        sys.executable,
        "-m",
        "layerlock",
        "--repo",
        str(ROOT),
        "--store",
        str(cold_store),
        "--json",
    ]
    built = subprocess.run(
        [*command, "build", "cv", "--out", str(tmp_path / "out")],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    events = [json.loads(line) for line in built.stdout.splitlines()]
    assert built.returncode == 0, events[-1]

    # An empty store: everything was built, nothing found.
    made = {event["name"]: event["output"] for event in events if event["event"] == "BuildFinished"}
    assert not [event for event in events if event["event"] == "BuildReused"]
    recorded = {row["name"]: row["output"] for row in lock["derivations"] if "output" in row}
    assert {
        "python",
        "numpy",
        "scipy",
        "opencv",
        "layer-cv-tree",
        "layer-cv-zip",
    } <= recorded.keys() & made.keys()
    assert {name: made[name] for name in recorded if name in made} == {
        name: output for name, output in recorded.items() if name in made
    }

    path = Path(events[-1]["path"])
    assert events[-1]["confirmed"] is True
    assert hashlib.sha256(path.read_bytes()).hexdigest() == lock["zip"]["sha256"] == events[-1]["sha256"]
    assert path.stat().st_size == lock["zip"]["size"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        # Of files: a symbolic link's target is an entry's content too.
        files = [entry for entry in archive.infolist() if not stat.S_ISLNK(entry.external_attr >> 16)]
        assert sum(entry.file_size for entry in files) == lock["zip"]["unzipped"]
