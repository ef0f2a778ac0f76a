"""Sources as a build sees them."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from layerlock.errors import StoreError, UnsafeArchive, UsageError
from layerlock.io.nar import nar_sha256
from layerlock.model.derivation import SourceInput
from layerlock.sources.place import copy_tree, place


def source(unpack: str, strip: int = 0) -> SourceInput:
    return SourceInput(
        key="pkg/src", place="/build/src", identity="sha256:" + "0" * 64, unpack=unpack, strip=strip
    )


def tarball(path: Path, entries: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(data), 0o400, 12345
            archive.addfile(info, io.BytesIO(data))
    return path


def test_a_tarball_is_unpacked_writable_without_its_top_folder(tmp_path: Path) -> None:
    archive = tarball(tmp_path / "a.tar.gz", {"top-1.0/setup.py": b"x", "top-1.0/pkg/mod.py": b"y"})
    place(source("tar/1", strip=1), archive, tmp_path / "into")
    assert (tmp_path / "into/setup.py").read_bytes() == b"x"
    assert (tmp_path / "into/pkg/mod.py").read_bytes() == b"y"
    assert (tmp_path / "into/setup.py").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "into/setup.py").stat().st_uid == os.getuid()


def test_a_zip_is_unpacked(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("top/a.txt", "x")
    place(source("zip/1", strip=1), tmp_path / "a.zip", tmp_path / "into")
    assert (tmp_path / "into/a.txt").read_text(encoding="utf-8") == "x"


def test_a_tarball_that_leaves_its_folder_is_refused(tmp_path: Path) -> None:
    archive = tarball(tmp_path / "a.tar.gz", {"../outside": b"x"})
    with pytest.raises(UnsafeArchive):
        place(source("tar/1"), archive, tmp_path / "into")
    assert not (tmp_path / "outside").exists()


def test_a_tree_is_copied_writable_with_its_links_and_execute_bits(tmp_path: Path) -> None:
    stored = tmp_path / "stored"
    (stored / "sub").mkdir(parents=True)
    (stored / "sub/run").write_bytes(b"#!/bin/sh\n")
    (stored / "sub/run").chmod(0o555)
    (stored / "read").write_bytes(b"x")
    (stored / "read").chmod(0o444)
    (stored / "dangling").symlink_to("/nowhere")
    (stored / "sub").chmod(0o555)
    place(source("tree/1"), stored, tmp_path / "into")
    into = tmp_path / "into"
    assert nar_sha256(into) == nar_sha256(stored)
    assert (into / "read").stat().st_mode & 0o777 == 0o644
    assert (into / "sub").stat().st_mode & 0o777 == 0o755
    assert (into / "read").stat().st_mtime == (into / "sub").stat().st_mtime == 315532800
    (into / "sub/new").touch()
    (stored / "sub").chmod(0o755)


def test_a_file_is_copied(tmp_path: Path) -> None:
    (tmp_path / "stored").write_bytes(b"x")
    place(source(""), tmp_path / "stored", tmp_path / "a.whl")
    assert (tmp_path / "a.whl").read_bytes() == b"x"


def test_a_transform_of_the_future(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tar/99") as caught:
        place(source("tar/99"), tmp_path, tmp_path / "into")
    assert "newer layerlock" in caught.value.hint
    assert not (tmp_path / "into").exists()


def test_pipes_are_not_copied(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "into").mkdir()
    os.mkfifo(tmp_path / "tree/pipe")
    with pytest.raises(StoreError, match="pipe"):
        copy_tree(tmp_path / "tree", tmp_path / "into")
