"""A tree of links over another one, without some of its paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from layerlock.io.atomic import remove_tree
from layerlock.io.linkedtree import link_tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Give a sealed tree, as the store has them."""
    for name in ("a/one.py", "a/b/two.py", "c/three.py"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        path.chmod(0o444)
    (tmp_path / "tree/link").symlink_to("a/one.py")
    for folder in ("a/b", "a", "c", ""):
        (tmp_path / "tree" / folder).chmod(0o555)
    return tmp_path / "tree"


def listed(folder: Path) -> set[str]:
    """Give what is in a tree."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_paths_are_left_out_and_folders_that_are_empty_then(tree: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    link_tree(tree, made, frozenset({"a/b/two.py", "c"}))
    assert listed(made) == {"a", "a/one.py", "link"}
    assert made.joinpath("link").readlink() == Path("a/one.py")
    assert made.joinpath("a").stat().st_mode & 0o777 == 0o555
    remove_tree(made)
    assert listed(tree) == {"a", "a/one.py", "a/b", "a/b/two.py", "c", "c/three.py", "link"}
    assert (tree / "a/one.py").stat().st_mode & 0o777 == 0o444


def test_files_are_links_or_else_copies(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link_tree(tree, tmp_path / "made", frozenset())
    assert (tmp_path / "made/c/three.py").samefile(tree / "c/three.py")

    def refuse(*_: object) -> None:
        raise PermissionError(1, "as protected_hardlinks does it to files of others")

    monkeypatch.setattr(os, "link", refuse)
    link_tree(tree, tmp_path / "copied", frozenset())
    copied = tmp_path / "copied/c/three.py"
    assert (copied.read_text(), copied.samefile(tree / "c/three.py")) == ("c/three.py", False)
