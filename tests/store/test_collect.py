"""Garbage collection and verification, beside live scratches, pins and other processes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from layerlock.errors import StoreError
from layerlock.events import Event, Noted, silent
from layerlock.store.keep import Keep
from layerlock.store.local import LocalStore, StoredTree
from tests.store.test_local import PLANNED, RESOLVED, make_tree, names, realisation


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def add_file(store: LocalStore, text: str) -> str:
    sha256 = hashlib.sha256(text.encode()).hexdigest()

    def fill(path: Path) -> None:
        path.write_text(text)

    store.add_file(sha256, text, fill)
    return sha256


def add_tree(store: LocalStore, text: str) -> StoredTree:
    with store.scratch("build") as scratch:
        return store.add_tree(make_tree(scratch, text), text)


def entries(store: LocalStore) -> list[str]:
    folders = ("files", "trees", "realisations", "planned", "logs", "failed")
    return sorted(f"{name}/{entry}" for name in folders for entry in names(store.root / name))


def test_what_is_kept_stays_and_the_rest_goes(store: LocalStore) -> None:
    file, other_file = add_file(store, "kept"), add_file(store, "gone")
    tree, made, other_tree = add_tree(store, "kept"), add_tree(store, "made"), add_tree(store, "gone")
    store.register(realisation(made.sri))
    store.register(realisation(other_tree.sri, "c" * 64, "d" * 64))
    store.log_path(PLANNED).write_text("log")
    store.log_path("c" * 64).write_text("log")
    with store.scratch("failed") as scratch:
        store.keep_failed(scratch, "numpy")
    keep = Keep(files=frozenset({file}), trees=frozenset({tree.sri}), realisations=frozenset({RESOLVED}))
    everything = entries(store)
    shown = store.gc(keep, dry_run=True)
    assert entries(store) == everything
    freed = store.gc(keep)
    assert freed == shown
    assert sorted(freed.entries) == sorted(set(everything) - set(entries(store)))
    assert freed.bytes > len("gone")
    assert store.file(other_file) is None
    assert store.tree(other_tree.sri) is None
    assert store.planned("c" * 64) is None
    assert store.file(file) is not None
    assert store.tree(tree.sri) is not None
    assert store.tree(made.sri) is not None  # kept by its realisation
    assert store.planned(PLANNED) == store.realisation(RESOLVED) == realisation(made.sri)
    assert store.log_path(PLANNED).exists()
    assert not store.log_path("c" * 64).exists()
    assert store.gc(keep).entries == ()
    assert names(store.layout.locks) == ["collector"]


def test_a_checkout_keeps_what_it_needs_until_it_is_removed(store: LocalStore, tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    first, second = add_file(store, "first"), add_file(store, "second")
    store.add_root(checkout, "cv", Keep(files=frozenset({first})))
    store.add_root(checkout, "torch", Keep(files=frozenset({second})))
    assert store.gc(Keep()).entries == ()
    store.add_root(checkout, "torch", Keep())  # the lock has changed
    assert store.gc(Keep()).entries == (f"files/{second}-second",)
    checkout.rmdir()
    store.gc(Keep())
    assert entries(store) == names(store.layout.roots) == []


def test_a_root_that_cannot_be_read_stops_the_collection(store: LocalStore, tmp_path: Path) -> None:
    file = add_file(store, "kept")
    store.add_root(tmp_path, "cv", Keep(files=frozenset({file})))
    (root,) = store.layout.roots.iterdir()
    root.write_bytes(b"{")
    with pytest.raises(StoreError, match="is damaged"):
        store.gc(Keep())
    assert store.file(file) is not None


def test_live_scratches_stay_and_abandoned_ones_go(store: LocalStore) -> None:
    script = textwrap.dedent(
        """
        import os, sys
        from pathlib import Path
        from layerlock.store.local import LocalStore
        from layerlock.store.keep import Keep
        store = LocalStore(Path(sys.argv[1]))
        scratch = store.scratch(sys.argv[2])
        (scratch.__enter__() / "file").write_text("text")
        pin = store.pin(Keep(files=frozenset({sys.argv[3]})))
        pin.__enter__()
        print("ready", flush=True)
        if sys.argv[2] == "dies":
            os._exit(1)
        sys.stdin.read()
        """
    )
    mine, others = add_file(store, "mine"), add_file(store, "others")
    command = [sys.executable, "-c", script, str(store.root)]
    subprocess.run([*command, "dies", mine], stdout=subprocess.DEVNULL, check=False)
    with subprocess.Popen(
        [*command, "lives", others], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        freed = store.gc(Keep())
        (swept,) = (name for name in freed.entries if name.startswith("tmp/"))
        assert swept.startswith("tmp/dies-")
        assert store.file(others) is not None
        assert store.file(mine) is None
        (living,) = (path for path in store.layout.tmp.iterdir() if path.name.startswith("lives-"))
        assert (living / "file").read_text() == "text"
        process.communicate(b"")
    store.gc(Keep())
    assert names(store.layout.tmp) == names(store.layout.roots) == entries(store) == []


def test_what_a_pinned_build_adds_is_pinned(store: LocalStore) -> None:
    other = LocalStore(store.root)
    with store.pin(Keep()) as pin:
        tree = add_tree(store, "new")
        file = add_file(store, "new")
        store.register(realisation(tree.sri))
        later = add_file(other, "later")
        pin.add(Keep(files=frozenset({later})))
        add_file(other, "not pinned")
        freed = other.gc(Keep())
        assert [name.partition("-")[2] for name in freed.entries] == ["not pinned".replace(" ", "_")]
        assert store.tree(tree.sri) is not None
        assert store.file(file) is not None
        assert store.planned(PLANNED) is not None
    assert len(other.gc(Keep()).entries) == 5
    assert entries(store) == []


def test_something_found_again_is_pinned_too(store: LocalStore) -> None:
    file, tree = add_file(store, "old"), add_tree(store, "old")
    with store.pin(Keep()):
        assert add_file(store, "old") == file
        assert add_tree(store, "old") == tree
        assert LocalStore(store.root).gc(Keep()).entries == ()


def test_builds_and_collections_at_once(store: LocalStore) -> None:
    errors: list[BaseException] = []
    over = threading.Event()

    def build(number: int) -> None:
        mine = LocalStore(store.root)
        try:
            with mine.pin(Keep()):
                for turn in range(15):
                    tree = add_tree(mine, f"{number} {turn}")
                    file = add_file(mine, f"shared {turn}")
                    assert mine.tree(tree.sri) is not None
                    assert mine.file(file) is not None
        except BaseException as error:  # handed to the test
            errors.append(error)

    def collect() -> None:
        mine = LocalStore(store.root)
        try:
            while not over.is_set():
                mine.gc(Keep())
        except BaseException as error:  # handed to the test
            errors.append(error)

    builders = [threading.Thread(target=build, args=(number,)) for number in range(3)]
    collector = threading.Thread(target=collect)
    for thread in (*builders, collector):
        thread.start()
    for thread in builders:
        thread.join(100)
    over.set()
    collector.join(100)
    assert errors == []
    assert store.verify(silent) == ()


def test_a_flipped_bit_is_found(store: LocalStore) -> None:
    file, tree = add_file(store, "file"), add_tree(store, "tree")
    assert store.verify(silent) == ()
    stored = store.file(file)
    assert stored is not None
    for path, restore in ((stored, "file"), (tree.path / "sub" / "file", "tree")):
        path.chmod(0o644)
        path.write_text(restore[:-1] + "f" if restore[-1] != "f" else "x")
        os.utime(path, (1, 1))
        path.chmod(0o444)
    events: list[Event] = []
    found = store.verify(events.append)
    assert [(damage.path, "sha256" in damage.problem) for damage in found] == [
        (stored, True),
        (tree.path, True),
    ]
    assert [event.name for event in events if isinstance(event, Noted)] == [stored.name, tree.path.name]


def test_what_a_nar_does_not_see_is_checked_too(store: LocalStore) -> None:
    tree = add_tree(store, "tree")
    (tree.path / "sub" / "file").chmod(0o664)
    os.utime(tree.path / "run", (5, 5))
    problems = {damage.problem for damage in store.verify(silent)}
    assert problems == {f"{tree.path}/sub/file has mode 664", f"{tree.path}/run was modified"}


def used_apart(store: LocalStore, sha256: str) -> None:
    """Use a file, at a time that the file system's clock tells from the one before."""
    time.sleep(0.02)
    assert store.file(sha256) is not None


