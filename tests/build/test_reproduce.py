"""Past layers built again for real, out of git's history: found in every way, identical, or told why not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from layerlock.io.lockfile import read_lock
from layerlock.workflows.building import record_layer
from layerlock.workflows.driver import GUEST
from layerlock.workflows.locking import lock_layer

from .conftest import Bench
from .history import commit, git, layerlock
from .seeded import seeded

pytestmark = pytest.mark.sandbox

TINY_C = "recipes/packages/tiny-c.toml"


class Past:
    """A repository whose first commit recorded the layer tiny, and whose recipes then went on."""

    def __init__(self, bench: Bench, home: Path, own: Path) -> None:
        self.bench = bench
        self.folder = bench.folder
        self.home = home
        self.own = own
        lock_layer(bench.driver(), "tiny")
        self.zip = record_layer(bench.driver(), "tiny", home / "dist").path
        self.lock = shutil.copy(bench.folder / "lockfiles" / "tiny.lock", home / "old.lock")
        self.first = commit(bench.folder, "Record")
        bench.edit(TINY_C, lambda text: text.replace("-Os", "-O1"))
        lock_layer(bench.driver(), "tiny")
        self.second = commit(bench.folder, "Go on")
        if not own.exists():
            seeded(bench.store, own)

    def run(self, *arguments: str) -> CompletedProcess[str]:
        """Reproduce, in one store that all tests share: what was built for one need not be built for the next."""
        return self.fresh(*arguments, "--store", str(self.own))

    def fresh(self, *arguments: str) -> CompletedProcess[str]:
        """Reproduce, in a store that is made for it."""
        return layerlock(self.folder, "reproduce", *arguments, home=self.home, store=self.bench.store)

    def tampered(self, **changes: str) -> str:
        """Commit the old lock with some texts replaced, over the old recipes, and give the commit."""
        git(self.folder, "checkout", "--quiet", self.first)
        path = self.folder / "lockfiles" / "tiny.lock"
        text = path.read_text()
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        path.write_text(text)
        return commit(self.folder, "Tamper")


@pytest.fixture(scope="session")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the place of the store that past layers are built in; the first one fills it with the environments."""
    return tmp_path_factory.mktemp("reproduced") / "store"


@pytest.fixture
def past(bench: Bench, tmp_path: Path, own_store: Path) -> Past:
    """Give the repository with a past."""
    home = tmp_path / "home"
    home.mkdir()
    return Past(bench, home, own_store)


def fields(done: CompletedProcess[str]) -> dict[str, Any]:
    """Give the result that `--json` wrote."""
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found: dict[str, Any] = next(row for row in rows if row["event"] == "Result")
    return found


def test_a_past_revision_is_built_again_from_nothing(past: Past, tmp_path: Path) -> None:
    """A store of its own, sources from the ordinary one, and nothing left behind but the zip that was asked for."""
    before = sorted((past.bench.store / "realisations").iterdir())
    done = past.fresh("tiny@HEAD~1", "--json", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    result = fields(done)
    lock = read_lock(Path(past.lock), "tiny")
    assert result["identical"]
    assert result["revision"] == past.first
    assert result["compared"] == [d.name for d in lock.derivations if d.output is not None]
    assert result["reused"] == []
    assert lock.zip is not None
    assert result["zip_sha256"] == lock.zip.sha256
    assert (tmp_path / "out" / "tiny.zip").read_bytes() == past.zip.read_bytes()
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert {row["name"] for row in rows if row["event"] == "BuildStarted"} == set(result["compared"])
    assert not [row for row in rows if row["event"] == "FetchStarted"]
    assert sorted((past.bench.store / "realisations").iterdir()) == before
    assert list((past.bench.store / "tmp").iterdir()) == []


def test_a_revision_is_found_by_a_lock_and_by_a_zip(past: Past) -> None:
    for arguments in (("--lock", str(past.lock)), ("--zip", str(past.zip)), (f"tiny@{past.first[:10]}",)):
        done = past.run(*arguments)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"identical: tiny of the revision {past.first[:12]}\n")
    assert "in the store already: environment-bullseye" in done.stdout
    # Spelled otherwise, it is still the same lock.
    text = Path(past.lock).read_text()
    Path(past.lock).write_text(text.replace("\n", "\r\n"))
    assert past.run("--lock", str(past.lock)).returncode == 0


