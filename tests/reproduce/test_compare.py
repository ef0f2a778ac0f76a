"""Trees and zips with planted differences, some of them hostile."""

from __future__ import annotations

import gzip
import os
import stat
import struct
import zipfile
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from layerlock.cli.differences import comparison_text
from layerlock.errors import UnsafeArchive, UsageError
from layerlock.io.entries import Caps, open_holding
from layerlock.reproduce.causes import compare_bytes
from layerlock.reproduce.compare import Comparison, compare

DATE = (1980, 1, 1, 0, 0, 0)
Files = dict[str, bytes]


def make_tree(root: Path, files: Files) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def make_zip(
    path: Path,
    files: Files,
    *,
    date: tuple[int, int, int, int, int, int] = DATE,
    mode: int = 0o100644,
    method: int = zipfile.ZIP_DEFLATED,
) -> Path:
    with zipfile.ZipFile(path, "w") as made:
        for name, data in files.items():
            info = zipfile.ZipInfo(name, date)
            info.external_attr = mode << 16
            info.compress_type = method
            made.writestr(info, data)
    return path


def compared(before: Path, after: Path) -> Comparison:
    with ExitStack() as opened:
        left, right = (opened.enter_context(closing(open_holding(path))) for path in (before, after))
        return compare(left, right)


def test_equal_zips_and_trees_are_identical(tmp_path: Path) -> None:
    files = {"a": b"one", "b/c": b"two"}
    one, two = make_zip(tmp_path / "1.zip", files), make_zip(tmp_path / "2.zip", files)
    tree = make_tree(tmp_path / "tree", files)
    for pair in ((one, two), (tree, tree), (one, tree), (tree, one)):
        found = compared(*pair)
        assert found.identical, found
        assert comparison_text(found) == "identical"


def test_added_removed_and_changed(tmp_path: Path) -> None:
    one = make_tree(tmp_path / "1", {"gone": b"x" * 10, "stays": b"s", "moves": b"abcdef"})
    two = make_tree(tmp_path / "2", {"new": b"y", "stays": b"s", "moves": b"abXdeX"})
    found = compared(one, two)
    assert not found.same_contents
    assert comparison_text(found).split("\n") == [
        "different: 1 added, 1 removed, 1 changed; 17 B before, 8 B after",
        "added:",
        "  new (1 B)",
        "removed:",
        "  gone (10 B)",
        "changed:",
        "  moves: 2 of 6 bytes differ, first at offset 2",
    ]


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"date": (2020, 5, 6, 7, 8, 10)}, ("time", "1980-01-01 00:00:00", "2020-05-06 07:08:10")),
        ({"method": zipfile.ZIP_STORED}, ("compression", "method 8, 5 bytes", "method 0, 3 bytes")),
    ],
)
def test_zips_of_the_same_contents(tmp_path: Path, change: dict[str, int], fact: tuple[str, ...]) -> None:
    one = make_zip(tmp_path / "1.zip", {"a": b"one"})
    two = make_zip(tmp_path / "2.zip", {"a": b"one"}, **change)  # type: ignore[arg-type]
    found = compared(one, two)
    assert found.same_contents
    assert not found.identical
    assert found.changed[0].packed_only
    assert fact in found.changed[0].packing
    assert comparison_text(found).startswith("different archives of the same contents\n")
    # Beside a tree, only what is unpacked counts.
    assert compared(two, make_tree(tmp_path / "tree", {"a": b"one"})).identical


def test_zips_in_another_order(tmp_path: Path) -> None:
    one = make_zip(tmp_path / "1.zip", {"a": b"1", "b": b"2"})
    two = make_zip(tmp_path / "2.zip", {"b": b"2", "a": b"1"})
    found = compared(one, two)
    assert found.same_contents
    assert found.archive == ("the order of the entries",)


def test_bytes_that_no_entry_tells(tmp_path: Path) -> None:
    one, two = (make_zip(tmp_path / f"{n}.zip", {"a": b"1"}) for n in (1, 2))
    two.write_bytes(b"in front" + two.read_bytes())
    found = compared(one, two)
    assert found.same_contents
    assert not found.identical
    assert len(found.archive) == 1


