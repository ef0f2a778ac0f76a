"""The folder that holds everything: kept by content, completed after a kill, and never believed unchecked."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlock.errors import HashMismatch, InvalidRecipe, LayerlockError, Offline, UsageError
from layerlock.events import silent
from layerlock.io.nar import nar_sha256
from layerlock.model.lock import LockedFile, LockedGit
from layerlock.reproduce.archive import Archive
from layerlock.reproduce.manifest import (
    ArchivedFile,
    ArchivedTree,
    Manifest,
    RepositoryFile,
    dump_manifest,
    parse_manifest,
)
from layerlock.store.local import LocalStore

DATA = b"a source"
SHA256 = hashlib.sha256(DATA).hexdigest()
PIN = LockedFile(kind="file", key="a/a", urls=("https://nowhere.invalid/a-1.tar.gz",), sha256=SHA256, size=8)


def fill(data: bytes) -> Callable[[Path], None]:
    """Make what writes some bytes to a place."""

    def write(place: Path) -> None:
        place.write_bytes(data)

    return write


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Make an archive with one file."""
    made = Archive(tmp_path / "archive")
    with made.writing():
        assert made.add_file(SHA256, fill(DATA))
    return made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a tree with everything that a NAR knows, and names that are odd."""
    root = tmp_path / "tree"
    (root / "empty").mkdir(parents=True)
    (root / "script").write_text("#!/bin/sh\n")
    (root / "script").chmod(0o755)
    long = root / ("n" * 120) / ("m" * 120)
    long.mkdir(parents=True)
    (long / "text").write_text("hello\n")
    (root / "link").symlink_to("script")
    Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe")).write_text("no UTF-8")
    return root


def git_pin(sri: str) -> LockedGit:
    """Pin a tree."""
    return LockedGit(kind="git", key="g/g", urls=("https://nowhere.invalid/g",), commit="0" * 40, tree=sri)


def manifest(archive: Archive, **parts: object) -> Manifest:
    """Make a manifest."""
    del archive
    return Manifest(version=1, layer="tiny", lock="1" * 64, **parts)  # type: ignore[arg-type]


def test_a_file_comes_back_verified(archive: Archive, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    path = archive.bring(PIN, store, silent)
    assert path.read_bytes() == DATA
    assert path.name.endswith("a-1.tar.gz")


def test_damage_is_refused_and_mended(archive: Archive, tmp_path: Path) -> None:
    place = archive.root / "files" / "sha256" / SHA256
    place.chmod(0o644)
    place.write_bytes(b"a sourcf")
    with pytest.raises(HashMismatch, match="is damaged") as caught:
        archive.bring(PIN, LocalStore(tmp_path / "store"), silent)
    assert "layerlock archive" in caught.value.hint
    with pytest.raises(HashMismatch):
        archive.read(SHA256, "a file")
    listed = manifest(archive, files=(ArchivedFile(sha256=SHA256, size=8, name="a", needed_by=("a/a",)),))
    (flaw,) = archive.flaws(listed)
    assert (flaw.path, flaw.missing) == (place, False)
    with archive.writing():
        assert archive.add_file(SHA256, fill(DATA))
        assert not archive.add_file(SHA256, fill(b"never asked"))
    assert list(archive.flaws(listed)) == []


def test_other_bytes_are_not_let_in(archive: Archive) -> None:
    with archive.writing(), pytest.raises(HashMismatch):
        archive.add_file("0" * 64, fill(DATA))
    assert [path.name for path in (archive.root / "files" / "sha256").iterdir()] == [SHA256]


def test_what_is_missing_is_named(archive: Archive, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    other = LockedFile(kind="file", key="b/b", urls=("pypi:b/b.whl",), sha256="0" * 64, size=1)
    with pytest.raises(Offline, match=f"b/b is not in the archive {archive.root}"):
        archive.bring(other, store, silent)
    with pytest.raises(Offline, match="g/g is not in the archive"):
        archive.bring(git_pin("sha256-" + "A" * 43 + "="), store, silent)
    listed = manifest(archive, repository=(RepositoryFile(path="recipes/a", sha256="0" * 64, size=1),))
    assert [flaw.missing for flaw in archive.flaws(listed)] == [True]


def test_a_tree_comes_back_with_its_hash(archive: Archive, tree: Path, tmp_path: Path) -> None:
    sri = nar_sha256(tree)
    with archive.writing():
        tar, written = archive.add_tree(sri, tree)
        assert written
        first = tar.read_bytes()
        assert archive.add_tree(sri, tree) == (tar, False)
    # The same bytes, whenever and wherever it is written.
    os.utime(tree / "script", (1, 1))
    tar.unlink()
    with archive.writing():
        archive.add_tree(sri, tree)
    assert tar.read_bytes() == first
    store = LocalStore(tmp_path / "store")
    path = archive.bring(git_pin(sri), store, silent)
    assert nar_sha256(path) == sri
    with tarfile.open(tar) as opened:
        assert {row.uid for row in opened} == {0}


def test_a_tree_that_is_damaged(archive: Archive, tree: Path, tmp_path: Path) -> None:
    sri = nar_sha256(tree)
    with archive.writing():
        tar, _ = archive.add_tree(sri, tree)
    data = bytearray(tar.read_bytes())
    data[data.index(b"hello")] ^= 1
    tar.chmod(0o644)
    listed = manifest(archive, trees=(ArchivedTree(tree=sri, sha256="0" * 64, size=1, needed_by=()),))
    for bad in (bytes(data), bytes(data[:700]), b"no tar at all" * 100):
        tar.write_bytes(bad)
        with pytest.raises(LayerlockError):
            archive.bring(git_pin(sri), LocalStore(tmp_path / "store"), silent)
        assert len(list(archive.flaws(listed))) == 1
    with archive.writing():
        assert archive.add_tree(sri, tree)[1]
    assert list(archive.flaws(listed)) == []


def test_what_a_killed_writer_left_is_removed(archive: Archive) -> None:
    left = archive.root / "tmp"
    left.mkdir()
    (left / SHA256).write_bytes(b"half")
    with archive.writing():
        assert list(left.iterdir()) == []
    assert not left.exists()


def test_manifests_are_read_strictly(archive: Archive) -> None:
    listed = manifest(archive, files=(ArchivedFile(sha256=SHA256, size=8, name="a", needed_by=("a/a",)),))
    data = dump_manifest(listed)
    assert parse_manifest(data, "m") == listed
    with archive.writing():
        path = archive.add_manifest(listed)
    assert archive.manifests() == (listed,)
    for text, says in (
        (data.replace(b'"version": 1', b'"version": 2'), "version 2"),
        (data.replace(b'"size": 8', b'"weight": 8'), "weight"),
        (b"[]", "no manifest"),
        (b"{", "not JSON"),
        (
            data.replace(
                b'"repository": []',
                b'"repository": [{"path": "../x", "sha256": "%s", "size": 1}]' % (b"0" * 64),
            ),
            "relative path",
        ),
    ):
        path.write_bytes(text)
        with pytest.raises(InvalidRecipe, match=says):
            archive.manifests()


def test_a_folder_that_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no archive"):
        Archive(tmp_path).manifests()
