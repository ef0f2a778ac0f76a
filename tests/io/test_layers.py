"""Layers of images laid over each other: what the specification says, and that hostile layers get nowhere."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlock.errors import HashMismatch, UnsafeArchive
from layerlock.io.layers import DEFAULT_CAPS, Layer, unpack_layers
from layerlock.io.nar import nar_sha256
from layerlock.io.treewriter import Caps
from tests.io.test_archives import Entry, tar_bytes


def unpack(
    tmp_path: Path,
    *layers: tuple[Entry, ...],
    caps: Caps = DEFAULT_CAPS,
    compress: Callable[[bytes], bytes] = gzip.compress,
) -> dict[str, str]:
    """Unpack layers, and list what is there then."""
    made = []
    for index, entries in enumerate(layers):
        plain = tar_bytes(*entries)
        path = tmp_path / f"layer-{index}"
        path.write_bytes(compress(plain))
        made.append(Layer(name=f"image/layer-{index}", path=path, sha256=hashlib.sha256(plain).hexdigest()))
    out = tmp_path / "out"
    out.mkdir()
    unpack_layers(tuple(made), out, caps=caps)
    return listing(out)


def listing(root: Path) -> dict[str, str]:
    """List a tree: modes and contents of files, targets of links."""
    found = {}
    for path in sorted(root.rglob("*")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        if path.is_symlink():
            found[str(path.relative_to(root))] = f"-> {path.readlink()}"
        elif path.is_dir():
            assert mode == 0o755
            found[str(path.relative_to(root))] = "/"
        else:
            assert path.lstat().st_nlink == 1
            found[str(path.relative_to(root))] = f"{mode:o} {path.read_text()}"
    return found


def file(name: str, text: str = "") -> Entry:
    return (name, "file", 0o644, text)


def folder(name: str) -> Entry:
    return (name, "dir", 0o755, "")


def link(name: str, target: str) -> Entry:
    return (name, "link", 0o777, target)


LOWER = (
    folder("a/"),
    file("a/one", "1"),
    file("a/two", "2"),
    folder("a/deep/"),
    file("a/deep/three", "3"),
    link("b", "a"),
    file("c", "c"),
)


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_layer_lies_over_the_one_below(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    upper = (file("a/one", "other"), ("a/run", "file", 0o6711, "run"), file("new/x", "x"))
    found = unpack(tmp_path, LOWER, upper, compress=compress)
    assert found == {
        "a": "/",
        "a/deep": "/",
        "a/deep/three": "644 3",
        "a/one": "644 other",
        "a/run": "755 run",
        "a/two": "644 2",
        "b": "-> a",
        "c": "644 c",
        "new": "/",
        "new/x": "644 x",
    }


def test_a_whiteout_hides_a_file_a_folder_and_a_link_and_nothing_else(tmp_path: Path) -> None:
    found = unpack(
        tmp_path, LOWER, (file("a/.wh.one"), file("a/.wh.deep"), file(".wh.b"), file("x/.wh.none"))
    )
    assert found == {"a": "/", "a/two": "644 2", "c": "644 c"}


@pytest.mark.parametrize("last", [False, True])
def test_an_opaque_whiteout_hides_what_is_below_and_not_beside_it(tmp_path: Path, last: bool) -> None:
    """What the same layer brings stays, whichever stands first in the archive, at any depth."""
    own = (folder("a/"), file("a/two", "new"), folder("a/deep/"), file("a/deep/four", "4"))
    opaque = (file("a/.wh..wh..opq"),)
    found = unpack(tmp_path, LOWER, (*own, *opaque) if last else (*opaque, *own))
    assert found == {
        "a": "/",
        "a/deep": "/",
        "a/deep/four": "644 4",
        "a/two": "644 new",
        "b": "-> a",
        "c": "644 c",
    }


@pytest.mark.parametrize("last", [False, True])
def test_a_whiteout_spares_what_its_own_layer_brings(tmp_path: Path, last: bool) -> None:
    pair = (file("c", "new"), file(".wh.c"))
    assert unpack(tmp_path, LOWER, pair if last else pair[::-1])["c"] == "644 new"


def test_an_opaque_root_hides_everything(tmp_path: Path) -> None:
    assert unpack(tmp_path, LOWER, (file(".wh..wh..opq"), file("only", "x"))) == {"only": "644 x"}


def test_folders_files_and_links_take_each_others_places(tmp_path: Path) -> None:
    upper = (
        file("a", "was a folder"),
        folder("b/"),
        file("b/x", "was a link"),
        folder("c/"),
        file("c/y", "was a file"),
    )
    top = (link("b", "elsewhere"), folder("c/"), file("c/z", "z"))
    found = unpack(tmp_path, LOWER, upper, top)
    assert found == {
        "a": "644 was a folder",
        "b": "-> elsewhere",
        "c": "/",
        "c/y": "644 was a file",
        "c/z": "644 z",
    }


def test_a_folder_that_replaces_a_link_may_be_opaque(tmp_path: Path) -> None:
    """So it is written where a link was removed and a folder made in its place."""
    upper = (folder("b/"), file("b/.wh..wh..opq"), file("b/.wh.gone"), file("b/x", "x"))
    found = unpack(tmp_path, LOWER, upper)
    assert found["b/x"] == "644 x"
    assert found["a/one"] == "644 1"


def test_folders_are_replaced_while_many_are_open(tmp_path: Path) -> None:
    """Descriptors are kept of folders; those of a folder that went are not used for the next one of its name."""
    many = tuple(file(f"d{n % 3}/e{n}/f", str(n)) for n in range(300))
    back = tuple(
        entry for n in range(3) for entry in (file(f"d{n}", "file"), folder(f"d{n}/"), file(f"d{n}/g", "g"))
    )
    found = unpack(tmp_path, many, (*back, *many[:3]))
    assert found == {
        **{f"d{n}": "/" for n in range(3)},
        **{f"d{n}/g": "644 g" for n in range(3)},
        **{f"d{n}/e{n}": "/" for n in range(3)},
        **{f"d{n}/e{n}/f": f"644 {n}" for n in range(3)},
    }


def test_hard_links_come_out_as_copies(tmp_path: Path) -> None:
    upper = (
        ("run", "file", 0o755, "run"),
        ("twin", "hard", 0o644, "run"),
        ("older", "hard", 0o644, "./a/one"),
        ("of-link", "hard", 0o644, "b"),
        ("run", "hard", 0o644, "run"),
    )
    found = unpack(tmp_path, LOWER, upper)
    assert found["twin"] == found["run"] == "755 run"
    assert found["older"] == "644 1"
    assert found["of-link"] == "-> a"


def test_devices_below_dev_and_members_of_aufs_are_left_out(tmp_path: Path) -> None:
    layer = (
        folder("dev/"),
        ("dev/null", "char", 0o666, ""),
        ("dev/initctl", "fifo", 0o600, ""),
        file(".wh..wh.aufs"),
        folder(".wh..wh.plnk/"),
        file(".wh..wh.plnk/12.34", "x"),
        ("a/.wh.one", "hard", 0o644, ".wh..wh.aufs"),
    )
    found = unpack(tmp_path, LOWER, layer)
    assert found.keys() == {"a", "a/deep", "a/deep/three", "a/two", "b", "c", "dev"}


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param((file("../x"),), id="parent"),
        pytest.param((file("/etc/x"),), id="absolute"),
        pytest.param((file("b/x"),), id="link-as-parent"),
        pytest.param((folder("b/x/"),), id="folder-through-a-link"),
        pytest.param((link("b/x", "y"),), id="link-through-a-link"),
        pytest.param((file("c/x"),), id="file-as-parent"),
        pytest.param((link("out", ".."), file("out/x")), id="own-link-as-parent"),
        pytest.param((("h", "hard", 0o644, "b/one"),), id="hard-link-through-a-link"),
        pytest.param((("h", "hard", 0o644, "../outside"),), id="hard-link-out"),
        pytest.param((("h", "hard", 0o644, "/etc/passwd"),), id="absolute-hard-link"),
        pytest.param((("h", "hard", 0o644, "a"),), id="hard-link-to-a-folder"),
        pytest.param((("h", "hard", 0o644, "later"), file("later")), id="hard-link-to-a-later-member"),
        pytest.param((file("../.wh.x"),), id="whiteout-of-the-parent's"),
        pytest.param((file("a/.wh..."),), id="whiteout-of-the-parent"),
        pytest.param((file("a/.wh.."),), id="whiteout-of-itself"),
        pytest.param((file("a/.wh."),), id="whiteout-of-nothing"),
        pytest.param((file("b/.wh.one"),), id="whiteout-through-a-link"),
        pytest.param((file("b/.wh..wh..opq"),), id="opaque-link"),
        pytest.param((file("c/.wh.x"),), id="whiteout-below-a-file"),
        pytest.param((file("a/.wh.deep/x"),), id="member-below-a-whiteout"),
        pytest.param((folder("a/.wh.one/"),), id="whiteout-that-is-a-folder"),
        pytest.param((link("a/.wh.one", "x"),), id="whiteout-that-is-a-link"),
        pytest.param((("etc/null", "char", 0o666, ""),), id="device"),
        pytest.param((("pipe", "fifo", 0o666, ""),), id="pipe"),
        pytest.param((("dev", "char", 0o666, ""),), id="device-as-dev"),
        pytest.param((link("/", "x"),), id="root-is-a-link"),
        pytest.param((link("x", ""),), id="link-without-target"),
        pytest.param((file("x" * 300),), id="name-too-long"),
        pytest.param((file("d/" * 101 + "x"),), id="too-deep"),
        pytest.param((link("d/" * 101 + "x", "y"),), id="link-too-deep"),
    ],
)
def test_hostile_layers_are_refused(tmp_path: Path, entries: tuple[Entry, ...]) -> None:
    (tmp_path / "outside").write_text("mine")
    with pytest.raises(UnsafeArchive) as caught:
        unpack(tmp_path, LOWER, entries)
    assert caught.value.message.startswith("image/layer-1: ")
    assert (tmp_path / "outside").read_text() == "mine"
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("caps", "problem"),
    [
        (Caps(bytes=5), "goes past the 5 bytes"),
        (Caps(entries=8), "one more than the 8 members"),
        (Caps(depth=2), "deeper than the 2 directories"),
    ],
)
def test_caps_hold_for_all_layers_together(tmp_path: Path, caps: Caps, problem: str) -> None:
    with pytest.raises(UnsafeArchive, match=problem):
        unpack(tmp_path, LOWER, (file("x", "12345"), file("y")), caps=caps)


def test_hard_links_count_as_the_copies_that_they_become(tmp_path: Path) -> None:
    bomb = (file("x", "x" * 1000), *((f"h{n}", "hard", 0o644, "x") for n in range(100)))
    with pytest.raises(UnsafeArchive, match="goes past the 50000 bytes"):
        unpack(tmp_path, bomb, caps=Caps(bytes=50_000))


def test_a_bomb_behind_the_archives_end_is_refused(tmp_path: Path) -> None:
    caps = Caps(bytes=1 << 20, entries=10)
    with pytest.raises(UnsafeArchive, match="expands past"):
        unpack(tmp_path, LOWER, caps=caps, compress=lambda plain: gzip.compress(plain + bytes(4 << 20)))


def test_a_layer_is_held_against_its_plain_hash_before_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "layer"
    path.write_bytes(gzip.compress(tar_bytes(*LOWER)))
    (tmp_path / "out").mkdir()
    with pytest.raises(HashMismatch, match="uncompressed; pinned is"):
        unpack_layers((Layer(name="image/layer", path=path, sha256="0" * 64),), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd, which is not read here"),
        (gzip.compress(tar_bytes(*LOWER))[:-20], "is damaged"),
        (gzip.compress(tar_bytes(*LOWER)[:700]), "is damaged"),
        (bz2.compress(b"no tar at all" * 100), "is damaged"),
    ],
)
def test_damaged_layers_are_refused(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "layer"
    path.write_bytes(data)
    (tmp_path / "out").mkdir()
    with pytest.raises(UnsafeArchive, match=problem):
        unpack_layers((Layer(name="image/layer", path=path, sha256="0" * 64),), tmp_path / "out")


@pytest.mark.skipif(shutil.which("tar") is None, reason="GNU tar is not installed")
def test_one_layer_is_what_tar_makes_of_it(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "usr" / "lib").mkdir(parents=True)
    (tree / "lib").symlink_to("/usr/lib")
    (tree / "usr" / "lib" / ("n" * 120)).write_bytes(os.urandom(100_000))
    (tree / "usr" / "run").write_text("run")
    (tree / "usr" / "run").chmod(0o4755)
    (tree / "usr" / "twin").hardlink_to(tree / "usr" / "run")
    plain = subprocess.run(["tar", "-C", tree, "-c", "."], check=True, capture_output=True).stdout
    path = tmp_path / "layer"
    path.write_bytes(gzip.compress(plain))
    (tmp_path / "out").mkdir()
    sha256 = hashlib.sha256(plain).hexdigest()
    unpack_layers((Layer(name="image/layer", path=path, sha256=sha256),), tmp_path / "out")
    assert nar_sha256(tmp_path / "out") == nar_sha256(tree)
