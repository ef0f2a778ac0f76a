"""The store: whole entries or none, whoever is killed, however full the disk, and however many use it at once."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import stat
import struct
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import pytest

from layerlock.errors import DiskFull, FetchError, HashMismatch, HostileOutput, StoreError
from layerlock.events import silent
from layerlock.io.nar import nar_chunks, nar_digest, nar_sha256
from layerlock.io.treewriter import Caps
from layerlock.io.unnar import unpack_nar
from layerlock.model.derivation import Realisation
from layerlock.model.digest import unsri
from layerlock.store.keep import Keep
from layerlock.store.local import LocalStore

BODY = b"body" * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
PLANNED, RESOLVED = "a" * 64, "b" * 64


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def fill(path: Path) -> None:
    path.write_bytes(BODY)


def untouched(path: Path) -> None:
    raise AssertionError(f"{path} was to be filled again")


def make_tree(folder: Path, text: str = "text") -> Path:
    tree = folder / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "sub" / "file").write_text(text)
    (tree / "run").write_text("#!/bin/sh\n")
    (tree / "run").chmod(0o6755)
    (tree / "twin").hardlink_to(tree / "run")
    (tree / "link").symlink_to("sub/file")
    (tree / "sub").chmod(0o700)
    return tree


DEFAULT_LIST = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, permissions, who)
    for tag, permissions, who in (
        (0x01, 7, 0xFFFFFFFF),  # the owner, a user, the group, the mask, others
        (0x02, 7, 1000),
        (0x04, 5, 0xFFFFFFFF),
        (0x10, 7, 0xFFFFFFFF),
        (0x20, 5, 0xFFFFFFFF),
    )
)


def test_a_tree_that_was_just_unpacked_keeps_no_access_list_of_its_folder(
    store: LocalStore, tmp_path: Path
) -> None:
    """It is neither normalised nor hashed again, but where a folder of the store hands down an access list."""
    nar = list(nar_chunks(make_tree(tmp_path)))
    with store.scratch("list") as folder:
        try:
            os.setxattr(folder, "system.posix_acl_default", DEFAULT_LIST)
        except OSError as error:
            pytest.skip(f"this file system has no access lists: {error}")
        tree = folder / "tree"
        tree.mkdir()
        digest = unpack_nar(iter(map(bytes, nar)), tree, what="it", caps=Caps(), mtime=1)
        assert os.listxattr(tree / "run")
        added = store.add_tree(tree, "list", digest.sri, unpacked=digest)
    places = [added.path, *(path for path in added.path.rglob("*") if not path.is_symlink())]
    assert {name for path in places for name in os.listxattr(path)} <= {"security.selinux"}
    assert store.verify(silent) == ()


def test_a_tree_that_was_just_unpacked_is_the_expected_one_or_not_kept(
    store: LocalStore, tmp_path: Path
) -> None:
    nar = list(nar_chunks(make_tree(tmp_path)))
    with store.scratch("other") as folder:
        tree = folder / "tree"
        tree.mkdir()
        digest = unpack_nar(iter(map(bytes, nar)), tree, what="it", caps=Caps(), mtime=1)
        other = "sha256-" + "A" * 43 + "="
        with pytest.raises(HashMismatch):
            store.add_tree(tree, "other", other, unpacked=digest)
        with store.filling():
            added = store.add_tree(tree, "right", digest.sri, unpacked=digest, many=True)
    assert nar_sha256(added.path) == digest.sri
    assert store.tree(other) is None
    assert store.verify(silent) == ()


def realisation(output: str, planned: str = PLANNED, resolved: str = RESOLVED) -> Realisation:
    return Realisation(name="numpy", planned=planned, resolved=resolved, output=output, size=42)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def leftovers(store: LocalStore) -> list[str]:
    return names(store.layout.tmp)


def test_looking_makes_nothing(store: LocalStore) -> None:
    assert store.file(SHA256) is None
    assert store.tree("sha256-d6xi4mKdjkX2JFicDIv5niSzpyI0m/Hnm8GGAIU04kY=") is None
    assert store.planned(PLANNED) is store.realisation(RESOLVED) is None
    assert not store.root.exists()


def test_a_file_is_filled_once(store: LocalStore) -> None:
    path = store.add_file(SHA256, "a thing_1.0~b+c.tar.gz", fill)
    assert path == store.root / "files" / f"{SHA256}-a_thing_1.0~b+c.tar.gz"
    assert path.read_bytes() == BODY
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime) == (0o444, 1)
    assert store.add_file(SHA256, "other", untouched) == path == store.file(SHA256)
    assert LocalStore(store.root).file(SHA256) == path
    assert leftovers(store) == []


def test_a_hash_that_is_none_never_becomes_a_path(store: LocalStore) -> None:
    for text in ("../../etc/passwd", "A" * 64, "a" * 63, ""):
        with pytest.raises(ValueError, match="not a sha256"):
            store.file(text)
    with pytest.raises(StoreError, match="no tree can have"):
        store.tree("sha256-../x")


def test_wrong_bytes_are_named_and_not_kept(store: LocalStore) -> None:
    with pytest.raises(HashMismatch) as caught:
        store.add_file("0" * 64, "thing", fill)
    assert "0" * 64 in caught.value.message
    assert SHA256 in caught.value.message
    assert store.file("0" * 64) is None
    assert leftovers(store) == names(store.layout.files) == []


def test_an_error_of_filling_passes_and_leaves_nothing(store: LocalStore) -> None:
    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise FetchError("no address")

    with pytest.raises(FetchError, match="no address"):
        store.add_file(SHA256, "thing", fail)
    with pytest.raises(StoreError, match="could not store thing: No such file"):
        store.add_file(SHA256, "thing", lambda _: None)
    assert leftovers(store) == names(store.layout.files) == []


def test_a_tree_is_normalised_hashed_and_moved(store: LocalStore) -> None:
    with store.scratch("build") as scratch:
        tree = make_tree(scratch)
        before = nar_digest(tree)
        with suppress(OSError):  # not every file system knows extended attributes
            os.setxattr(tree / "run", "user.note", b"x")
        stored = store.add_tree(tree, "numpy")
        assert not tree.exists()
    assert (stored.sri, stored.size) == (before.sri, before.size)
    assert stored.path == store.root / "trees" / f"{unsri(stored.sri)}-numpy"
    assert nar_sha256(stored.path) == stored.sri
    for path in (stored.path, *stored.path.rglob("*")):
        status = path.lstat()
        expected = 0o555 if path.is_dir() or path.name in ("run", "twin") else 0o444
        assert status.st_mtime == 1, path
        if not path.is_symlink():
            assert stat.S_IMODE(status.st_mode) == expected, path
            assert os.listxattr(path) == []
    assert (stored.path / "run").stat().st_nlink == 1
    assert store.tree(stored.sri) == store.held_tree(stored.sri) == stored.path
    assert store.verify(silent) == ()


def test_an_equal_tree_is_dropped(store: LocalStore) -> None:
    with store.scratch("one") as one, store.scratch("two") as two:
        first = store.add_tree(make_tree(one), "first")
        second = store.add_tree(make_tree(two), "second")
        assert second == first
        assert list(two.iterdir()) == []
    assert len(names(store.layout.trees)) == 1


@pytest.mark.parametrize("kind", ["tree", "file", "record"])
def test_one_of_many_is_on_the_disk_before_it_is_an_entry(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A fault of the disk and the moment of a sync cannot be had otherwise.
    broken = True
    entries: list[str] = []

    def sync(_: Path) -> None:
        entries.extend(standing())
        if broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def add() -> None:
        match kind:
            case "tree":
                with store.scratch("one") as scratch:
                    store.add_tree(make_tree(scratch), "numpy", many=True)
            case "file":
                store.add_file(SHA256, "thing", fill, many=True)
            case _:
                store.register(realisation("sha256-d6xi4mKdjkX2JFicDIv5niSzpyI0m/Hnm8GGAIU04kY="), many=True)

    monkeypatch.setattr("layerlock.io.groupsync.sync_file_system", sync)
    store = LocalStore(tmp_path / "store")
    layout = store.layout

    def standing() -> list[str]:
        return [
            n for f in (layout.trees, layout.files, layout.realisations, layout.planned) for n in names(f)
        ]

    with pytest.raises(StoreError, match="Input/output error"):
        add()
    assert standing() == leftovers(store) == []
    broken = False
    add()
    assert entries == [], "something was an entry before it was synced"
    assert len(standing()) == (2 if kind == "record" else 1)
    assert leftovers(store) == []
    store.settle()
    assert store.verify(silent) == ()


def test_a_tree_with_a_pipe_is_refused(store: LocalStore) -> None:
    with store.scratch("build") as scratch:
        os.mkfifo(make_tree(scratch) / "pipe")
        with pytest.raises(HostileOutput, match="pipe"):
            store.add_tree(scratch / "tree", "numpy")
    assert names(store.layout.trees) == leftovers(store) == []


def test_a_missing_tree_says_what_to_do(store: LocalStore) -> None:
    with pytest.raises(StoreError, match="went missing") as caught:
        store.held_tree("sha256-d6xi4mKdjkX2JFicDIv5niSzpyI0m/Hnm8GGAIU04kY=")
    assert "build again" in caught.value.hint


def test_a_tree_whose_adder_died_before_closing_it_is_closed(store: LocalStore) -> None:
    with store.scratch("build") as scratch:
        stored = store.add_tree(make_tree(scratch), "numpy")
    stored.path.chmod(0o755)
    assert LocalStore(store.root).tree(stored.sri) == stored.path
    assert stat.S_IMODE(stored.path.stat().st_mode) == 0o555


def test_realisations_are_found_by_both_hashes(store: LocalStore) -> None:
    made = realisation("sha256-d6xi4mKdjkX2JFicDIv5niSzpyI0m/Hnm8GGAIU04kY=")
    store.register(made)
    assert LocalStore(store.root).realisation(RESOLVED) == made == store.planned(PLANNED)
    assert store.realisation(PLANNED) is None


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"name": 1}', b"\xff"])
def test_a_damaged_record_is_an_error_and_not_an_answer(store: LocalStore, data: bytes) -> None:
    store.register(realisation("sha256-d6xi4mKdjkX2JFicDIv5niSzpyI0m/Hnm8GGAIU04kY="))
    record = store.layout.realisations / f"{RESOLVED}.json"
    record.write_bytes(data)
    with pytest.raises(StoreError, match="is damaged"):
        store.realisation(RESOLVED)
    assert [damage.path for damage in store.verify(silent)] == [record]


def test_a_record_under_another_name_is_damaged(store: LocalStore) -> None:
    store.register(realisation("sha256-d6xi4mKdjkX2JFicDIv5niSzpyI0m/Hnm8GGAIU04kY="))
    (store.layout.planned / f"{PLANNED}.json").rename(store.layout.planned / f"{'c' * 64}.json")
    with pytest.raises(StoreError, match="another build"):
        store.planned("c" * 64)


def test_scratches_are_removed_unless_kept(store: LocalStore) -> None:
    with store.scratch("odd name/..") as gone:
        (gone / "closed").mkdir(mode=0o555)
        assert gone.parent == store.layout.tmp
    scratch = store.scratch("kept")
    with scratch as kept:
        scratch.keep()
    assert not gone.exists()
    assert kept.is_dir()
    assert leftovers(store) == [kept.name]


def test_a_scratch_may_be_removed_aside(store: LocalStore) -> None:
    with store.scratch("build", aside=True) as scratch:
        (scratch / "objects").mkdir()
        (scratch / "objects" / "a.o").write_bytes(b"a")
    store.tidied()
    assert not list(store.layout.tmp.iterdir())  # its lock is gone too


def test_a_scratch_of_something_that_failed_is_removed_at_once(store: LocalStore) -> None:
    with pytest.raises(ValueError, match="odd"), store.scratch("build", aside=True) as scratch:
        (scratch / "a.o").write_bytes(b"a")
        raise ValueError("odd")
    assert not list(store.layout.tmp.iterdir())


def test_a_tree_that_cannot_be_synced_is_not_stored(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:

    def failing(path: Path) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr("layerlock.store.local.fsync_tree", failing)  # no disk fails on demand
    with store.scratch("build") as scratch:
        (scratch / "tree").mkdir()
        with pytest.raises(StoreError, match="Input/output error"):
            store.add_tree(scratch / "tree", "tree")
    assert not list(store.layout.trees.iterdir())


def test_a_failed_build_is_kept_until_the_next(store: LocalStore) -> None:
    for text in ("first", "second"):
        with store.scratch("numpy") as scratch:
            make_tree(scratch, text)
            place = store.keep_failed(scratch, "numpy")
    assert place == store.root / "failed" / "numpy"
    assert (place / "tree" / "sub" / "file").read_text() == "second"
    assert leftovers(store) == []
    with store.scratch("x") as scratch, pytest.raises(ValueError, match="not a name"):
        store.keep_failed(scratch, "../x")


def _add_both(root: Path, number: int, filled: Path) -> None:
    store = LocalStore(root)

    def once(path: Path) -> None:
        with filled.open("ab", buffering=0) as file:
            file.write(b"x")
        time.sleep(0.2)  # long enough for the others to come and wait
        fill(path)

    store.add_file(SHA256, "thing", once)
    for text in map(str, range(10)):
        with store.scratch("build") as scratch:
            stored = store.add_tree(make_tree(scratch, text), f"by-{number}")
            store.register(realisation(stored.sri, hashlib.sha256(text.encode()).hexdigest()))


def test_processes_share_a_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    filled = tmp_path / "filled"
    workers = [context.Process(target=_add_both, args=(tmp_path / "store", n, filled)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    store = LocalStore(tmp_path / "store")
    assert filled.read_bytes() == b"x"  # fetched once, by whoever came first
    assert len(names(store.layout.trees)) == 10
    assert len(names(store.layout.planned)) == 10
    assert leftovers(store) == []
    assert store.verify(silent) == ()


KILLED = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from layerlock.store.local import LocalStore
    from tests.store.test_local import BODY, SHA256, make_tree, realisation
    store = LocalStore(Path(sys.argv[1]))
    print("go", flush=True)
    for number in range(10_000):
        with store.scratch("build") as scratch:
            stored = store.add_tree(make_tree(scratch, str(number)), "numpy")
            store.register(realisation(stored.sri, f"{number:064x}", f"{number:064x}"))
        body = BODY + str(number).encode()
        import hashlib
        store.add_file(hashlib.sha256(body).hexdigest(), "thing", lambda path: path.write_bytes(body) and None)
    """
)


