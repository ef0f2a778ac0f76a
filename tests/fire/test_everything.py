"""Many layers as one plan: what they share is built once, and one that cannot be planned hinders no other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlock.errors import StaleLock
from layerlock.events import BuildStarted, Event, PlanMade, Warned
from layerlock.io.atomic import remove_tree
from layerlock.workflows.everything import build_everything
from tests.fire.conftest import Fire, copy_store
from tests.fire.repository import lock_file, make_driver

pytestmark = pytest.mark.sandbox


@pytest.fixture
def repository(fire: Fire, tmp_path: Path) -> Path:
    """Copy the repository, with a layer more that has no lock."""
    copy = shutil.copytree(fire.repository, tmp_path / "repository")
    text = (copy / "recipes/layers/one.toml").read_text()
    (copy / "recipes/layers/draft.toml").write_text(text.replace('name = "one"', 'name = "draft"'))
    return copy


@pytest.fixture
def full(fire: Fire, tmp_path: Path) -> Iterator[Path]:
    """Copy the store in which everything was built."""
    store = tmp_path / "full"
    copy_store(fire.full, store)
    yield store
    remove_tree(store)


def run(repository: Path, store: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "layerlock", "--repo", str(repository), "--store", str(store), *arguments],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_layers_that_share_packages_are_built_as_one_plan(
    fire: Fire, repository: Path, fresh: Path, tmp_path: Path
) -> None:
    """`a`, the environment and the tools are of both; the layer without a lock is told of and left out."""
    events: list[Event] = []
    driver = make_driver(repository, fresh, events.append)
    done = build_everything(driver, ("draft", "one", "two", "c"), tmp_path / "dist")
    assert [(made.name, path.is_dir()) for made, path in done.packages] == [("c", True)]
    assert {built.layer: built.sha256 for built in done.built} == {
        layer: fire.zip_sha256(layer) for layer in ("one", "two")
    }
    assert all(built.confirmed and built.path.is_file() for built in done.built)
    started = Counter(event.name for event in events if isinstance(event, BuildStarted))
    assert set(started.values()) == {1}
    assert {"environment-small", "a", "b-after-a", "c", "layer-one-zip", "layer-two-zip"} <= set(started)
    assert sum(isinstance(event, PlanMade) for event in events) == 1
    assert isinstance(done.failed["draft"], StaleLock)
    assert [event.name for event in events if isinstance(event, Warned)] == ["draft"]
    # Alone, each of them finds what was built, and says the same.
    events.clear()
    alone = build_everything(driver, ("one",), tmp_path / "dist")
    assert alone.built[0].sha256 == done.built[0].sha256
    assert not [event for event in events if isinstance(event, BuildStarted)]


def test_the_command_builds_the_rest_and_ends_with_the_code_of_what_was_left_out(
    repository: Path, full: Path
) -> None:
    told = run(repository, full, "--json", "build", "--all")
    assert told.returncode == StaleLock.exit_code
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert [line["layer"] for line in lines if line["event"] == "Result"] == ["one", "two"]
    assert "the layer `draft` has no lock" in told.stderr
    assert {path.name for path in (repository / "dist").glob("*.zip")} == {"one.zip", "two.zip"}

    left_out = run(repository, full, "build", "--all", "--except", "draft")
    assert left_out.returncode == 0, left_out.stderr
    assert "one.zip" in left_out.stdout
    assert "two.zip" in left_out.stdout
    assert "draft" not in left_out.stderr


def test_several_names_are_built_as_everything_is(repository: Path, full: Path) -> None:
    """Each once, packages too; and the rest is built where one cannot be planned."""
    told = run(repository, full, "--json", "build", "c", "draft", "one", "c")
    assert told.returncode == StaleLock.exit_code
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    results = [line.get("package") or line["layer"] for line in lines if line["event"] == "Result"]
    assert results == ["one", "c"]


def test_a_lock_that_contradicts_another_ones_is_named(repository: Path, full: Path, tmp_path: Path) -> None:
    """One plan has one output of each derivation."""
    path = lock_file(repository, "two")
    text = path.read_text()
    start = text.index('name = "a"')
    output = text.index('output = "', start)
    path.write_text(
        text[:output] + text[output:].replace(text[output + 10 : output + 61], "sha256-" + "A" * 43 + "=", 1)
    )
    done = build_everything(make_driver(repository, full), ("one", "two"), tmp_path / "dist")
    assert [built.layer for built in done.built] == ["one"]
    assert "the lock of two records another output of a than" in done.failed["two"].message


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name a layer, a function or a package, or say --all"),
        (("one", "--all"), "--all builds every layer and function"),
        (("one", "--except", "two"), "to which --except belongs"),
        (("--all", "--except", "onn"), "did you mean `one`?"),
    ],
)
def test_contradictions_are_refused(
    repository: Path, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    told = run(repository, tmp_path / "store", "build", *arguments)
    assert told.returncode == 2
    assert says in told.stderr
