"""Unpacking NARs: the tree comes out as it went in, and what no honest NAR holds is refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlock.errors import UnsafeArchive
from layerlock.io.decompress import Damaged
from layerlock.io.nar import nar_chunks, nar_digest, nar_sha256
from layerlock.io.treewriter import Caps
from layerlock.io.unnar import unpack_nar


def word(text: bytes) -> bytes:
    return len(text).to_bytes(8, "little") + text + bytes(-len(text) % 8)


def words(*texts: bytes) -> bytes:
    return b"".join(map(word, texts))


def folder(*entries: tuple[bytes, bytes]) -> bytes:
    """A directory node."""
    listed = b"".join(
        words(b"entry", b"(", b"name", name, b"node") + node + word(b")") for name, node in entries
    )
    return words(b"(", b"type", b"directory") + listed + word(b")")


def file(data: bytes = b"x") -> bytes:
    return words(b"(", b"type", b"regular", b"contents", data, b")")


def link(target: bytes) -> bytes:
    return words(b"(", b"type", b"symlink", b"target", target, b")")


def nar(node: bytes) -> bytes:
    return word(b"nix-archive-1") + node


def unpack(data: bytes, place: Path, step: int = 7, caps: Caps | None = None) -> None:
    def pieces() -> Iterator[bytes]:
        yield from (data[at : at + step] for at in range(0, len(data), step))

    place.mkdir()
    digest = unpack_nar(pieces(), place, what="test", caps=caps or Caps(), mtime=1)
    assert digest == nar_digest(place)


def test_a_tree_comes_out_as_it_went_in(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "empty").mkdir()
    (tree / "a" / "run").write_bytes(b"#!/bin/sh\n" * 40_000)
    (tree / "a" / "run").chmod(0o755)
    (tree / "a" / "nothing").touch()
    (tree / "a" / "b" / "näme").write_text("x")
    (tree / "z").symlink_to("/a/b")
    (tree / "broken").symlink_to("../../nowhere")
    unpack(b"".join(nar_chunks(tree)), tmp_path / "out", 1000)
    assert nar_sha256(tmp_path / "out") == nar_sha256(tree)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_modes_and_times_are_the_stores_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    run = words(b"(", b"type", b"regular", b"executable", b"", b"contents", b"x", b")")
    data = nar(folder((b"a", file()), (b"b", folder((b"run", run), (b"x", file(b"")), (b"y", link(b"x"))))))
    old = os.umask(umask)
    try:
        unpack(data, tmp_path / "out")
    finally:
        os.umask(old)
    found = {path.name: path.lstat() for path in (tmp_path / "out").rglob("*")}
    modes = {name: stat.S_IMODE(status.st_mode) for name, status in found.items() if name != "y"}
    assert modes == {"a": 0o444, "b": 0o555, "run": 0o555, "x": 0o444}
    assert {status.st_mtime_ns for status in found.values()} == {10**9}


def test_what_is_made_by_hand_here_is_a_nar(tmp_path: Path) -> None:
    data = nar(folder((b"a", file(b"12345678")), (b"b", folder((b"c", link(b"../a"))))))
    unpack(data, tmp_path / "out")
    assert b"".join(nar_chunks(tmp_path / "out")) == data


OUTSIDE = "/tmp/layerlock-test-outside"
HOSTILE = {
    "twice": folder((b"a", file()), (b"a", file())),
    "through a link": folder((b"a", link(OUTSIDE.encode())), (b"a", folder((b"x", file())))),
    "out of order": folder((b"b", file()), (b"a", file())),
    "upwards": folder((b"..", file())),
    "itself": folder((b".", file())),
    "no name": folder((b"", file())),
    "a slash": folder((b"a/b", file())),
    "a nul": folder((b"a\0b", file())),
}
DAMAGED = {
    "a file at the top": file(),
    "a link at the top": link(b"/"),
    "another kind": folder((b"a", words(b"(", b"type", b"device", b")"))),
    "more behind": folder() + b"\0",
    "cut": folder((b"a", file(b"y" * 100)))[:-60],
    "endless name": words(b"(", b"type", b"directory", b"entry", b"(", b"name") + b"\xff" * 8,
    "endless file": words(b"(", b"type", b"directory", b"entry", b"(", b"name", b"a", b"node")
    + words(b"(", b"type", b"regular", b"contents")
    + (1 << 62).to_bytes(8, "little")
    + b"x" * 1000,
    "padding": folder((b"a", file())).replace(b"x\0\0\0\0\0\0\0", b"x\0\0\0\0\0\0\1"),
    "other words": folder((b"a", words(b"(", b"type", b"regular", b"content", b"x", b")"))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_no_tree_has_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchive):
        unpack(nar(HOSTILE[name]), tmp_path / "out")
    assert not Path(OUTSIDE).exists()


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_no_nar_is_damaged(name: str, tmp_path: Path) -> None:
    with pytest.raises(Damaged):
        unpack(nar(DAMAGED[name]), tmp_path / "out")


def test_caps_hold(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchive, match="bytes allowed"):
        unpack(nar(folder((b"a", file(b"x" * 5000)))), tmp_path / "out", caps=Caps(bytes=4999))
    deep = file()
    for _ in range(101):
        deep = folder((b"d", deep))
    with pytest.raises(UnsafeArchive, match="deeper"):
        unpack(nar(deep), tmp_path / "deep")
