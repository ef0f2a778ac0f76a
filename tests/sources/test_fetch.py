"""From pins to the store, over real HTTP and git."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.errors import FetchError, HashMismatch, Offline, StaleLock
from layerlock.events import Event, FetchFinished, FetchRetried, silent
from layerlock.io.nar import nar_sha256
from layerlock.model.lock import LockedFile, LockedGit, LockedPath
from layerlock.model.ports import SourceStore
from layerlock.sources.fetch import Reach, fetch
from tests.sources.conftest import Served
from tests.sources.repositories import new_repository
from tests.sources.web import Web

BYTES = b"the bytes of a source\n" * 1000
SHA256 = hashlib.sha256(BYTES).hexdigest()
Make = Callable[..., Reach]


def pinned(*urls: str, data: bytes = BYTES) -> LockedFile:
    return LockedFile(
        kind="file", key="pkg/src", urls=urls, sha256=hashlib.sha256(data).hexdigest(), size=len(data)
    )


def test_a_file_arrives_once(web: Web, store: SourceStore, reach: Make, events: list[Event]) -> None:
    locked = pinned(web.put("a/x-1.0.tar.gz", BYTES))
    place = fetch(locked, store, reach(), events.append)
    assert place.read_bytes() == BYTES
    assert place.name.endswith("x-1.0.tar.gz")
    assert any(isinstance(event, FetchFinished) for event in events)
    assert fetch(locked, store, reach(offline=True), silent) == place
    assert web.asked == ["/a/x-1.0.tar.gz"]


def test_offline_what_is_missing_is_named(web: Web, store: SourceStore, reach: Make) -> None:
    with pytest.raises(Offline, match="pkg/src is not in the store"):
        fetch(pinned(web.put("x", BYTES)), store, reach(offline=True), silent)
    assert web.asked == []


def test_the_second_address_is_tried(web: Web, store: SourceStore, reach: Make, events: list[Event]) -> None:
    locked = pinned(f"{web.url}/gone", web.put("x", BYTES))
    assert fetch(locked, store, reach(), events.append).read_bytes() == BYTES
    retried = [event for event in events if isinstance(event, FetchRetried) and event.url.endswith("/gone")]
    assert "404" in retried[-1].reason


def test_a_file_of_an_index_arrives(web: Web, store: SourceStore, reach: Make) -> None:
    web.project("one", {"one-1.0.tar.gz": BYTES})
    locked = pinned(f"{web.url}/gone", "pypi:one/one-1.0.tar.gz")
    assert fetch(locked, store, reach(f"{web.url}/simple"), silent).read_bytes() == BYTES


def test_a_local_index_needs_no_server(web: Web, store: SourceStore, reach: Make) -> None:
    web.project("one", {"one-1.0.tar.gz": BYTES})
    local = reach((web.folder / "simple").as_uri())
    assert fetch(pinned("pypi:one/one-1.0.tar.gz"), store, local, silent).read_bytes() == BYTES
    assert web.asked == []


def test_why_no_address_had_it_is_said_without_the_index_address(
    web: Web, store: SourceStore, reach: Make
) -> None:
    web.project("one", {"one-1.0.tar.gz": BYTES})
    (web.folder / "files/one-1.0.tar.gz").unlink()
    with pytest.raises(FetchError) as caught:
        fetch(pinned("pypi:one/one-1.0.tar.gz"), store, reach(f"{web.url}/simple"), silent)
    assert "pypi:one/one-1.0.tar.gz" in caught.value.message
    assert "404" in caught.value.message
    assert "127.0.0.1" not in str(caught.value) + caught.value.hint
    assert caught.value.hint


def test_other_bytes_are_named_by_both_hashes(web: Web, store: SourceStore, reach: Make) -> None:
    other = b"other bytes"
    web.project("one", {"one-1.0.tar.gz": other}, stated={"one-1.0.tar.gz": ""})
    for url in (web.put("x", other), "pypi:one/one-1.0.tar.gz"):
        with pytest.raises(HashMismatch) as caught:
            fetch(replace(pinned(url), size=len(other)), store, reach(f"{web.url}/simple"), silent)
        assert SHA256 in caught.value.message
        assert hashlib.sha256(other).hexdigest() in caught.value.message
        if url.startswith("pypi:"):
            assert "127.0.0.1" not in caught.value.message
    assert store.file(SHA256) is None


def test_an_index_that_gives_other_bytes_than_it_states(web: Web, store: SourceStore, reach: Make) -> None:
    web.project("one", {"one-1.0.tar.gz": BYTES})
    web.put("files/one-1.0.tar.gz", b"x" * len(BYTES))
    with pytest.raises(HashMismatch) as caught:
        fetch(pinned("pypi:one/one-1.0.tar.gz"), store, reach(f"{web.url}/simple"), silent)
    assert SHA256 in caught.value.message
    assert "pypi:one/one-1.0.tar.gz" in caught.value.message
    assert "127.0.0.1" not in str(caught.value)


def test_an_index_that_states_another_hash(web: Web, store: SourceStore, reach: Make) -> None:
    web.project("one", {"one-1.0.tar.gz": b"other"})
    with pytest.raises(HashMismatch) as caught:
        fetch(pinned("pypi:one/one-1.0.tar.gz"), store, reach(f"{web.url}/simple"), silent)
    assert hashlib.sha256(b"other").hexdigest() in caught.value.message
    assert web.asked == ["/simple/one/"]


def test_a_bad_address_does_not_hide_a_good_one(web: Web, store: SourceStore, reach: Make) -> None:
    locked = pinned(web.put("bad", b"x" * len(BYTES)), web.put("good", BYTES))
    assert fetch(locked, store, reach(), silent).read_bytes() == BYTES


def test_many_threads_at_once(web: Web, store: SourceStore, reach: Make) -> None:
    means = reach()
    many = [pinned(web.put(f"x{n}", BYTES + bytes([n])), data=BYTES + bytes([n])) for n in range(8)]
    barrier = threading.Barrier(16)

    def one(locked: LockedFile) -> Path:
        barrier.wait(timeout=30)
        return fetch(locked, store, means, silent)

    with ThreadPoolExecutor(max_workers=16) as pool:
        places = list(pool.map(one, many * 2))
    assert places[:8] == places[8:]
    assert sorted(set(web.asked)) == sorted(web.asked)


def test_a_checkout_arrives_once(served: Served, store: SourceStore, reach: Make, scratch: Path) -> None:
    repository = new_repository(served.folder, "a")
    commit = repository.commit({"x": "y\n"})
    expected = scratch / "expected"
    expected.mkdir()
    (expected / "x").write_text("y\n", encoding="utf-8")
    locked = LockedGit(
        kind="git", key="pkg/src", urls=(f"{served.url}/a.git",), commit=commit, tree=nar_sha256(expected)
    )
    place = fetch(locked, store, reach(), silent)
    assert nar_sha256(place) == locked.tree
    assert fetch(locked, store, reach(offline=True), silent) == place
    wrong = replace(locked, tree="sha256-" + "A" * 43 + "=")
    with pytest.raises(Offline):
        fetch(wrong, store, reach(offline=True), silent)
    with pytest.raises(HashMismatch) as caught:
        fetch(wrong, store, reach(), silent)
    assert locked.tree in caught.value.message
    assert wrong.tree in caught.value.message


def test_a_folder_of_the_repository(store: SourceStore, reach: Make) -> None:
    means = reach()
    folder = means.repository / "code"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "app.py").write_text("x = 1\n", encoding="utf-8")
    expected = nar_sha256_without(folder, "__pycache__")
    locked = LockedPath(kind="path", key="pkg/src", path="code", tree=expected)
    place = fetch(locked, store, means, silent)
    assert [path.name for path in place.iterdir()] == ["app.py"]
    (folder / "__pycache__/app.pyc").write_bytes(b"x")
    assert fetch(locked, store, means, silent) == place
    (folder / "app.py").write_text("x = 2\n", encoding="utf-8")
    with pytest.raises(StaleLock, match="the folder `code` has the tree hash"):
        fetch(locked, store, means, silent)


def nar_sha256_without(folder: Path, name: str) -> str:
    """Hash a folder as if an empty folder in it were not there."""
    (folder / name).rmdir()
    found = nar_sha256(folder)
    (folder / name).mkdir()
    return found
