"""Tree hashes, against values that `nix hash path` gave, and against Nix itself where it is installed."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from layerlock.errors import StoreError
from layerlock.io.atomic import remove_tree
from layerlock.io.nar import nar_chunks, nar_digest, nar_sha256, nar_size

needs_nix = pytest.mark.skipif(shutil.which("nix") is None, reason="nix is not installed")


def small_tree(root: Path) -> Path:
    """One of everything that a NAR tells apart, with names whose order differs between bytes and alphabets."""
    (root / "sub" / "empty").mkdir(parents=True)
    (root / "a").write_bytes(b"hello\n")
    (root / "Z").write_bytes(b"12345678")
    (root / "z-run").write_bytes(b"#!/bin/sh\n")
    (root / "z-run").chmod(0o755)
    (root / "ä").write_bytes(b"")
    (root / "a.b").write_bytes(b"dot")
    (root / "a0").write_bytes(b"zero")
    (root / "sub" / "link").symlink_to("../a")
    (root / "sub" / "dangling").symlink_to("/nowhere")
    return root


def nix(path: Path) -> str:
    command = ["nix", "--extra-experimental-features", "nix-command", "hash", "path", "--sri", str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_tree_has_the_hash_that_nix_gives_it(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    assert nar_sha256(tree) == "sha256-Ls40v0D1G/ZvwswnFz12U6PIR8S20y8lJupdhAjiy2Y="


@pytest.mark.parametrize(
    ("contents", "mode", "expected"),
    [
        (b"", 0o644, "sha256-d6xi4mKdjkX2JFicDIv5niSzpyI0m/Hnm8GGAIU04kY="),
        (b"hello\n", 0o644, "sha256-HDfQGvQL4ugGkd48w99EN3ppmvuxfGjwgJZLL9Bx/BM="),
        (b"hello\n", 0o744, "sha256-ZUNgOdP5PKGajb8cYLFXOe1Y9T8UuNNyrMGzUVMwEPo="),
    ],
)
def test_a_single_file_has_the_hash_that_nix_gives_it(
    tmp_path: Path, contents: bytes, mode: int, expected: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(contents)
    path.chmod(mode)
    assert nar_sha256(path) == expected


def test_a_single_link_is_hashed_and_not_followed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    assert nar_sha256(link) == "sha256-y4xiyvKomXslPtBn1FbatS+OmBTXEMSz4h3GEMZ4x3Q="


@needs_nix
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nix_agrees_on_random_trees(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folders = [tmp_path / "tree"]
    folders[0].mkdir()
    for number in range(60):
        name = f"{chance.choice('aAzZ_.-+0é~')}{number}"
        place = chance.choice(folders) / name
        match chance.randrange(4):
            case 0:
                place.mkdir()
                folders.append(place)
            case 1:
                place.symlink_to(chance.choice(["..", "x" * 100, "/etc/passwd", "a/b"]))
            case _:
                # Around the padding of 8 bytes, and around the sizes where reading goes another way.
                size = chance.choice([0, 1, 7, 8, 9, 4096, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, 3 << 20])
                place.write_bytes(chance.randbytes(size))
                place.chmod(chance.choice([0o644, 0o755, 0o600, 0o711, 0o654]))
    assert nar_sha256(tmp_path / "tree") == nix(tmp_path / "tree")


def test_only_what_a_nar_knows_changes_the_hash(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    before = nar_sha256(tree)
    os.utime(tree / "a", (5, 5))
    (tree / "a").chmod(0o600)
    (tree / "Z").chmod(0o655)  # group and others may execute it, its owner may not
    (tree / "sub").chmod(0o700)
    assert nar_sha256(tree) == before
    (tree / "Z").chmod(0o744)
    assert nar_sha256(tree) != before


def test_the_size_is_that_of_the_serialisation(tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    (tree / "large").write_bytes(bytes((64 << 10) + 5))
    nar = b"".join(bytes(chunk) for chunk in nar_chunks(tree))
    assert nar.startswith(b"\x0d\0\0\0\0\0\0\0nix-archive-1")
    assert nar_size(tree) == nar_digest(tree).size == len(nar)


def test_a_tree_deeper_than_recursion_goes(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for depth in range(1200):
        (tree / "/".join(["d"] * depth)).mkdir()
    try:
        assert nar_size(tree) > 1200 * 8
    finally:
        remove_tree(tree)  # pytest's own cleaning up is recursive


def test_sockets_have_no_nar(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(StoreError, match="neither a file"):
            nar_sha256(tmp_path)