def test_a_branch_that_is_gone_from_here_is_searched_too(past: Past) -> None:
    git(past.folder, "branch", "side", past.first)
    git(past.folder, "checkout", "--quiet", "--orphan", "other")
    shutil.rmtree(past.folder / "lockfiles")
    commit(past.folder, "Begin anew")
    done = past.run("--zip", str(past.zip))
    assert done.returncode == 0, done.stderr
    assert past.first[:12] in done.stdout


def test_guest_code_of_the_revision_is_run(past: Past) -> None:
    """It stands in the repository, differs from the driver's, and was cut into other files."""
    guest = past.folder / "src" / "layerlock" / "guest"
    shutil.copytree(GUEST, guest, ignore=shutil.ignore_patterns("__pycache__"))
    text = (guest / "tree.py").read_text()
    (guest / "old_tree.py").write_text(text)
    (guest / "tree.py").write_text('"""As it once was."""\n\nfrom old_tree import *\n')
    driver = past.bench.driver(guest=guest)
    lock_layer(driver, "tiny")
    record_layer(past.bench.driver(guest=guest), "tiny", past.home / "dist")
    revision = commit(past.folder, "Guest code of another time")
    shutil.rmtree(guest)
    (past.folder / "lockfiles" / "tiny.lock").unlink()
    commit(past.folder, "Without it")
    done = past.run(f"tiny@{revision}", "--json")
    assert done.returncode == 0, done.stderr
    # What does not use those files is planned as before, and was there.
    assert "layer-tiny-tree" not in fields(done)["reused"]


def test_an_output_that_differs_is_named_and_explained(past: Past) -> None:
    """The original is in the ordinary store: what differs is said by file and cause."""
    past.bench.edit(TINY_C, lambda text: text.replace("cp tiny.h", "date > /out/include/when.h; cp tiny.h"))
    lock_layer(past.bench.driver(), "tiny")
    record_layer(past.bench.driver(), "tiny", past.home / "dist")
    commit(past.folder, "A build that tells the time")
    done = past.run("tiny@HEAD")
    assert done.returncode == 11
    assert done.stdout.startswith("different: tiny-c, of tiny of the revision ")
    assert "include/when.h:" in done.stdout
    assert "error: the output of tiny-c is not the one that the lock records" in done.stderr


def test_a_lock_that_was_tampered_with_is_not_confirmed(past: Past) -> None:
    lock = read_lock(Path(past.lock), "tiny")
    output = next(d.output for d in lock.derivations if d.name == "tiny-fortran")
    assert output is not None
    assert lock.zip is not None
    revision = past.tampered(**{output: "sha256-" + "A" * 43 + "="})
    done = past.run(f"tiny@{revision}", "--json")
    assert done.returncode == 11
    result = fields(done)
    assert not result["identical"]
    assert (result["difference"]["name"], result["difference"]["found"]) == ("tiny-fortran", output)
    assert "not on this machine" in result["explanation"]
    revision = past.tampered(**{lock.zip.sha256: "0" * 64})
    done = past.run(f"tiny@{revision}")
    assert done.returncode == 11
    assert "different: layer-tiny-zip" in done.stdout


def test_recipes_edited_under_an_old_lock(past: Past) -> None:
    """The lock of the first commit over the recipes of the second; the right revision is still found by itself."""
    shutil.copy(past.lock, past.folder / "lockfiles" / "tiny.lock")
    commit(past.folder, "An old lock over new recipes")
    done = past.run("tiny@HEAD")
    assert done.returncode == 4
    assert "do not fit the lock: `build.variables` of `tiny-c` differs" in done.stderr
    assert "--repo-rev" in done.stderr
    done = past.run("--lock", str(past.lock), "--repo-rev", past.second)
    assert done.returncode == 4
    done = past.run("--lock", str(past.lock))
    assert (done.returncode, past.first[:12] in done.stdout) == (0, True), done.stderr


def test_a_revision_that_is_named(past: Past) -> None:
    """A lock and a zip that the history does not have, with the recipes of a revision that it has."""
    text = Path(past.lock).read_text()
    other = past.home / "other.lock"
    other.write_text(text.replace("signed_by = ", 'signed_by = "f" # '))
    unknown = past.run("--lock", str(other))
    assert unknown.returncode == 25
    assert "no commit of this repository brought the lock" in unknown.stderr
    assert past.run("--lock", str(other), "--repo-rev", past.first).returncode == 0
    assert past.run("--zip", str(past.zip), "--repo-rev", past.first).returncode == 0
    wrong = past.run("--zip", str(past.zip), "--repo-rev", past.second)
    assert wrong.returncode == 26, wrong.stderr
