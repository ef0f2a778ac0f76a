"""Unpacking: what comes out of honest archives, and that hostile ones get nowhere."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlock.errors import StoreError, UnsafeArchive
from layerlock.io.archives import MTIME, unpack_deb, unpack_debs, unpack_tar, unpack_zip
from layerlock.io.besidewriter import BesideWriter
from layerlock.io.nar import nar_sha256
from layerlock.io.treewriter import Caps

Entry = tuple[str, str, int, str | bytes]
"""Name, type (file, dir, link, hard, fifo, char), mode, contents or target."""

TYPES = {
    "dir": tarfile.DIRTYPE,
    "link": tarfile.SYMTYPE,
    "hard": tarfile.LNKTYPE,
    "fifo": tarfile.FIFOTYPE,
    "char": tarfile.CHRTYPE,
}


def tar_bytes(*entries: Entry, tar_format: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tar_format) as archive:
        for name, kind, mode, content in entries:
            info = tarfile.TarInfo(name)
            info.mode, info.uid, info.gid, info.mtime = mode, 4711, 4711, 1_700_000_000
            if kind == "file":
                data = content if isinstance(content, bytes) else content.encode()
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            else:
                info.type = TYPES[kind]
                info.linkname = str(content)
                archive.addfile(info)
    return buffer.getvalue()


def tar(path: Path, *entries: Entry) -> Path:
    path.write_bytes(tar_bytes(*entries))
    return path


def deb(path: Path, *entries: Entry) -> Path:
    members = (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", b"odd"),
        ("data.tar.xz", lzma.compress(tar_bytes(*entries))),
    )
    data = b"!<arch>\n"
    for name, body in members:
        data += (
            f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(body):<10}`\n".encode()
            + body
            + b"\n" * (len(body) % 2)
        )
    path.write_bytes(data)
    return path


def listing(root: Path) -> dict[str, str]:
    found = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        if path.is_symlink():
            text = f"-> {path.readlink()}"
        else:
            text = f"{stat.S_IMODE(status.st_mode):o} " + ("/" if path.is_dir() else path.read_text())
        assert (status.st_uid, int(status.st_mtime)) == (os.getuid(), MTIME), path
        found[str(path.relative_to(root))] = text
    return found


HONEST: tuple[Entry, ...] = (
    ("top/", "dir", 0o700, ""),
    ("top/run", "file", 0o4711, "run"),
    ("top/sub/read", "file", 0o444, "read"),
    ("top/sub/link", "link", 0o777, "../run"),
    ("top/twin", "hard", 0o644, "top/run"),
    ("top/sub", "dir", 0o000, ""),
)
HONEST_OUT = {
    "run": "755 run",
    "sub": "755 /",
    "sub/link": "-> ../run",
    "sub/read": "644 read",
    "twin": "755 run",
}


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_modes_owners_and_times_do_not_come_out(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    (tmp_path / "a.tar").write_bytes(compress(tar_bytes(*HONEST)))
    old = os.umask(0o077)
    try:
        unpack_tar(tmp_path / "a.tar", tmp_path / "out", strip=1)
    finally:
        os.umask(old)
    assert listing(tmp_path / "out") == HONEST_OUT
    assert (tmp_path / "out").stat().st_mtime == MTIME
    assert (tmp_path / "out" / "twin").stat().st_nlink == 1


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_large_members(tmp_path: Path, tar_format: int) -> None:
    name = "d" * 90 + "/" + "ü" * 100
    target = "t" * 300
    body = random.Random(1).randbytes((5 << 20) + 13)
    data = tar_bytes((name, "file", 0o644, body), ("l", "link", 0o777, target), tar_format=tar_format)
    # Two streams behind each other, and padding, as parallel compressors and tape drives leave them.
    middle = len(data) // 2
    (tmp_path / "a.xz").write_bytes(
        lzma.compress(data[:middle]) + bytes(8) + lzma.compress(data[middle:]) + bytes(512)
    )
    unpack_tar(tmp_path / "a.xz", tmp_path / "out")
    assert (tmp_path / "out" / name).read_bytes() == body
    assert str((tmp_path / "out" / "l").readlink()) == target


@pytest.mark.skipif(shutil.which("tar") is None, reason="GNU tar is not installed")
@pytest.mark.parametrize("tar_format", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_the_formats_of_gnu_tar(tmp_path: Path, tar_format: str) -> None:
    tree = tmp_path / "tree"
    (tree / "sub" / ("n" * 40)).mkdir(parents=True)
    (tree / "sub" / ("n" * 40) / ("m" * 30)).write_bytes(b"x" * 1000)
    (tree / "run").write_bytes(b"run")
    (tree / "run").chmod(0o755)
    (tree / "twin").hardlink_to(tree / "run")
    (tree / "link").symlink_to("sub")
    subprocess.run(
        ["tar", f"--format={tar_format}", "-C", tmp_path, "-cf", tmp_path / "a.tar", "./tree"], check=True
    )
    unpack_tar(tmp_path / "a.tar", tmp_path / "out", strip=1)
    assert nar_sha256(tmp_path / "out") == nar_sha256(tree)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("../out-of-it", "file", 0o644, "x")], r"'\.\./out-of-it' is no path inside"),
        ([("a/../../b", "file", 0o644, "x")], "is no path inside"),
        ([("/etc/x", "file", 0o644, "x")], "is no path inside"),
        ([("l", "link", 0, "/etc"), ("l/x", "file", 0o644, "x")], "absolute link"),
        ([("l", "link", 0, ".."), ("l/x", "file", 0o644, "x")], "used as a directory"),
        ([("l", "link", 0, "sub"), ("l/x", "file", 0o644, "x")], "used as a directory"),
        ([("f", "file", 0, "x"), ("f/x", "file", 0o644, "x")], "used as a directory"),
        ([("l", "link", 0, "../x")], "'l' is a link that leads out"),
        ([("d/e/f", "link", 0, "../.."), ("m", "link", 0, "d/e/f/../../x")], "'m' is a link that leads out"),
        (
            [("m", "link", 0, "d/../n/../x"), ("n", "link", 0, "d/.."), ("d", "dir", 0, "")],
            "'m' is a link that leads out",
        ),
        ([("l", "link", 0, "")], "without a target"),
        ([("h", "hard", 0, "/etc/passwd")], "is no path inside"),
        ([("h", "hard", 0, "../secret")], "is no path inside"),
        ([("l", "link", 0, "d"), ("d/f", "file", 0, "x"), ("h", "hard", 0, "l/f")], "not there|missing"),
        ([("h", "hard", 0, "absent")], "hard link to 'absent'"),
        ([("d", "dir", 0, ""), ("h", "hard", 0, "d")], "no file"),
        ([("p", "fifo", 0, "")], "'p' is a pipe"),
        ([("c", "char", 0, "")], "'c' is a character device"),
        ([("x", "file", 0, "x"), ("x", "link", 0, "y")], "comes again as something else"),
        ([("x", "link", 0, "y"), ("x", "file", 0, "x")], "comes again as something else"),
        ([("x", "dir", 0, ""), ("x", "file", 0, "x")], "comes again as something else"),
        ([("x", "file", 0, "x"), ("x", "dir", 0, "")], "used as a directory"),
        ([("n" * 300, "file", 0o644, "x")], "cannot be a file here"),
        ([("/".join("d" * 101), "dir", 0o644, "")], "deeper than the 100"),
    ],
)
def test_a_hostile_tar_is_refused_and_writes_nothing_outside(
    tmp_path: Path, entries: list[Entry], message: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "box").mkdir()
    with pytest.raises(UnsafeArchive, match=message) as caught:
        unpack_tar(tar(tmp_path / "bad.tar", *entries), tmp_path / "box" / "out")
    assert "bad.tar" in caught.value.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tar", "box", "secret"]
    assert [path.name for path in (tmp_path / "box").iterdir()] == ["out"]


def test_a_link_that_stays_inside_is_fine_whatever_its_text(tmp_path: Path) -> None:
    entries: list[Entry] = [
        ("a/b/l", "link", 0, "../../c"),
        ("round", "link", 0, "round"),
        ("dangling", "link", 0, "a/none/../x"),
        ("x", "link", 0, "one"),
        ("x", "link", 0, "two"),
        ("f", "file", 0, "one"),
        ("f", "file", 0, "two"),
        ("copy", "hard", 0, "x"),
    ]
    unpack_tar(tar(tmp_path / "a.tar", *entries), tmp_path / "out")
    found = listing(tmp_path / "out")
    assert (found["f"], found["x"], found["copy"]) == ("644 two", "-> two", "-> two")


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        (Caps(bytes=9), "'b' goes past the 9 bytes"),
        (Caps(entries=1), "'b' is one more than the 1 members"),
    ],
)
def test_caps(tmp_path: Path, caps: Caps, message: str) -> None:
    archive = tar(tmp_path / "a.tar", ("a", "file", 0o644, "12345"), ("b", "file", 0o644, "67890"))
    with pytest.raises(UnsafeArchive, match=message):
        unpack_tar(archive, tmp_path / "out", caps=caps)


def test_a_bomb_stops_at_its_cap(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(tar_bytes(("zeros", "file", 0o644, bytes(50 << 20)))))
    with pytest.raises(UnsafeArchive, match="goes past"):
        unpack_tar(tmp_path / "a.gz", tmp_path / "out", caps=Caps(bytes=3 << 20))
    assert (tmp_path / "out" / "zeros").stat().st_size <= 3 << 20


def test_copies_by_hard_links_count_too(tmp_path: Path) -> None:
    archive = tar(
        tmp_path / "a.tar", ("a", "file", 0o644, "12345"), *((f"h{n}", "hard", 0, "a") for n in range(9))
    )
    with pytest.raises(UnsafeArchive, match="goes past"):
        unpack_tar(archive, tmp_path / "out", caps=Caps(bytes=20))


@pytest.mark.parametrize(
    "entries",
    [
        [("a/x", "file", 0o644, ""), ("b/x", "file", 0o644, "")],
        [("a/x", "file", 0o644, ""), ("y", "file", 0o644, "")],
        [("a", "file", 0o644, "")],
        [],
    ],
)
def test_stripping_wants_one_top(tmp_path: Path, entries: list[Entry]) -> None:
    with pytest.raises(UnsafeArchive, match="strip"):
        unpack_tar(tar(tmp_path / "a.tar", *entries), tmp_path / "out", strip=1)


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_cut_archive_is_damaged(tmp_path: Path, compress: Callable[[bytes], bytes], keep: float) -> None:
    body = random.Random(2).randbytes(100_000)
    data = compress(tar_bytes(("a", "file", 0o644, body))[: 512 + 512 * 3 + 100_000])
    (tmp_path / "a.tar").write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(UnsafeArchive, match=r"a\.tar is damaged"):
        unpack_tar(tmp_path / "a.tar", tmp_path / "out")


def test_a_flipped_bit_in_a_header_is_no_end(tmp_path: Path) -> None:
    data = bytearray(tar_bytes(("a", "file", 0o644, "1"), ("b", "file", 0o644, "2")))
    data[1024 + 3] ^= 1
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(UnsafeArchive, match="checksum"):
        unpack_tar(tmp_path / "a.tar", tmp_path / "out")


@pytest.mark.parametrize("seed", range(40))
def test_noise_ends_in_one_kind_of_error(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(tar_bytes(*HONEST, ("n" * 150, "file", 0o644, "x" * 600)))
    for _ in range(chance.randrange(1, 6)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    (tmp_path / "a.tar").write_bytes(gzip.compress(data) if chance.random() < 0.5 else data)
    try:
        unpack_tar(tmp_path / "a.tar", tmp_path / "out")
    except UnsafeArchive as error:
        assert "a.tar" in error.message
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar", "out"]


def test_nothing_is_unpacked_over_something_else(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_bytes(b"")
    with pytest.raises(StoreError, match="not empty"):
        unpack_tar(tar(tmp_path / "a.tar", *HONEST), tmp_path / "out")


def zip_file(path: Path, *entries: Entry, system: int = 3) -> Path:
    kinds = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "link": stat.S_IFLNK, "fifo": stat.S_IFIFO}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, kind, mode, content in entries:
            info = zipfile.ZipInfo(name)
            info.create_system = system
            info.external_attr = (kinds[kind] | mode) << 16
            archive.writestr(info, content)
    return path


def test_a_zip_comes_out_like_a_tar(tmp_path: Path) -> None:
    entries = [entry for entry in HONEST if entry[1] != "hard"]
    entries[-1] = ("top/sub/", "dir", 0, "")
    unpack_zip(zip_file(tmp_path / "a.zip", *entries), tmp_path / "out", strip=1)
    assert listing(tmp_path / "out") == {name: text for name, text in HONEST_OUT.items() if name != "twin"}


def test_modes_of_a_zip_made_elsewhere_mean_nothing(tmp_path: Path) -> None:
    unpack_zip(zip_file(tmp_path / "a.zip", ("l", "link", 0o777, "/etc"), system=0), tmp_path / "out")
    assert listing(tmp_path / "out") == {"l": "644 /etc"}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("../x", "file", 0o644, "x")], "is no path inside"),
        ([("/x", "file", 0o644, "x")], "is no path inside"),
        ([("a\\..\\x", "file", 0o644, "x")], "backslash"),
        ([("l", "link", 0, "../x")], "leads out"),
        ([("l", "link", 0, "d"), ("l/x", "file", 0o644, "x")], "used as a directory"),
        ([("l", "link", 0, "x" * 5000)], "too long"),
        ([("p", "fifo", 0, "")], "a pipe"),
        ([("x", "file", 0, "1"), ("x", "file", 0, "2")], "comes twice"),
    ],
)
def test_a_hostile_zip_is_refused(tmp_path: Path, entries: list[Entry], message: str) -> None:
    with pytest.raises(UnsafeArchive, match=message):
        unpack_zip(zip_file(tmp_path / "bad.zip", *entries), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.zip", "out"]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_of_rare_compression_is_refused(tmp_path: Path, method: int) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        archive.writestr("x", "x")
    with pytest.raises(UnsafeArchive, match="neither stored nor deflated"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")


def test_a_damaged_zip(tmp_path: Path) -> None:
    path = zip_file(tmp_path / "a.zip", ("x", "file", 0o644, random.Random(3).randbytes(5000)))
    data = bytearray(path.read_bytes())
    data[2000] ^= 255
    path.write_bytes(data)
    with pytest.raises(UnsafeArchive, match=r"a\.zip is damaged"):
        unpack_zip(path, tmp_path / "out")


def test_debs_share_a_root_with_a_merged_usr(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "usr" / "lib").mkdir(parents=True)
    (root / "lib").symlink_to("usr/lib")
    (root / "lib64").symlink_to("/usr/../../usr/lib64")
    one: tuple[Entry, ...] = (
        ("./", "dir", 0o755, ""),
        ("./lib/", "dir", 0o755, ""),
        ("./lib/one.so", "file", 0o755, "one"),
        ("./lib64/ld.so", "link", 0o777, "/lib/one.so"),
        ("./usr/share/doc", "file", 0o644, "same"),
        ("./lib/hard.so", "hard", 0o755, "./lib/one.so"),
    )
    two: tuple[Entry, ...] = (
        ("./lib/two.so", "file", 0o4755, "two"),
        ("./usr/share/doc", "file", 0o644, "same"),
        ("./lib64/ld.so", "link", 0o777, "/lib/one.so"),
    )
    unpack_deb(deb(tmp_path / "one.deb", *one), root)
    unpack_deb(deb(tmp_path / "two.deb", *two), root)
    assert (root / "lib").is_symlink()
    assert listing(root / "usr") == {
        "lib": "755 /",
        "lib/hard.so": "755 one",
        "lib/one.so": "755 one",
        "lib/two.so": "755 two",
        "lib64": "755 /",
        "lib64/ld.so": "-> /lib/one.so",
        "share": "755 /",
        "share/doc": "644 same",
    }


@pytest.mark.parametrize("target", ["/", "../../../..", "/../tmp"])
def test_a_path_of_a_deb_cannot_leave_the_root_by_a_link(tmp_path: Path, target: str) -> None:
    root = tmp_path / "root"
    entries: list[Entry] = [("./up", "link", 0, target), ("./up/etc/x", "file", 0o644, "x")]
    unpack_deb(deb(tmp_path / "a.deb", *entries), root)
    inside = "tmp/etc/x" if "tmp" in target else "etc/x"
    assert (root / inside).read_text() == "x"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.deb", "root"]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([("./f", "file", 0o644, "other")], "with other contents"),
        ([("./f", "file", 0o755, "file")], "with other contents"),
        ([("./f", "file", 0o644, "file and more")], "with other contents"),
        ([("./f", "file", 0o644, "fil")], "with other contents"),
        ([("./l", "link", 0, "other")], "another target"),
        ([("./d", "link", 0, "f")], "comes again as something else"),
        ([("./f/x", "file", 0o644, "x")], "used as a directory"),
        ([("./l/x", "file", 0o644, "x")], "used as a directory"),
        ([("./round/x", "file", 0o644, "x")], "without end"),
        ([("./../x", "file", 0o644, "x")], "no path inside"),
    ],
)
def test_a_deb_that_does_not_fit_is_refused(tmp_path: Path, entries: list[Entry], message: str) -> None:
    root = tmp_path / "root"
    first: tuple[Entry, ...] = (
        ("./f", "file", 0o644, "file"),
        ("./l", "link", 0, "f"),
        ("./d", "dir", 0, ""),
        ("./round", "link", 0, "round"),
    )
    unpack_deb(deb(tmp_path / "first.deb", *first), root)
    with pytest.raises(UnsafeArchive, match=message):
        unpack_deb(deb(tmp_path / "second.deb", *entries), root)


def in_order(archives: list[Path], root: Path) -> str:
    """Unpack packages one after the other; give the tree's hash."""
    for archive in archives:
        unpack_deb(archive, root)
    return nar_sha256(root)