def test_nothing_partial_is_left_by_who_is_killed(tmp_path: Path) -> None:
    chance = random.Random(11)
    store = LocalStore(tmp_path / "store")
    added = 0
    for _ in range(12):
        command = [sys.executable, "-c", KILLED, str(store.root)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]) as worker:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"go\n"
            time.sleep(chance.uniform(0.02, 0.4))
            worker.send_signal(signal.SIGKILL)
        for path in store.layout.trees.iterdir():
            store.tree(nar_sha256(path))  # closes the one tree that may still be open
        assert store.verify(silent) == ()
        for path in store.layout.planned.iterdir():
            made = store.planned(path.stem)
            assert made is not None
            assert store.tree(made.output) is not None
            added += 1
    assert added > 0
    store.gc(Keep())
    assert leftovers(store) == []


def test_a_full_disk_leaves_nothing_half_written(store: LocalStore) -> None:
    script = textwrap.dedent(
        """
        import hashlib, resource, sys
        from pathlib import Path
        from layerlock.errors import DiskFull
        from layerlock.store.local import LocalStore
        from tests.store.test_local import make_tree, realisation
        store = LocalStore(Path(sys.argv[1]))
        large = bytes(1_000_000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            store.add_file(hashlib.sha256(large).hexdigest(), "thing", lambda path: path.write_bytes(large) and None)
        except DiskFull as error:
            assert error.exit_code == 23 and "could not store thing" in error.message, error
        else:
            raise AssertionError("a file of a megabyte was stored")
        """
    )
    subprocess.run([sys.executable, "-c", script, str(store.root)], check=True, cwd=Path(__file__).parents[2])
    assert leftovers(store) == names(store.layout.files) == []


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk takes root"
)
def test_a_disk_that_fills_up_at_any_point(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        store = LocalStore(disk / "store")
        full = 0
        for number in range(64):
            filler = disk / "filler"
            kept = set(names(store.layout.trees))
            try:
                with store.scratch("build") as scratch:
                    tree = make_tree(scratch, str(number))
                    # From no room at all to a few pages: each step of adding meets the full disk in its turn.
                    free = os.statvfs(disk).f_bavail * 4096
                    filler.write_bytes(bytes(max(0, free - number % 16 * 4096)))
                    stored = store.add_tree(tree, "numpy")
                    store.register(realisation(stored.sri, f"{number:064x}", f"{number:064x}"))
            except DiskFull:
                full += 1
            filler.unlink()
            assert kept <= set(names(store.layout.trees))
            assert leftovers(store) == []
            assert store.verify(silent) == ()
            if number % 16 == 15:
                store.gc(Keep())
        assert 0 < full < 64
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_no_op_build_costs_next_to_nothing(store: LocalStore) -> None:
    outputs = []
    for number in range(40):
        with store.scratch("build") as scratch:
            outputs.append(store.add_tree(make_tree(scratch, str(number)), "numpy").sri)
            store.register(realisation(outputs[-1], f"{number:064x}", f"{number:064x}"))
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        fresh = LocalStore(store.root)
        for number, output in enumerate(outputs):
            assert fresh.planned(f"{number:064x}") is not None
            assert fresh.realisation(f"{number:064x}") is not None
            assert fresh.tree(output) is not None
        best = min(best, time.perf_counter() - started)
    assert best < 0.05


def test_the_store_loads_nothing_of_the_network() -> None:
    script = (
        "import sys, layerlock.store.local\n"
        "heavy = {'requests', 'urllib3', 'ctypes', 'tarfile', 'zipfile', 'concurrent.futures'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
