"""Many layers as one plan on a cluster: the bytes that the locks record, each derivation built by one worker once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from layerlock.cache.keys import make_key
from tests.fire.conftest import Fire

pytestmark = [pytest.mark.sandbox, pytest.mark.long]

COMMAND = (sys.executable, "-m", "layerlock", "--json")


@contextmanager
def running(*arguments: str) -> Iterator[dict[str, str]]:
    """Run a verb that stays, until it is no longer needed; give the first thing that it says."""
    with subprocess.Popen([*COMMAND, *arguments], env=dict(os.environ), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


def test_a_cluster_builds_everything_once(fire: Fire, fresh: Path, tmp_path: Path) -> None:
    repository = shutil.copytree(fire.repository, tmp_path / "repository")
    key = tmp_path / "worker.key"
    cache = tmp_path / "cache"
    cache.mkdir()
    (repository / "recipes/caches.toml").write_text(
        f'[[caches]]\nname = "shared"\nurl = "{cache}"\n[[keys]]\nname = "workers"\nkey = "{make_key(key)}"\n'
    )
    mine = tmp_path / "mine"
    fire.pantry.seed(mine)
    with running("scheduler", "tcp://127.0.0.1:0") as scheduler:
        address = scheduler["address"]
        worker = (
            "worker",
            address,
            "--cores",
            "2",
            "--memory",
            "8GiB",
            "--cache",
            str(cache),
            "--key",
            str(key),
        )
        with running("--store", str(fresh), *worker):
            places = ("--repo", str(repository), "--store", str(mine))
            done = subprocess.run(
                [*COMMAND, *places, "build", "--all", "--scheduler", address],
                env=dict(os.environ),
                capture_output=True,
                text=True,
                timeout=200,
                check=False,
            )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    built = {line["layer"]: line["sha256"] for line in lines if line["event"] == "Result"}
    assert built == {layer: fire.zip_sha256(layer) for layer in ("one", "two")}
    started = Counter(line["name"] for line in lines if line["event"] == "BuildStarted")
    assert set(started.values()) == {1}
    assert {"a", "b-after-a", "c", "layer-one-zip", "layer-two-zip"} <= set(started)