def test_what_was_used_longest_ago_goes_first(store: LocalStore) -> None:
    files = [add_file(store, text * 1000) for text in "abcd"]
    for index in (2, 0, 3, 1):
        used_apart(store, files[index])
    held = store.gc(Keep(), most=1 << 30).held
    assert held == 4000
    keep = Keep(files=frozenset({files[2]}))
    assert store.gc(keep, most=held).entries == ()
    shown = store.gc(keep, most=held - 1500, dry_run=True)
    assert [name[6:70] for name in shown.entries] == sorted([files[0], files[3]])
    assert store.gc(keep, most=held - 1500) == shown
    assert store.gc(keep, most=0).held == 1000
    assert store.file(files[2]) is not None


def test_a_tree_goes_with_its_records(store: LocalStore) -> None:
    tree, other = add_tree(store, "one"), add_tree(store, "two")
    store.register(realisation(tree.sri))
    store.register(realisation(other.sri, "c" * 64, "d" * 64))
    time.sleep(0.02)
    assert store.tree(tree.sri) is not None
    freed = store.gc(Keep(), most=store.gc(Keep(), dry_run=True).bytes - 1)
    assert store.tree(other.sri) is None
    assert store.planned("c" * 64) is store.realisation("d" * 64) is None
    assert store.planned(PLANNED) is not None
    assert len(freed.entries) == 3


def test_what_keeps_is_named(store: LocalStore, tmp_path: Path) -> None:
    file, tree = add_file(store, "file"), add_tree(store, "tree")
    store.add_root(tmp_path, "cv", Keep(files=frozenset({file})))
    with store.pin(Keep(trees=frozenset({tree.sri}))):
        freed = store.gc(Keep(), named={"somebody": Keep(files=frozenset({file}))}, dry_run=True)
    rows = {each.holder: (each.entries, each.bytes) for each in freed.kept}
    assert rows == {
        "somebody": (1, 4),
        f"the lock of cv in {tmp_path}": (1, 4),
        f"a running build (process {os.getpid()})": (1, freed.held - 4),
    }


def test_a_root_of_another_checkout_is_damaged(store: LocalStore, tmp_path: Path) -> None:
    """A bit that flips in the name of a checkout must not make its root look like that of one that is gone."""
    store.add_root(tmp_path, "cv", Keep())
    (root,) = store.layout.roots.iterdir()
    root.write_text(root.read_text().replace(str(tmp_path), f"{tmp_path}x"))
    with pytest.raises(StoreError, match="is damaged"):
        store.gc(Keep())
    assert [damage.kind for damage in store.verify(silent)] == ["root"]