def packages(folder: Path, *entries: tuple[Entry, ...]) -> list[Path]:
    """Make a package of each; the later ones are the larger, and so the first to be unpacked side by side."""
    drawn = random.Random(5).randbytes
    return [
        deb(folder / f"{number}.deb", *each, (f"./size-{number}", "file", 0o644, drawn(500 * number).hex()))
        for number, each in enumerate(entries, start=1)
    ]


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what is refused side by side."""
    found: list[str] = []
    refuse = BesideWriter.refuse

    def noting(self: BesideWriter, parts: tuple[bytes, ...], reason: str) -> UnsafeArchive:
        found.append(reason)
        return refuse(self, parts, reason)

    monkeypatch.setattr(BesideWriter, "refuse", noting)
    return found


def test_debs_that_do_not_meet_are_unpacked_side_by_side(tmp_path: Path, refusals: list[str]) -> None:
    entries: list[tuple[Entry, ...]] = [
        (
            ("./usr/", "dir", 0o700, ""),
            (f"./usr/lib/{number % 7}/{number}", "file", 0o755, f"{number}"),
            (f"./usr/lib/{number % 7}/{number}.hard", "hard", 0o755, f"usr/lib/{number % 7}/{number}"),
            ("./usr/same", "link", 0o777, "lib"),
        )
        for number in range(20)
    ]
    archives = packages(tmp_path, *entries)
    unpack_debs(archives, tmp_path / "beside")
    assert not refusals
    assert nar_sha256(tmp_path / "beside") == in_order(archives, tmp_path / "order")
    assert listing(tmp_path / "beside") == listing(tmp_path / "order")  # modes and times too
    assert (tmp_path / "beside").stat().st_mtime == MTIME


MEETING: list[tuple[str, tuple[Entry, ...], tuple[Entry, ...]]] = [
    ("is a file or a link", (("./l", "link", 0, "usr"),), (("./l/x", "file", 0o644, "x"),)),
    ("comes twice", (("./x", "file", 0o644, "x"),), (("./x", "file", 0o644, "x"),)),
    ("of the same archive", (("./x", "file", 0o644, "x"),), (("./y", "hard", 0o644, "x"),)),
]


@pytest.mark.parametrize(("reason", "one", "two"), MEETING)
def test_debs_that_meet_are_unpacked_in_order(
    tmp_path: Path, refusals: list[str], reason: str, one: tuple[Entry, ...], two: tuple[Entry, ...]
) -> None:
    archives = packages(tmp_path, one, two)
    unpack_debs(archives, tmp_path / "root")
    assert nar_sha256(tmp_path / "root") == in_order(archives, tmp_path / "order")
    assert any(reason in each for each in refusals) or reason == "is a file or a link"


@pytest.mark.parametrize(("reason", "one", "two"), MEETING)
def test_what_is_beside_is_never_used(
    tmp_path: Path, reason: str, one: tuple[Entry, ...], two: tuple[Entry, ...]
) -> None:
    (tmp_path / "root").mkdir()
    write_beside(tmp_path, *one)
    with pytest.raises(UnsafeArchive, match=reason):
        write_beside(tmp_path, *two)


@pytest.mark.parametrize("order", [1, -1])
def test_debs_that_do_not_fit_are_refused_as_in_order(tmp_path: Path, order: int) -> None:
    archives = packages(
        tmp_path,
        (("./f", "file", 0o644, "one"),),
        (("./f", "file", 0o644, "two"),),
        (("./../x", "file", 0o644, "x"),),
    )[::order]
    with pytest.raises(UnsafeArchive) as expected:
        in_order(archives, tmp_path / "order")
    with pytest.raises(UnsafeArchive) as found:
        unpack_debs(archives, tmp_path / "root")
    assert found.value.message == expected.value.message
    assert listing(tmp_path / "root") == listing(tmp_path / "order")


def test_a_root_that_holds_something_is_unpacked_into_in_order(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "kept").write_bytes(b"kept")
    unpack_debs(
        packages(tmp_path, (("./x", "file", 0o644, "x"),), (("./y", "link", 0, "x"),)), tmp_path / "root"
    )
    assert {path.name for path in (tmp_path / "root").iterdir()} == {"kept", "x", "y", "size-1", "size-2"}


def write_beside(folder: Path, *entries: Entry) -> None:
    """Write entries into the folder's root as one of several writers."""
    with BesideWriter(folder / "root", archive="a.deb", caps=Caps(), mtime=MTIME) as writer:
        for name, kind, _, content in entries:
            parts = tuple(name.removeprefix("./").encode().split(b"/"))
            match kind:
                case "file":
                    writer.file(parts, executable=False, data=[str(content).encode()])
                case "link":
                    writer.symlink(parts, str(content).encode())
                case _:
                    writer.hardlink(parts, tuple(str(content).encode().split(b"/")))


