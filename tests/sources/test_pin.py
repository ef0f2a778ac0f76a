"""Pins: kept, made and refused."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.errors import FetchError, HashMismatch, InvalidRecipe, Offline
from layerlock.events import Event, Noted, Warned, silent
from layerlock.io.nar import nar_sha256
from layerlock.model.lock import LockedFile, LockedGit, LockedPath
from layerlock.model.ports import SourceStore
from layerlock.model.recipe import Deb, GitSource, PathSource, TarballSource, WheelSource
from layerlock.sources.fetch import Reach
from layerlock.sources.pin import pin
from tests.sources.conftest import Served
from tests.sources.repositories import Repository, git, new_repository
from tests.sources.web import Web

BYTES = b"the bytes of a source\n"
SHA256 = hashlib.sha256(BYTES).hexdigest()
Make = Callable[..., Reach]


def tarball(*urls: str, data: bytes = BYTES) -> TarballSource:
    return TarballSource(kind="tarball", urls=urls, sha256=hashlib.sha256(data).hexdigest())


def test_a_new_file_is_measured(web: Web, store: SourceStore, reach: Make) -> None:
    url = web.put("x.tar.gz", BYTES)
    made = pin("pkg/src", tarball(url), None, store=store, reach=reach(), emit=silent)
    assert made == LockedFile(kind="file", key="pkg/src", urls=(url,), sha256=SHA256, size=len(BYTES))
    assert store.file(SHA256) is not None


def test_a_pin_that_fits_is_kept_without_asking_anybody(store: SourceStore, reach: Make) -> None:
    source = tarball("https://host.test/x.tar.gz", "pypi:x/x.tar.gz")
    previous = LockedFile(kind="file", key="pkg/src", urls=source.urls, sha256=SHA256, size=7)
    means = reach(offline=True)
    assert pin("pkg/src", source, previous, store=store, reach=means, emit=silent) == previous
    moved = tarball("https://elsewhere.test/x.tar.gz")
    kept = pin("pkg/src", moved, previous, store=store, reach=means, emit=silent)
    assert kept == replace(previous, urls=moved.urls)


def test_the_recipes_hash_is_verified(web: Web, store: SourceStore, reach: Make) -> None:
    url = web.put("x.tar.gz", b"others")
    with pytest.raises(HashMismatch) as caught:
        pin("pkg/src", tarball(url), None, store=store, reach=reach(), emit=silent)
    assert SHA256 in caught.value.message
    assert hashlib.sha256(b"others").hexdigest() in caught.value.message


def test_bytes_that_change_under_an_unchanged_address(web: Web, store: SourceStore, reach: Make) -> None:
    url = web.put("x.tar.gz", b"new bytes")
    previous = LockedFile(kind="file", key="pkg/src", urls=(url,), sha256=SHA256, size=len(BYTES))
    source = tarball("https://host.test/added", url, data=b"new bytes")
    with pytest.raises(HashMismatch) as caught:
        pin("pkg/src", source, previous, store=store, reach=reach(), emit=silent)
    assert url in caught.value.message
    assert SHA256 in caught.value.message
    assert source.sha256 in caught.value.message
    source = tarball(url, data=b"new bytes")
    made = pin("pkg/src", source, previous, store=store, reach=reach(), emit=silent, upgrade=True)
    assert isinstance(made, LockedFile)
    assert made.sha256 == source.sha256


def test_offline_a_new_source_is_refused(store: SourceStore, reach: Make) -> None:
    with pytest.raises(Offline):
        pin("pkg/src", tarball("https://h.test/x"), None, store=store, reach=reach(offline=True), emit=silent)


def test_recipes_that_do_not_fit(store: SourceStore, reach: Make) -> None:
    means = reach()
    wrong: list[TarballSource | WheelSource | GitSource] = [
        tarball(),
        tarball("file:///etc/passwd"),
        WheelSource(kind="wheel", urls=("pypi:x/x-1.0.tar.gz",), sha256=SHA256),
        GitSource(kind="git", urls=(), commit="1" * 40),
        GitSource(kind="git", urls=("ext::sh -c x",), commit="1" * 40),
    ]
    for source in wrong:
        with pytest.raises(InvalidRecipe):
            pin("pkg/src", source, None, store=store, reach=means, emit=silent)


def test_a_debian_package_is_pinned_by_its_list(store: SourceStore, reach: Make) -> None:
    deb = Deb(name="bash", version="5", path="debian:debian/pool/b/bash_5.deb", sha256=SHA256, size=9)
    made = pin("env/bash", deb, None, store=store, reach=reach(offline=True), emit=silent)
    assert made == LockedFile(kind="file", key="env/bash", urls=(deb.path,), sha256=SHA256, size=9)


def test_a_folder_is_measured_each_time(store: SourceStore, reach: Make) -> None:
    means = reach()
    (means.repository / "code").mkdir()
    (means.repository / "code/app.py").write_text("x = 1\n", encoding="utf-8")
    source = PathSource(kind="path", path="code")
    first = pin("pkg/code", source, None, store=store, reach=means, emit=silent)
    assert isinstance(first, LockedPath)
    assert first.tree == nar_sha256(means.repository / "code")
    (means.repository / "code/app.py").write_text("x = 2\n", encoding="utf-8")
    second = pin("pkg/code", source, first, store=store, reach=means, emit=silent)
    assert isinstance(second, LockedPath)
    assert second.tree != first.tree
    with pytest.raises(InvalidRecipe, match="no folder `gone`"):
        pin("pkg/code", replace(source, path="gone"), None, store=store, reach=means, emit=silent)


@pytest.fixture
def repository(served: Served) -> Repository:
    made = new_repository(served.folder, "a")
    made.commit({"x": "1\n"})
    return made


def head(repository: Repository) -> str:
    return git("rev-parse", "HEAD", cwd=repository.work)


def checkout_of(
    served: Served, repository: Repository, *, branch: str | None = None, tag: str | None = None
) -> GitSource:
    url = f"{served.url}/a.git"
    return GitSource(kind="git", urls=(url,), commit=head(repository), branch=branch, tag=tag)


def test_a_checkout_without_a_stated_tree_hash_says_what_it_is(
    served: Served, repository: Repository, store: SourceStore, reach: Make, events: list[Event]
) -> None:
    source = checkout_of(served, repository)
    made = pin("pkg/src", source, None, store=store, reach=reach(), emit=events.append)
    assert isinstance(made, LockedGit)
    place = store.tree(made.tree)
    assert place is not None
    assert nar_sha256(place) == made.tree
    assert [made.tree in event.message for event in events if isinstance(event, Noted)] == [True]
    # Kept from now on, whoever answers.
    assert pin("pkg/src", source, made, store=store, reach=reach(offline=True), emit=silent) == made
    wrong = replace(source, tree="sha256-" + "A" * 43 + "=")
    with pytest.raises(HashMismatch) as caught:
        pin("pkg/src", wrong, made, store=store, reach=reach(), emit=silent)
    assert made.tree in caught.value.message


def test_a_commit_below_a_tag(
    served: Served, repository: Repository, store: SourceStore, reach: Make, events: list[Event]
) -> None:
    repository.tag("v1", annotated=True)
    source = checkout_of(served, repository, tag="v1")
    made = pin("pkg/src", source, None, store=store, reach=reach(), emit=silent)
    assert isinstance(made, LockedGit)
    assert made.ref == "refs/tags/v1"
    old = head(repository)
    new = repository.commit({"x": "2\n"})
    repository.tag("v1")
    with pytest.raises(HashMismatch) as caught:
        pin("pkg/src", source, None, store=store, reach=reach(), emit=silent)
    assert old in caught.value.message
    assert new in caught.value.message
    with pytest.raises(InvalidRecipe, match="no tag `v2`"):
        pin("pkg/src", replace(source, tag="v2"), None, store=store, reach=reach(), emit=silent)


def test_a_commit_on_a_branch(
    served: Served, repository: Repository, store: SourceStore, reach: Make
) -> None:
    source = checkout_of(served, repository, branch="main")
    repository.commit({"x": "2\n"})
    made = pin("pkg/src", source, None, store=store, reach=reach(), emit=silent)
    assert isinstance(made, LockedGit)
    assert (made.commit, made.ref) == (source.commit, "refs/heads/main")
    stray = repository.commit({"x": "3\n"}, branch="other")
    git(
        "push",
        "--quiet",
        "--force",
        str(repository.bare),
        f"{source.commit}:refs/heads/main",
        cwd=repository.work,
    )
    with pytest.raises(InvalidRecipe, match="is not on the branch `main`"):
        pin("pkg/src", replace(source, commit=stray), None, store=store, reach=reach(), emit=silent)
    with pytest.raises(InvalidRecipe, match="no branch `gone`"):
        pin("pkg/src", replace(source, branch="gone"), None, store=store, reach=reach(), emit=silent)


def test_an_upgrade_follows_the_branch(
    served: Served, repository: Repository, store: SourceStore, reach: Make, events: list[Event]
) -> None:
    source = checkout_of(served, repository, branch="main")
    first = pin("pkg/src", source, None, store=store, reach=reach(), emit=silent)
    tip = repository.commit({"x": "2\n"})
    assert pin("pkg/src", source, first, store=store, reach=reach(), emit=silent) == first
    moved = pin("pkg/src", source, first, store=store, reach=reach(), emit=events.append, upgrade=True)
    assert isinstance(moved, LockedGit)
    assert moved.commit == tip
    (noted,) = [event.message for event in events if isinstance(event, Noted)]
    assert tip in noted
    assert moved.tree in noted


def test_a_server_that_cannot_be_asked_is_no_reason_to_drop_a_stated_commit(
    served: Served,
    repository: Repository,
    store: SourceStore,
    reach: Make,
    tmp_path: Path,
    events: list[Event],
) -> None:
    source = replace(checkout_of(served, repository, branch="main"), urls=(f"{served.url}/gone.git",))
    with pytest.raises(FetchError):
        pin("pkg/src", source, None, store=store, reach=reach(), emit=events.append)
    assert any(isinstance(event, Warned) for event in events)
    made = pin("pkg/src", checkout_of(served, repository), None, store=store, reach=reach(), emit=silent)
    assert isinstance(made, LockedGit)
    known = replace(source, tree=made.tree)
    kept = pin("pkg/src", known, None, store=store, reach=reach(offline=True), emit=silent)
    assert isinstance(kept, LockedGit)
    assert kept.tree == made.tree
