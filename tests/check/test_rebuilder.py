"""How the rebuilding process is started and heard, with a small program in its place."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.errors import StoreError
from layerlock.events import BuildStarted, Event
from layerlock.model.derivation import Derivation, Transform
from layerlock.reproduce.orders import decode_orders
from layerlock.reproduce.seeding import seed
from layerlock.reproduce.variations.host import Host
from layerlock.store.local import LocalStore
from layerlock.workflows.rebuilder import Rebuilder, Task

SAYS = {
    "affinity": [],
    "clock": 0,
    "gid": 0,
    "host_name": "",
    "jobs": 2,
    "kernel": "",
    "personality": 0,
    "preloaded": False,
    "python": ["/another/python", ""],
    "store": "",
    "store_owner": 0,
    "uid": 0,
    "umask": 0,
    "variables": {},
}
BEGUN = {"event": "BuildStarted", "time": "now", "name": "root", "planned": "", "resolved": "", "log": "x"}
RESULT = {"event": "Result", "rebuilt": [{"name": "root", "output": "sha256-x", "size": 1, "reason": ""}]}


def rebuilder(tmp_path: Path, script: str, events: list[Event]) -> Rebuilder:
    """Make a rebuilder whose other interpreter is a shell script."""
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    (tmp_path / "folder" / "store").mkdir(parents=True)
    (tmp_path / "recipes").mkdir()
    driver = construct(
        Settings(repository=tmp_path, store=tmp_path / "main", environment={}, jobs=2), events.append
    )
    action = Transform(name="debian-root/1", parameters={"links": {}})
    derivation = Derivation(name="root", version="1", system="x86_64-linux", action=action)
    return Rebuilder(
        driver=driver,
        target="tiny",
        tasks={"root": Task(derivation=derivation, planned="0" * 64, inputs={})},
        host=Host(
            root=False,
            processors=2,
            machine="x86_64",
            sandbox="docker",
            python=str(program),
            python_obstacle="",
            user_python="",
            user_other_python="",
            user_obstacle="",
        ),
        folder=tmp_path / "folder",
        variables={"PATH": os.environ["PATH"]},
        arguments=("--sandbox", "docker"),
    )


def test_the_command_its_orders_and_its_answer(tmp_path: Path) -> None:
    """The backend is passed on, the network ruled out; events and the answer come back."""
    lines = "\n".join(["hello", json.dumps(BEGUN), json.dumps({**RESULT, "seen": SAYS})])
    events: list[Event] = []
    maker = rebuilder(tmp_path, f"echo \"$@\" > {tmp_path}/called\ncat <<'END'\n{lines}\nEND", events)
    came = maker.run(("python", "store-folder", "clock"), ("root",))
    called = (tmp_path / "called").read_text().split()
    assert called[:3] == ["-m", "layerlock", "--json"]
    assert called[-5:] == ["--jobs", "2", "--offline", "--sandbox", "docker"]
    assert f"{tmp_path}/main" not in called, "never the store that is checked"
    assert maker.store.root.name == "deeper and deeper still"
    orders = decode_orders((tmp_path / "folder" / "orders.json").read_bytes())
    assert (orders.target, [wanted.name for wanted in orders.wanted]) == ("tiny", ["root"])
    assert came["root"].rebuilt.output == "sha256-x"
    # What the process told of itself is not what it should have been.
    assert came["root"].missing.keys() == {"store-folder", "clock"}
    assert [event.name for event in events if isinstance(event, BuildStarted)] == ["root"]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo first >&2; echo 'no module named so' >&2; exit 3", "no module named so"),
        ("exit 3", "it ended with status 3"),
        ('echo \'{"event": "Error", "message": "it is broken"}\'', "it is broken"),
    ],
)
def test_a_process_without_an_answer_is_a_reason(tmp_path: Path, script: str, says: str) -> None:
    came = rebuilder(tmp_path, script, []).run(("python",), ("root",))
    assert came["root"].rebuilt.output == ""
    assert came["root"].rebuilt.reason == f"the driver that rebuilds failed: {says}"


def test_a_seeded_store_has_copies_of_trees_and_notices_damage(tmp_path: Path) -> None:
    """Files may be links, trees never: builds see the number of links."""
    store = LocalStore(tmp_path / "main")
    with store.scratch("tree") as scratch:
        folder = scratch / "tree"
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_text("contents")
        (folder / "link").symlink_to("deep/file")
        tree = store.add_tree(folder, "tree")
    sha256 = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"

    def fill(path: Path) -> None:
        path.write_bytes(b"content")

    file = store.add_file(sha256, "file", fill)
    for link in (True, False):
        into = tmp_path / f"seeded {link}"
        seed(store, into, files=[sha256], trees=[tree.sri], link=link)
        other = LocalStore(into)
        copied = other.held_tree(tree.sri)
        assert (copied / "deep" / "file").stat().st_nlink == 1
        assert (copied / "deep" / "file").stat().st_mtime == (tree.path / "deep" / "file").stat().st_mtime
        seeded = other.file(sha256)
        assert seeded is not None
        assert seeded.samefile(file) is link

    damaged = tree.path / "deep" / "file"
    damaged.chmod(0o644)
    damaged.write_text("another!")
    with pytest.raises(StoreError, match="is damaged"):
        seed(store, tmp_path / "third", files=[], trees=[tree.sri], link=True)
