"""A build with nothing to do: told from a note of the last one, and from the note alone only where all still stands."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import layerlock
from layerlock.io.lockfile import read_lock
from layerlock.model.digest import unsri
from layerlock.store.layout import checkout_root, standing_place
from layerlock.store.local import LocalStore
from layerlock.store.sealed import decode, encode
from layerlock.workflows.building import build_layer
from layerlock.workflows.built import LayerBuilt
from layerlock.workflows.standing import find, inputs
from tests.fire.conftest import Fire, copy_store
from tests.fire.repository import lock_file, make_driver
from tests.fire.test_damage import flip

pytestmark = pytest.mark.sandbox


@dataclass(frozen=True)
class Built:
    """A repository whose layer `two` was built into a store of its own, and what came of it."""

    repository: Path
    store: LocalStore
    dist: Path
    said: LayerBuilt

    def find(self) -> LayerBuilt | None:
        """Look for the note of the last build."""
        return find(self.store.root, self.repository, "two", self.dist)

    def place(self, part: str) -> Path:
        """Give the place of an output of the layer in the store."""
        lock = read_lock(lock_file(self.repository, "two"), "two")
        output = next(d.output for d in lock.derivations if d.name == f"layer-two-{part}")
        assert output is not None
        return self.store.held_tree(output)

    def planned(self) -> Path:
        """Give the record of the layer's tree in the store."""
        lock = read_lock(lock_file(self.repository, "two"), "two")
        planned = next(d.planned for d in lock.derivations if d.name == "layer-two-tree")
        return self.store.layout.planned / f"{planned}.json"

    def note(self) -> Path:
        """Give the place of the note."""
        return standing_place(self.store.layout, self.repository, "two")

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the command in the repository, with a look at what it loaded."""
        program = (
            "import sys; from layerlock.cli.main import main; code = main(sys.argv[1:]); sys.stdout.flush(); "
            "print('layerlock.workflows.building' in sys.modules, file=sys.stderr); sys.exit(code)"
        )
        store, out = str(self.store.root), str(self.dist)
        return subprocess.run(
            [sys.executable, "-c", program, "--store", store, "build", "two", "--out", out, *options],
            cwd=self.repository,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


@pytest.fixture
def built(fire: Fire, tmp_path: Path) -> Built:
    """Build a layer that is built already, from a copy of the repository and of the store."""
    repository = tmp_path / "repository"
    shutil.copytree(fire.repository, repository)
    copy_store(fire.full, tmp_path / "store")
    said = build_layer(make_driver(repository, tmp_path / "store"), "two", tmp_path / "dist")
    return Built(repository, LocalStore(tmp_path / "store"), tmp_path / "dist", said)


def append(path: str) -> Callable[[Built], object]:
    """Give what adds one byte to a file of the repository."""

    def change(built: Built) -> None:
        with (built.repository / path).open("a") as file:
            file.write("\n")

    return change


def remove(path: Callable[[Built], Path]) -> Callable[[Built], object]:
    """Give what removes a file or a tree."""

    def change(built: Built) -> None:
        subprocess.run(["rm", "-rf", str(path(built))], check=True)

    return change


def link_in_place_of_zip(built: Built) -> None:
    built.said.path.rename(built.dist / "elsewhere.zip")
    built.said.path.symlink_to("elsewhere.zip")


def another_root(built: Built) -> None:
    root = checkout_root(built.store.layout, built.repository, "two")
    root.write_bytes(encode({**decode(root.read_bytes()), "files": []}))


def unreadable_note(built: Built) -> None:
    built.note().write_text("{")


def later_note(built: Built) -> None:
    built.note().write_bytes(encode({**decode(built.note().read_bytes()), "version": 2}))


CHANGES: dict[str, Callable[[Built], object]] = {
    "the layer's recipe": append("recipes/layers/two.toml"),
    "a package's recipe": append("recipes/packages/c.toml"),
    "an environment's packages": append("recipes/environments/small.debs.toml"),
    "a runtime": append("recipes/runtimes/python3.9-small.toml"),
    "a list of exports": append("recipes/runtimes/amazonlinux2-x86_64.exports"),
    "a smoke test": append("recipes/smoke/two.py"),
    "the lock": append("lockfiles/two.lock"),
    "another layer's lock": append("lockfiles/one.lock"),
    "a new patch": append("patches/c.patch"),
    "a mode": lambda built: (built.repository / "recipes/smoke/two.py").chmod(0o755),
    "a new recipe": append("recipes/packages/new.toml"),
    "a linked folder": lambda built: (built.repository / "recipes/more").symlink_to("/usr/share"),
    "a missing record": remove(Built.planned),
    "a changed record": lambda built: flip(built.planned()),
    "a missing output": remove(lambda built: built.place("tree")),
    "an output that was touched": lambda built: built.place("tree").chmod(0o755),
    "a changed report": lambda built: flip(built.place("zip") / "report.json"),
    "another root": another_root,
    "a missing zip": remove(lambda built: built.said.path),
    "a zip with one bit changed, its size and time kept": lambda built: flip(built.said.path),
    "a link in place of the zip": link_in_place_of_zip,
    "a changed statement": lambda built: flip(built.said.path.with_suffix(".intoto.json")),
    "a missing note": remove(Built.note),
    "an unreadable note": unreadable_note,
    "a changed note": lambda built: flip(built.note()),
    "a note of another version": later_note,
}


def test_a_note_tells_what_the_build_told(built: Built) -> None:
    """And nothing of what builds is loaded for it; each run says the same."""
    found = built.find()
    assert found is not None
    assert all(
        getattr(found, name) == getattr(built.said, name)
        for name in LayerBuilt.__dataclass_fields__
        if name != "report"
    )
    short = built.run()
    built.note().unlink()
    long = built.run()
    assert (short.returncode, long.returncode) == (0, 0)
    assert (short.stderr, long.stderr) == ("False\n", "True\n")
    assert short.stdout == long.stdout
    assert "sha256    " + built.said.sha256 in short.stdout
    assert built.find() is not None, "the long way writes the note again"
    assert built.run().stderr == "False\n"


def test_json_is_the_same_both_ways(built: Built) -> None:
    """But for the time."""
    import json  # noqa: PLC0415

    short = json.loads(built.run("--json").stdout)
    built.note().unlink()
    long = json.loads(built.run("--json").stdout)
    assert short.pop("time") != long.pop("time")
    assert short == long


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes_nothing_is_told_from_the_note(built: Built, what: str) -> None:
    """One change of each kind: the build goes the long way."""
    (built.repository / "patches").mkdir(exist_ok=True)
    build_layer(make_driver(built.repository, built.store.root), "two", built.dist)
    assert built.find() is not None
    CHANGES[what](built)
    assert built.find() is None


def test_what_is_mended_stands_again(built: Built) -> None:
    """A zip that was tampered with is written anew, and told of; the next build has nothing to do."""
    flip(built.said.path)
    done = built.run()
    assert done.returncode == 0
    assert "written anew" in done.stderr
    again = built.run()
    assert (again.stdout, again.stderr) == (done.stdout, "False\n")


def test_a_changed_driver_takes_the_long_way(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte of one of its files, which keeps its size and time."""
    copy = built.dist / "layerlock"
    shutil.copytree(Path(layerlock.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(layerlock, "__file__", str(copy / "__init__.py"))
    assert built.find() is None
    build_layer(make_driver(built.repository, built.store.root), "two", built.dist)
    assert built.find() is not None
    time.sleep(0.02)  # a tick of the file system's clock
    flip(copy / "guest" / "pack.py")
    assert built.find() is None


def test_an_input_that_changes_during_a_build_leaves_no_note(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The build used what was there before; the note would speak of what is there now."""
    built.note().unlink()
    driver = make_driver(built.repository, built.store.root)
    pin = LocalStore.pin

    def pin_late(store: LocalStore, keep: object) -> object:
        append("recipes/layers/one.toml")(built)
        return pin(store, keep)  # type: ignore[arg-type] # handed on as it came

    monkeypatch.setattr(LocalStore, "pin", pin_late)
    build_layer(driver, "two", built.dist)
    assert not built.note().exists()


def test_a_collection_keeps_the_note_for_as_long_as_the_checkout_stands(built: Built) -> None:
    """It is as a root is; and after a collection, everything still stands."""
    from layerlock.store.keep import Keep  # noqa: PLC0415

    built.store.gc(Keep())
    assert built.find() is not None
    built.repository.rename(built.repository.with_name("moved"))
    built.store.gc(Keep())
    assert not built.note().exists()


def test_folders_are_hashed_by_names_bytes_modes_and_links(tmp_path: Path) -> None:
    """What is moved from one file to the next, or from a name into contents, counts as well."""
    seen = set()

    def look() -> None:
        found = inputs(tmp_path, ("own",))
        assert found is not None
        assert found not in seen
        seen.add(found)

    look()
    own = tmp_path / "own"
    (own / "below").mkdir(parents=True)
    look()
    (own / "a").write_text("ab")
    look()
    (own / "a").write_text("a")
    (own / "b").write_text("b")
    look()
    (own / "a").chmod(0o755)
    look()
    (own / "below" / "link").symlink_to("../a")
    look()
    (own / "below" / "link").unlink()
    (own / "below" / "link").symlink_to("../b")
    look()
    (own / "nowhere").symlink_to("/does/not/exist")
    look()
    (own / "folder").symlink_to("below")
    assert inputs(tmp_path, ("own",)) is None


def test_the_trees_of_a_note_are_those_of_the_layer(built: Built) -> None:
    """Each output that the lock records is among them."""
    lock = read_lock(lock_file(built.repository, "two"), "two")
    noted = {name[:64] for name in decode(built.note().read_bytes())["trees"]}
    recorded = {unsri(d.output) for d in lock.derivations if d.output is not None}
    assert recorded <= noted
