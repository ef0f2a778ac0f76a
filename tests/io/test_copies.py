"""Copies: the same bytes, another file, whatever the file system can."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from layerlock.io.copies import copy_file

BODIES = [b"", b"x", random.Random(2).randbytes((3 << 20) + 17)]


@pytest.mark.parametrize("body", BODIES, ids=len)
@pytest.mark.parametrize("number", [0, errno.EXDEV, errno.EOPNOTSUPP])
def test_a_copy_is_the_same_and_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, number: int
) -> None:
    (tmp_path / "one").write_bytes(body)
    if number:  # a file system that cannot do it, which a machine may not have

        def cannot(source: int, target: int, count: int) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "copy_file_range", cannot)
    copy_file(tmp_path / "one", tmp_path / "two")
    assert (tmp_path / "two").read_bytes() == body
    with (tmp_path / "two").open("ab") as file:
        file.write(b"more")
    assert (tmp_path / "one").read_bytes() == body


def test_a_disk_that_is_full_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: int, target: int, count: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "copy_file_range", full)
    (tmp_path / "one").write_bytes(b"x")
    with pytest.raises(OSError, match="No space left"):
        copy_file(tmp_path / "one", tmp_path / "two")


def test_neither_a_link_nor_what_is_there_is_touched(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"x")
    (tmp_path / "link").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        copy_file(tmp_path / "link", tmp_path / "two")
    with pytest.raises(FileExistsError):
        copy_file(tmp_path / "one", tmp_path / "link")
