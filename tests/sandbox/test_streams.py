"""Trees sent to an engine and brought back: the same bytes every time, and nothing hostile on the way back."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlock.errors import HostileOutput
from layerlock.sandbox.engine.layout import Way, container
from layerlock.sandbox.engine.trees import Sent, TooLarge, packed, received, single, sizes
from layerlock.sandbox.spec import Mount

from .conftest import Backend, Specs

pytestmark = pytest.mark.sandbox


def _tree(folder: Path) -> Path:
    (folder / "b").mkdir(parents=True)
    (folder / "b" / "file").write_text("contents\n")
    (folder / "a").write_bytes(b"\0" * 1000)
    (folder / "a").chmod(0o755)
    (folder / "link").symlink_to("b/file")
    (folder / ("long-" * 40)).write_text("a name that takes a header of its own")
    for path in (folder / "a", folder / "b" / "file", folder / "b", folder):
        os.utime(path, ns=(1, 5 * 10**9 + 7))
    return folder


def test_a_stream_depends_on_the_tree_alone(tmp_path: Path) -> None:
    streams = set()
    for name in ("one", "two"):
        sent = (
            Sent(place="top", source=_tree(tmp_path / name)),
            Sent(place="given", contents=b"x", mode=0o400),
        )
        for path in (tmp_path / name).glob("long-*"):
            os.utime(path, ns=(1, 1))
        os.utime(tmp_path / name, ns=(1, 1))
        os.utime(tmp_path / name / "link", ns=(1, 1), follow_symlinks=False)
        streams.add(hashlib.sha256(b"".join(packed(sent, uid=7, gid=8))).hexdigest())
    assert len(streams) == 1


def test_any_reader_of_tar_understands_a_stream(tmp_path: Path) -> None:
    sent = (Sent(place="empty", folder=True, mode=0o700), Sent(place="top", source=_tree(tmp_path / "tree")))
    with tarfile.open(fileobj=io.BytesIO(b"".join(packed(sent, uid=7, gid=8)))) as found:
        members = {member.name: member for member in found.getmembers()}
        file = found.extractfile("top/b/file")
        assert file is not None
        assert file.read() == b"contents\n"
    assert list(members) == sorted(members)
    assert (members["top/a"].mode, members["top/a"].mtime, members["top/a"].size) == (0o755, 5, 1000)
    assert members["top/link"].linkname == "b/file"
    assert {(member.uid, member.gid) for member in members.values()} == {(7, 8)}
    assert "top/" + "long-" * 40 in members


def test_what_is_no_tree_is_not_sent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no file, directory or link"):
        list(packed([Sent(place="x", source=tmp_path)]))
    (tmp_path / "pipe").unlink()
    (tmp_path / ".wh.file").touch()
    with pytest.raises(ValueError, match="deletion"):
        list(packed([Sent(place="x", source=tmp_path)]))


def _archive(*members: tuple[str, Callable[[tarfile.TarInfo], None]]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, change in (("top", _folder), *members):
            info = tarfile.TarInfo(name)
            change(info)
            archive.addfile(info, io.BytesIO(b"x" * info.size))
    return data.getvalue()


def _folder(info: tarfile.TarInfo) -> None:
    info.type = tarfile.DIRTYPE


def _file(info: tarfile.TarInfo) -> None:
    info.size = 10


def _setuid(info: tarfile.TarInfo) -> None:
    info.mode = 0o4755


def _link_to(target: str, kind: bytes = tarfile.SYMTYPE) -> Callable[[tarfile.TarInfo], None]:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, target

    return change


def _device(info: tarfile.TarInfo) -> None:
    info.type = tarfile.CHRTYPE


HOSTILE = [
    ("top/s", _setuid),
    ("top/d", _device),
    ("top/absolute", _link_to("/etc/passwd")),
    ("top/out", _link_to("../../x")),
    ("top/hard", _link_to("top/../../etc/passwd", tarfile.LNKTYPE)),
    ("top/../../escape", _file),
]


@pytest.mark.parametrize("member", HOSTILE, ids=lambda member: member[0])
def test_nothing_hostile_comes_back(
    tmp_path: Path, member: tuple[str, Callable[[tarfile.TarInfo], None]]
) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "before").touch()
    with pytest.raises(HostileOutput):
        received(iter([_archive(("top/fine", _file), member)]), target, most=1 << 20, strict=True)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["before", "out"]


@pytest.mark.parametrize("member", HOSTILE, ids=lambda member: member[0])
def test_what_a_person_looks_at_later_stays_inside_its_folder(
    tmp_path: Path, member: tuple[str, Callable[[tarfile.TarInfo], None]]
) -> None:
    target = tmp_path / "deep" / "build"
    target.mkdir(parents=True)
    received(iter([_archive(("top/fine", _file), member)]), target, most=1 << 20, strict=False)
    assert (target / "fine").read_bytes() == b"x" * 10
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["build"]
    assert not [path for path in target.rglob("*") if path.is_file() and path.stat().st_mode & 0o6000]


def test_sizes_are_counted_and_held_to_a_limit(tmp_path: Path) -> None:
    data = _archive(("top/a", _file), ("top/b", _file))
    assert list(sizes(iter([data]))) == [0, 10, 20]
    target = tmp_path / "out"
    target.mkdir()
    with pytest.raises(TooLarge):
        received(iter([data]), target, most=15, strict=True)


def test_a_single_file(tmp_path: Path) -> None:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        info = tarfile.TarInfo("report.json")
        info.size = 2
        archive.addfile(info, io.BytesIO(b"{}"))
    assert single(iter([plain.getvalue()]), most=2) == b"{}"
    assert single(iter([plain.getvalue()]), most=1) is None
    assert single(iter([_archive()]), most=10) is None
    assert single(iter([b"rubbish" * 100]), most=10) is None


def test_the_plan_of_a_container(spec: Specs, tmp_path: Path) -> None:
    """Of this host's paths nothing but the sources of mounts shows, and with streams not even these."""
    tree = tmp_path / "input"
    tree.mkdir()
    made = spec("sh", "-c", "x", mounts=(Mount(source=tree, target="/deps/x"),))
    for bind in (True, False):
        way = Way(user="0:0", capabilities=(), bind=bind)
        plan = container(made, way, image="i", shell=("/shell",), program=("/bwrap",))
        told = {item.place: item.contents.decode() for item in plan.sent if item.source is None}
        assert str(tmp_path) not in " ".join((*plan.command, *told.values()))
        assert told["run/arguments"].split("\0")[-3:] == ["--json-status-fd", "3", ""]
        assert plan.command[-5:] == ("9", "--", "sh", "-c", "x")
        writable = [mount.source for mount in made.all_mounts() if mount.writable]
        assert [each.source for each in plan.binds if each.writable] == (writable if bind else [])
        assert [each.target for each in plan.returned] == ([] if bind else writable)


@pytest.mark.parametrize(
    "script",
    [
        "touch /out/s && chmod u+s /out/s",
        "mkfifo /out/pipe",
        "ln -s /etc/passwd /out/link",
        "mkdir /out/d && ln -s ../../x /out/d/link",
    ],
)
def test_hostile_output_is_refused_on_its_way_back(streaming: Backend, spec: Specs, script: str) -> None:
    with pytest.raises(HostileOutput):
        streaming(spec("sh", "-c", script))


def test_links_and_modes_come_back(streaming: Backend, spec: Specs, folders: dict[str, Path]) -> None:
    script = "cd /out; echo x > f; ln -s f l; ln f h; mkdir d; echo y > d/p; chmod 700 d/p; mkdir -m 0 shut"
    assert streaming(spec("sh", "-c", script)).outcome.succeeded
    out = folders["out"]
    assert {path.name for path in out.iterdir()} == {"f", "l", "h", "d", "shut"}
    assert (out / "l").readlink() == Path("f")
    assert (out / "h").read_text() == "x\n"
    assert (out / "d" / "p").stat().st_mode & 0o777 == 0o755