def test_modes(tmp_path: Path) -> None:
    one = make_zip(tmp_path / "1.zip", {"a": b"1"}, mode=0o100644)
    two = make_zip(tmp_path / "2.zip", {"a": b"1"}, mode=0o100664)
    assert compared(one, two).changed[0].mode == ("0644", "0664")
    left, right = (make_tree(tmp_path / name, {"a": b"1"}) for name in ("left", "right"))
    (right / "a").chmod(0o444)
    assert compared(left, right).identical
    (right / "a").chmod(0o755)
    assert compared(left, right).changed[0].mode == ("plain", "executable")
    assert compared(one, right).changed[0].mode == ("plain", "executable")


def test_links_and_kinds(tmp_path: Path) -> None:
    left, right = (make_tree(tmp_path / name, {"a": b"1"}) for name in ("left", "right"))
    (left / "link").symlink_to("a")
    (right / "link").symlink_to("/etc/passwd")
    (left / "turns").mkdir()
    (right / "turns").symlink_to("a")
    found = {change.path: change for change in compared(left, right).changed}
    assert found["link"].target == ("a", "/etc/passwd")
    assert found["turns"].kind == ("folder", "link")
    zipped = make_zip(tmp_path / "1.zip", {"link": b"a"}, mode=stat.S_IFLNK | 0o777)
    assert compared(zipped, right).changed[0].target == ("a", "/etc/passwd")


def test_links_are_not_followed(tmp_path: Path) -> None:
    outside = make_tree(tmp_path / "outside", {"secret": b"1"})
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "folder").symlink_to(outside)
    found = compared(tmp_path / "left", tmp_path / "right")
    assert found.identical
    assert found.bytes == (0, 0)


def test_a_pipe_in_a_tree_does_not_hang(tmp_path: Path) -> None:
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        os.mkfifo(tmp_path / name / "pipe")
    found = compared(tmp_path / "left", tmp_path / "right")
    assert not found.identical
    assert found.unread == ("pipe: a device, a pipe or a socket",)


def causes(before: bytes, after: bytes, path: str = "file") -> list[tuple[str, bool]]:
    return [(cause.name, cause.alone) for cause in compare_bytes(path, before, after).causes]


def test_a_build_path() -> None:
    before, after = b"\x7fELF\0at /build/one/src.c\0end", b"\x7fELF\0at /tmp/other/src.c\0end"
    assert causes(before, after) == [("build path", True)]
    detail = compare_bytes("a.so", before, after).causes[0].detail
    assert detail == "/build/one/src.c before, /tmp/other/src.c after"
    assert causes(before, after.replace(b"end", b"END")) == [("build path", False)]


@pytest.mark.parametrize(
    ("before", "after", "names"),
    [
        (b"made 2023-01-02T03:04:05 x", b"made 2024-11-12T13:14:15 x", [("date", True)]),
        (b"Jan  2 2023\0x", b"Nov 12 2024\0x", [("date", True)]),
        (b"Jan  2 2023 10:11:12", b"Nov 12 2024 13:14:15", [("date", True), ("time of day", True)]),
        (b"no 12023-01-023", b"no 12023-01-024", []),
    ],
)
def test_dates(before: bytes, after: bytes, names: list[tuple[str, bool]]) -> None:
    assert causes(before, after) == names


def test_a_user_and_a_host_name() -> None:
    before, after = b"\0gcc 10 (ann@one.example) #1\0", b"\0gcc 10 (bob@two) #1\0"
    assert causes(before, after) == [("user and host name", True)]
    assert "ann@one.example before, bob@two after" in compare_bytes("a", before, after).causes[0].detail


def test_symbols_in_another_order() -> None:
    elf, names = b"\x7fELF\x02\x01", (b"\0alpha_one\0", b"\0beta_two\0", b"\0gamma\0")
    before, after = elf + b"".join(names), elf + b"".join(reversed(names))
    assert causes(before, after, "a.so") == [("symbol order", False)]
    assert causes(before[4:], after[4:]) == [("string order", False)]
    assert causes(before, after + b"\0and_one_more\0") == []


def test_lines_in_another_order() -> None:
    assert causes(b"a\nb\nc\n", b"b\na\nc\n") == [("line order", True)]
    assert causes(b"a\nb\nc\n", b"b\na\nd\n") == []
    assert causes(b"a\nb\n\0", b"b\na\n\0") == []


