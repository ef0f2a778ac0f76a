"""The layer zip: the same bytes from the same tree, whatever the order of its directories or the number of jobs."""

from __future__ import annotations

import hashlib
import io
import stat
import zipfile
from pathlib import Path

import pytest

from .conftest import Entry, write_tree

FILES: dict[str, str | bytes] = {
    "python/b.py": "print('b')\n" * 50,
    "python/a.py": "print('a')\n" * 50,
    "python/é.txt": "e",
    "lib/libx.so.1": bytes(range(256)) * 4,
    "lib/libx.so": "-> libx.so.1",
    "empty.txt": "",
}
# Of the tree above at level 9, by libdeflate. It changes only with FILES, the level, or the compressor's own output.
GOLDEN = "236bd40c9d6cf4271d2bac16c42e94fee08f57b1735817104cfaf182eb40091c"
# Of the same tree by zopfli, 15 iterations.
ZOPFLI_GOLDEN = "be82566d813a936c182e1be2be631c12c1e575f2cb7d7aa2c99bd106c242cc82"


def _tree(root: Path, names: list[str]) -> Path:
    write_tree(root, {name: FILES[name] for name in names})
    (root / "hollow").mkdir()
    (root / "python/b.py").chmod(0o700)
    return root


def test_golden_and_independence(tmp_path: Path, entry: Entry) -> None:
    digests = set()
    for number, names in enumerate([sorted(FILES), sorted(FILES, reverse=True)]):
        tree = _tree(tmp_path / f"tree{number}", names)
        for jobs in (1, 3):
            ended = entry("pack", {"name": "l.zip", "tree": str(tree), "level": 9, "jobs": jobs})
            content = (ended.out / "l.zip").read_bytes()
            assert ended.report["sha256"] == hashlib.sha256(content).hexdigest()
            assert ended.report["size"] == len(content)
            digests.add(ended.report["sha256"])
    assert digests == {GOLDEN}


def test_entries(tmp_path: Path, entry: Entry) -> None:
    tree = _tree(tmp_path / "tree", sorted(FILES))
    ended = entry("pack", {"name": "l.zip", "tree": str(tree), "level": 12})
    with zipfile.ZipFile(ended.out / "l.zip") as archive:
        infos = archive.infolist()
        assert archive.testzip() is None
        assert archive.read("python/b.py") == (tree / "python/b.py").read_bytes()
        assert archive.read("lib/libx.so") == b"libx.so.1"
    assert [info.filename for info in infos] == [
        "empty.txt",
        "hollow/",
        "lib/libx.so",
        "lib/libx.so.1",
        "python/a.py",
        "python/b.py",
        "python/é.txt",
    ]
    modes = {info.filename: info.external_attr >> 16 for info in infos}
    assert modes["python/b.py"] == stat.S_IFREG | 0o755
    assert modes["python/a.py"] == stat.S_IFREG | 0o644
    assert modes["lib/libx.so"] == stat.S_IFLNK | 0o777
    assert modes["hollow/"] == stat.S_IFDIR | 0o755
    for info in infos:
        assert info.date_time == (1980, 1, 1, 0, 0, 0)
        assert (info.create_system, info.create_version, info.extract_version) == (3, 20, 20)
        assert (info.extra, info.comment, info.flag_bits & ~0x800) == (b"", b"", 0)
        assert bool(info.flag_bits & 0x800) is not info.filename.isascii()
    assert {info.filename: info.compress_type for info in infos}["empty.txt"] == zipfile.ZIP_STORED


def test_what_does_not_shrink_is_stored(tmp_path: Path, entry: Entry) -> None:
    noise = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(64))
    tree = write_tree(tmp_path / "tree", {"noise": noise})
    ended = entry("pack", {"name": "l.zip", "tree": str(tree), "level": 9})
    with zipfile.ZipFile(ended.out / "l.zip") as archive:
        assert archive.infolist()[0].compress_type == zipfile.ZIP_STORED


@pytest.mark.parametrize(
    ("task", "why"),
    [({"level": 13}, "no level 13"), ({"level": 9, "compressor": "zlib"}, "not known")],
)
def test_usage(tmp_path: Path, entry: Entry, task: dict[str, object], why: str) -> None:
    tree = write_tree(tmp_path / "tree", {"a": "a"})
    assert why in entry("pack", {"name": "l.zip", "tree": str(tree), **task}).error["message"]


def test_zopfli_packs_the_same_files_smaller(tmp_path: Path, entry: Entry) -> None:
    tree = _tree(tmp_path / "tree", sorted(FILES))
    task = {"name": "l.zip", "tree": str(tree), "compressor": "zopfli", "level": 15}
    zips = [(entry("pack_zopfli", {**task, "jobs": jobs}).out / "l.zip").read_bytes() for jobs in (1, 3)]
    assert zips[0] == zips[1]
    assert hashlib.sha256(zips[0]).hexdigest() == ZOPFLI_GOLDEN
    other = entry("pack", {"name": "l.zip", "tree": str(tree), "level": 12}).out / "l.zip"
    assert len(zips[0]) <= other.stat().st_size
    with zipfile.ZipFile(io.BytesIO(zips[0])) as ours, zipfile.ZipFile(other) as theirs:
        assert ours.testzip() is None
        for mine, same in zip(ours.infolist(), theirs.infolist(), strict=True):
            assert (mine.filename, mine.external_attr) == (same.filename, same.external_attr)
            assert ours.read(mine) == theirs.read(same)


@pytest.mark.parametrize(
    ("task", "why"),
    [({"level": 0}, "cannot do 0 iterations"), ({"level": 15, "blind": True}, "not among the layer's tools")],
)
def test_usage_of_zopfli(tmp_path: Path, entry: Entry, task: dict[str, object], why: str) -> None:
    tree = write_tree(tmp_path / "tree", {"a": "a"})
    if task.pop("blind", False):
        # A folder that stands in front of what is installed, and has another zopfli.
        task["python_path"] = [str(write_tree(tmp_path / "path", {"zopfli.py": "raise ImportError\n"}))]
    assert why in entry("pack_zopfli", {"name": "l.zip", "tree": str(tree), **task}).error["message"]


def test_an_empty_layer(tmp_path: Path, entry: Entry) -> None:
    (tmp_path / "tree/python").mkdir(parents=True)
    ended = entry("pack", {"name": "l.zip", "tree": str(tmp_path / "tree"), "level": 9})
    assert "holds no file" in ended.error["message"]
