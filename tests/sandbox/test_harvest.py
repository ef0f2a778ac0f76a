"""Outputs made to break out, and what is made of honest ones."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from layerlock.errors import HostileOutput, ResourceExceeded
from layerlock.sandbox.harvest import harvest

GENEROUS = 1 << 30


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output with something honest in it."""
    folder = tmp_path / "out"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "a.so").write_bytes(b"x" * 1000)
    return folder


def _refused(out: Path, message: str, **choices: tuple[str, ...]) -> None:
    with pytest.raises(HostileOutput, match=message):
        harvest(out, out.with_name("taken"), max_bytes=GENEROUS, **choices)
    assert out.exists()
    assert not out.with_name("taken").exists()


def test_an_honest_tree_is_moved_with_plain_modes(out: Path) -> None:
    program = out / "bin" / "tool"
    program.parent.mkdir(mode=0o700)
    program.write_bytes(b"#!/bin/sh\n")
    program.chmod(0o711)
    (out / "lib" / "a.so").chmod(0o600)
    (out / "lib" / "link").symlink_to("../bin/tool")
    (out / "lib" / "dangling").symlink_to("nothing/at/all")
    (out / "second name").hardlink_to(program)
    os.setxattr(program, "user.note", b"kept out")
    inode = program.stat().st_ino
    taken = harvest(out, out.with_name("taken"), max_bytes=GENEROUS)
    assert (taken.entries, taken.size) == (7, 1010)
    moved = taken.path / "bin" / "tool"
    assert moved.stat().st_ino == inode
    modes = {
        path.name: stat.S_IMODE(path.lstat().st_mode)
        for path in taken.path.rglob("*")
        if not path.is_symlink()
    }
    assert modes == {"bin": 0o755, "lib": 0o755, "tool": 0o755, "second name": 0o755, "a.so": 0o644}
    assert os.listxattr(moved) == []
    assert (taken.path / "lib" / "link").readlink() == Path("../bin/tool")
    assert not out.exists()


def test_files_and_folders_without_any_permission_are_taken_all_the_same(out: Path) -> None:
    (out / "lib" / "a.so").chmod(0)
    (out / "lib").chmod(0)
    taken = harvest(out, out.with_name("taken"), max_bytes=GENEROUS)
    assert (taken.path / "lib" / "a.so").read_bytes() == b"x" * 1000


def test_special_files_are_refused(out: Path) -> None:
    os.mkfifo(out / "lib" / "pipe")
    _refused(out, r"'lib/pipe' is a named pipe")
    (out / "lib" / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(out / "s"))
        _refused(out, r"'s' is a socket")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device files")
def test_devices_are_refused(out: Path) -> None:
    os.mknod(out / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    _refused(out, r"'null' is a character device")


@pytest.mark.parametrize("mode", [0o4755, 0o2755, 0o6644])
def test_set_user_id_is_refused(out: Path, mode: int) -> None:
    (out / "lib" / "a.so").chmod(mode)
    _refused(out, r"'lib/a.so' is set-user-id or set-group-id")


@pytest.mark.parametrize(
    ("links", "named"),
    [
        ({"lib/up": "../../secret"}, "lib/up"),
        ({"up": ".."}, "up"),
        ({"here": ".", "out": "here/../secret"}, "out"),
        ({"deep": "lib", "out": "deep/../../secret"}, "out"),
        ({"out": "nothing/../../secret"}, "out"),
        ({"a": "lib/b", "lib/b": "../../secret"}, "a"),
    ],
)
def test_links_that_leave_are_refused(out: Path, links: dict[str, str], named: str) -> None:
    for path, target in links.items():
        (out / path).symlink_to(target)
    _refused(out, rf"'{named}' is a link that leaves the output")


def test_absolute_links_are_refused_unless_they_stay_where_the_output_will_be(out: Path) -> None:
    (out / "good").symlink_to("/var/lang/lib/a.so")
    _refused(out, r"'good' is an absolute link: '/var/lang/lib/a.so'")
    (out / "bad").symlink_to("/var/lang/../../etc/passwd")
    _refused(out, r"'bad' is a link that leaves", prefixes=("/var/lang",))
    (out / "bad").unlink()
    (out / "worse").symlink_to("/var/language")
    _refused(out, r"'worse' is an absolute link", prefixes=("/var/lang",))
    (out / "worse").unlink()
    assert harvest(out, out.with_name("taken"), max_bytes=GENEROUS, prefixes=("/var/lang",)).entries == 3


def test_circles_are_refused(out: Path) -> None:
    (out / "a").symlink_to("b")
    (out / "b").symlink_to("a")
    _refused(out, r"'a' is a link that leads round in circles")


def test_hard_links_to_files_elsewhere_are_refused(out: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    (out / "lib" / "stolen").hardlink_to(secret)
    _refused(out, r"'lib/stolen' is a hard link to a file outside")


def test_the_output_itself_may_not_be_a_link(out: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(out)
    with pytest.raises(OSError, match="directory"):
        harvest(link, tmp_path / "taken", max_bytes=GENEROUS)


def test_size_and_depth_have_limits(out: Path) -> None:
    with pytest.raises(ResourceExceeded, match="larger than 999 bytes"):
        harvest(out, out.with_name("taken"), max_bytes=999)
    deep = out
    for _ in range(210):
        deep = deep / "d"
    deep.mkdir(parents=True)
    _refused(out, "lies deeper than 200 folders")


def test_names_that_are_not_text_are_refused_and_shown_safely(out: Path) -> None:
    (out / os.fsdecode(b"bad\xff\x1b[31m")).write_text("")
    _refused(out, r"'bad\\udcff\\x1b\[31m' has a name that is not UTF-8")


def test_nothing_is_overwritten(out: Path) -> None:
    out.with_name("taken").mkdir()
    with pytest.raises(FileExistsError):
        harvest(out, out.with_name("taken"), max_bytes=GENEROUS)
    assert out.exists()
