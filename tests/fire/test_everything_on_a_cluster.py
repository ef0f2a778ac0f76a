"""Many layers as one plan on a cluster: the bytes that the locks record, each derivation built by one worker once."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from layerlock.cache.keys import make_key
from layerlock.io.repository import Repository
from layerlock.io.times import read_note
from layerlock.store.local import LocalStore
from layerlock.workflows.foreseeing import read_history
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


@dataclass(frozen=True, kw_only=True)
class OnCluster:
    """A repository, and the address of the scheduler of a cluster for it."""

    repository: Path
    address: str

    def run(self, store: Path, verb: str, *words: str) -> list[dict[str, Any]]:
        """Run a verb to its good end; give what it told."""
        places = ("--repo", str(self.repository), "--store", str(store))
        done = subprocess.run(
            [*COMMAND, *places, verb, *words, "--scheduler", self.address],
            env=dict(os.environ),
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def on_cluster(fire: Fire, fresh: Path, tmp_path: Path) -> Iterator[OnCluster]:
    """Start a scheduler on loopback, and a worker whose store holds no build, with a cache that both sides see."""
    repository = shutil.copytree(fire.repository, tmp_path / "repository")
    key = tmp_path / "worker.key"
    cache = tmp_path / "cache"
    cache.mkdir()
    (repository / "recipes/caches.toml").write_text(
        f'[[caches]]\nname = "shared"\nurl = "{cache}"\n[[keys]]\nname = "workers"\nkey = "{make_key(key)}"\n'
    )
    with running("scheduler", "tcp://127.0.0.1:0") as scheduler:
        address = scheduler["address"]
        worker = ("worker", address, "--cores=2", "--memory=8GiB", "--cache", str(cache), "--key", str(key))
        with running("--store", str(fresh), *worker):
            yield OnCluster(repository=repository, address=address)


def zips(lines: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Give the sha256 of each layer that was delivered."""
    return {line["layer"]: line["sha256"] for line in lines if line["event"] == "Result" and "layer" in line}


def started(lines: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Count how often each derivation was begun."""
    return Counter(line["name"] for line in lines if line["event"] == "BuildStarted")


def test_a_cluster_builds_everything_once(fire: Fire, on_cluster: OnCluster, tmp_path: Path) -> None:
    """Several names are one plan as everything is; what the builds took is noted here for the next plan."""
    mine = tmp_path / "mine"
    fire.pantry.seed(mine)
    lines = on_cluster.run(mine, "build", "one", "two", "c")
    assert zips(lines) == {layer: fire.zip_sha256(layer) for layer in ("one", "two")}
    assert [line["package"] for line in lines if "package" in line] == ["c"]
    assert [line["event"] for line in lines].count("PlanMade") == 1
    begun = started(lines)
    assert set(begun.values()) == {1}
    assert {"a", "b-after-a", "c", "layer-one-zip", "layer-two-zip"} <= set(begun)
    finished = {line["planned"]: line for line in lines if line["event"] == "BuildFinished"}
    assert len(finished) == len(begun)
    for planned, line in finished.items():
        note = read_note(LocalStore(mine).log_path(planned))
        assert note is not None
        assert (note.name, note.seconds) == (line["name"], round(line["seconds"]))
        assert (note.memory, note.size, note.processors) == (line["peak_memory"], line["size"], 0)
    history = read_history(LocalStore(mine), Repository(on_cluster.repository), finished)
    assert not history.here
    assert {took.planned for took in history.elsewhere} >= finished.keys()


def test_everything_is_left_to_a_cluster_and_fetched_later(
    fire: Fire, on_cluster: OnCluster, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    fire.pantry.seed(mine)
    # It has no lock: both sides leave it out, and so both ask for the same plan.
    text = (on_cluster.repository / "recipes/layers/one.toml").read_text()
    (on_cluster.repository / "recipes/layers/draft.toml").write_text(
        text.replace('name = "one"', 'name = "draft"')
    )
    (left,) = [
        line
        for line in on_cluster.run(mine, "build", "--all", "--except", "draft", "--detach")
        if line["event"] == "Result"
    ]
    assert left["name"] == "--all --except draft"
    assert [*on_cluster.run(mine, "attach")[-1]["runs"]] == [left["run"]]
    lines = on_cluster.run(mine, "attach", "--all", "--except", "draft")
    assert zips(lines) == {layer: fire.zip_sha256(layer) for layer in ("one", "two")}
    # What happened meanwhile is told, and noted.
    begun = started(lines)
    assert {"a", "layer-one-zip", "layer-two-zip"} <= set(begun)
    assert set(begun.values()) == {1}
    assert all(
        read_note(LocalStore(mine).log_path(line["planned"]))
        for line in lines
        if line["event"] == "BuildFinished"
    )
    assert not on_cluster.run(mine, "attach")[-1]["runs"]
    # Names in another order mean the same.
    other = tmp_path / "other"
    fire.pantry.seed(other)
    on_cluster.run(other, "build", "two", "one", "--detach")
    assert zips(on_cluster.run(other, "attach", "one", "two")) == zips(lines)