def test_the_time_in_bytecode() -> None:
    def pyc(flags: int, when: int, code: bytes = b"code") -> bytes:
        return b"\xa7\r\r\n" + struct.pack("<III", flags, when, 100) + code

    found = compare_bytes("a.pyc", pyc(0, 0), pyc(0, 86400))
    assert [(c.name, c.alone) for c in found.causes] == [("bytecode time", True)]
    assert "1970-01-02 00:00:00 after" in found.causes[0].detail
    assert causes(pyc(0, 1), pyc(0, 2, b"CODE"), "a.pyc") == []
    # With a hash instead of a time in the header, those bytes are no time.
    assert causes(pyc(1, 1), pyc(1, 2), "a.pyc") == []


def test_the_time_in_gzip() -> None:
    assert causes(gzip.compress(b"x", mtime=1), gzip.compress(b"x", mtime=2)) == [("gzip time", True)]


def test_where_bytes_part() -> None:
    large = bytes(200_000)
    found = compare_bytes("a", large, large[:150_000] + b"\1\1" + large[150_002:])
    assert (found.first, found.differing) == (150_000, 2)
    found = compare_bytes("a", large, large + b"more")
    assert (found.first, found.differing) == (200_000, None)


def test_names_that_lead_outside_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    hostile = make_zip(folder / "hostile.zip", {"../x": b"evil", "/etc/y": b"evil", "a": b"1"})
    honest = make_zip(folder / "honest.zip", {"a": b"1"})
    found = compared(honest, hostile)
    assert [entry.path for entry in found.added] == ["../x", "/etc/y"]
    assert found.oddities == (
        "after: ../x: no path inside the archive",
        "after: /etc/y: no path inside the archive",
    )
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "honest.zip", "hostile.zip"]


def test_names_that_come_twice(tmp_path: Path) -> None:
    honest = make_zip(tmp_path / "1.zip", {"a": b"1"})
    twice = tmp_path / "2.zip"
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(twice, "w") as made:
        for data in ("1", "2"):
            made.writestr("a", data)
    found = compared(honest, twice)
    assert [entry.path for entry in found.added] == ["a (entry 2 of this name)"]
    assert found.oddities == ("after: a: there is more than one entry of this name",)


def redeclare(path: Path, size: int) -> Path:
    """Let the zip's list of entries claim another size of the first entry's contents."""
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = struct.pack("<I", size)
    path.write_bytes(data)
    return path


def test_a_declared_size_past_the_cap(tmp_path: Path) -> None:
    path = redeclare(make_zip(tmp_path / "1.zip", {"a": b"1"}), 0xFFFFFFF0)
    with pytest.raises(UnsafeArchive, match=r"1\.zip declares more than 1,000 bytes"):
        open_holding(path, Caps(bytes=1000))


def test_a_size_that_lies(tmp_path: Path) -> None:
    honest = make_zip(tmp_path / "1.zip", {"a": b"1" * 1000})
    lying = redeclare(make_zip(tmp_path / "2.zip", {"a": b"1" * 1000}), 10)
    found = compared(honest, lying)
    assert not found.identical
    assert found.unread[0].startswith("a: damaged: ")


def test_too_many_entries(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "1.zip", {str(n): b"" for n in range(5)})
    with pytest.raises(UnsafeArchive, match="more than 4 entries"):
        open_holding(path, Caps(entries=4))
    tree = make_tree(tmp_path / "tree", {str(n): b"" for n in range(5)})
    with pytest.raises(UnsafeArchive, match="more than 4 entries"):
        open_holding(tree, Caps(entries=4))
    with pytest.raises(UnsafeArchive, match="holds more than 2 bytes"):
        open_holding(make_tree(tmp_path / "bytes", {"a": b"123"}), Caps(bytes=2))


@pytest.mark.parametrize("data", [b"", b"no zip", b"PK\x05\x06" + b"\xff" * 18])
def test_what_is_no_zip(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "1.zip"
    path.write_bytes(data)
    with pytest.raises(UnsafeArchive):
        open_holding(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_holding(tmp_path / "nothing")


def test_long_lists_are_cut(tmp_path: Path) -> None:
    one = make_tree(tmp_path / "1", {"a": b""})
    two = make_tree(tmp_path / "2", {"a": b"", **{f"n{n:03}": b"" for n in range(50)}})
    assert "  and 10 more lines (--all shows them)" in comparison_text(compared(one, two))
    assert comparison_text(compared(one, two), everything=True).endswith("  n049 (0 B)")


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    one, two = (make_tree(tmp_path / name, {"a": b""}) for name in ("1", "2"))
    Path(os.fsdecode(os.fsencode(two) + b"/\xff")).write_bytes(b"x")
    assert comparison_text(compared(one, two)).endswith("added:\n  \\xff (1 B)")