def test_something_else_than_a_deb(tmp_path: Path) -> None:
    (tmp_path / "a.deb").write_bytes(b"!<arch>\n")
    with pytest.raises(UnsafeArchive, match=r"no member data\.tar"):
        unpack_deb(tmp_path / "a.deb", tmp_path / "root")
    (tmp_path / "b.deb").write_bytes(b"<html>")
    with pytest.raises(UnsafeArchive, match="no ar archive"):
        unpack_deb(tmp_path / "b.deb", tmp_path / "root")


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed")
@pytest.mark.parametrize("compression", ["gzip", "xz", "none"])
def test_a_package_of_dpkg_deb(tmp_path: Path, compression: str) -> None:
    tree = tmp_path / "tree"
    (tree / "usr" / "bin").mkdir(parents=True)
    (tree / "usr" / "bin" / "tool").write_bytes(b"#!/bin/sh\n")
    (tree / "usr" / "bin" / "tool").chmod(0o755)
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN" / "control").write_text(
        "Package: tool\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
    )
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "-b", tree, tmp_path / "a.deb"],
        check=True,
        capture_output=True,
    )
    unpack_deb(tmp_path / "a.deb", tmp_path / "root")
    shutil.rmtree(tree / "DEBIAN")
    assert nar_sha256(tmp_path / "root") == nar_sha256(tree)
