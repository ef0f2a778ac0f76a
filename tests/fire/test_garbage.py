"""Garbage collection beside real builds and from other checkouts: what is needed stays, the rest goes by last use."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from layerlock.events import BuildStarted, Event, silent
from layerlock.store.local import LocalStore
from layerlock.workflows.building import build_layer, build_package
from tests.fire.conftest import Fire, copy_store
from tests.fire.repository import make_driver
from tests.fire.test_together import ends, start

pytestmark = pytest.mark.sandbox


def gc(repository: Path, store: Path, *arguments: str) -> dict[str, Any]:
    """Run `layerlock gc`, and give its result."""
    command = [
        sys.executable,
        "-m",
        "layerlock",
        "--repo",
        str(repository),
        "--store",
        str(store),
        "--json",
        "gc",
    ]
    done = subprocess.run(
        [*command, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
        timeout=100,
        check=True,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    result: dict[str, Any] = events[-1]
    assert result["event"] == "Result"
    return {**result, "warnings": [event["message"] for event in events if event["event"] == "Warned"]}


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """Give a checkout of other recipes, which needs nothing."""
    (tmp_path / "stranger" / "recipes").mkdir(parents=True)
    return tmp_path / "stranger"


def test_a_collection_takes_nothing_from_running_builds(
    fire: Fire, fresh: Path, stranger: Path, tmp_path: Path
) -> None:
    """A layer and a package that is in no lock are built while another checkout collects without pause."""
    lonely = tmp_path / "lonely"
    shutil.copytree(fire.repository, lonely)
    for lock in (lonely / "lockfiles").iterdir():
        lock.unlink()
    recipe = lonely / "recipes" / "packages" / "c.toml"
    recipe.write_text(
        recipe.read_text().replace('mkdir -p "$site"', 'mkdir -p "$site"; echo other > $out/other')
    )
    package = make_driver(lonely, fresh)
    builds = [start(fire, fresh, tmp_path / "out", "one")]
    collected = 0
    while builds[0].poll() is None:
        gc(stranger, fresh)
        collected += 1
    events = ends(builds)
    assert collected > 2
    assert events[-1]["sha256"] == fire.zip_sha256("one")
    assert set(Counter(event["name"] for event in events if event["event"] == "BuildStarted").values()) == {1}
    assert set(Counter(fire.web.asked).values()) == {1}
    made, path = build_package(package, "c")
    assert LocalStore(fresh).tree(made.output) == path
    assert LocalStore(fresh).verify(silent) == ()
    # The layer's checkout is registered; of the package, whose build is over, nothing stays that the layer lacks.
    gone = gc(stranger, fresh)["removed"]
    assert any(name.endswith("-c") for name in gone)
    again: list[Event] = []
    build_layer(make_driver(fire.repository, fresh, again.append), "one", tmp_path / "out")
    assert not [event for event in again if isinstance(event, BuildStarted)]


def test_locks_of_other_checkouts_are_read_anew(fire: Fire, tmp_path: Path, stranger: Path) -> None:
    """What another checkout's lock names by now stays, though its last build did not need it."""
    store = LocalStore(tmp_path / "store")
    copy_store(fire.full, store.root)
    for path in store.layout.roots.glob("checkout-*"):
        path.unlink()
    other = tmp_path / "other"
    shutil.copytree(fire.repository, other)
    pulled = (other / "lockfiles" / "two.lock").rename(tmp_path / "two.lock")
    build_layer(make_driver(other, store.root), "one", tmp_path / "out")
    assert any(name.endswith("-c-1.0.tar.gz") for name in gc(stranger, store.root, "--dry-run")["removed"])
    pulled.rename(other / "lockfiles" / "two.lock")
    told = gc(stranger, store.root, "--dry-run")
    assert not any(name.endswith("-c-1.0.tar.gz") for name in told["removed"])
    kept = {row["by"]: row for row in told["kept"]}
    assert kept[f"the lock of two in {other}"]["entries"] > 30
    assert kept[f"the lock of two in {other}"]["bytes"] > 50_000_000
    assert kept["the sandbox's program"]["entries"] == 1
    shutil.rmtree(other)
    gc(stranger, store.root)
    assert {path.name[65:] for path in store.layout.trees.iterdir()} == {"sandbox-program"}
    assert list(store.layout.files.iterdir()) == []


def test_a_size_is_kept_to(fire: Fire, tmp_path: Path, stranger: Path) -> None:
    """Only as much goes as has to; where what is needed alone is more, that is said."""
    store = LocalStore(tmp_path / "store")
    copy_store(fire.full, store.root)
    for path in store.layout.roots.glob("checkout-*"):
        path.unlink()
    held = gc(stranger, store.root, "--max-size", "10 GB")
    assert held["removed"] == []
    assert held["warnings"] == []
    # The one thing used since is the environment: everything else is older.
    root = next(store.layout.trees.glob("*-environment-small"))
    os.utime(root, (1, 1))
    most = held["held"] - 1_000_000
    freed = gc(stranger, store.root, "--max-size", f"{most} B")
    assert 0 < freed["freed"] < 25_000_000
    assert freed["held"] <= most
    assert root.is_dir()
    over = gc(fire.repository, store.root, "--max-size", "1 MB")
    assert over["over"]
    assert "what is needed alone takes" in over["warnings"][0]
    assert over["held"] > 60_000_000
