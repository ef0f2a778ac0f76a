"""The script builder and what it lets a patch do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import Entry, write_tree

SOURCE = "".join(f"line {number}\n" for number in range(1, 21))
PATCH = """A change.

--- a/src/one.txt
+++ b/src/one.txt
@@ -9,3 +9,3 @@
 line 9
-line 10
+line ten
 line 11
--
2.39
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree", {"src/one.txt": SOURCE})


def _task(tmp_path: Path, tree: Path, patch: str, script: str = "cat src/one.txt") -> dict[str, object]:
    file = tmp_path / "0001-a.patch"
    file.write_text(patch, encoding="utf-8")
    return {"script": script, "cwd": str(tree), "patches": [{"file": str(file), "directory": str(tree)}]}


@pytest.mark.usefixtures("gnu_patch")
def test_patch_then_script(tmp_path: Path, tree: Path, entry: Entry) -> None:
    ended = entry("build", _task(tmp_path, tree, PATCH))
    assert ended.status == 0
    assert "line ten" in ended.printed
    assert sorted(path.name for path in tree.rglob("*")) == ["one.txt", "src"]


@pytest.mark.usefixtures("gnu_patch")
def test_an_offset_is_allowed(tmp_path: Path, tree: Path, entry: Entry) -> None:
    (tree / "src/one.txt").write_text("new first line\n" + SOURCE)
    assert entry("build", _task(tmp_path, tree, PATCH)).status == 0


@pytest.mark.usefixtures("gnu_patch")
def test_fuzz_is_not(tmp_path: Path, tree: Path, entry: Entry) -> None:
    (tree / "src/one.txt").write_text(SOURCE.replace("line 9\n", "changed\n"))
    ended = entry("build", _task(tmp_path, tree, PATCH))
    assert ended.error["kind"] == "patch"
    assert "0001-a.patch: src/one.txt, hunk 1 does not apply" in ended.error["message"]
    assert not list(tree.rglob("*.rej"))
    assert not list(tree.rglob("*.orig"))


@pytest.mark.usefixtures("gnu_patch")
def test_a_patch_that_was_applied_already(tmp_path: Path, tree: Path, entry: Entry) -> None:
    (tree / "src/one.txt").write_text(SOURCE.replace("line 10", "line ten"))
    assert entry("build", _task(tmp_path, tree, PATCH)).error["kind"] == "patch"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("a/src/one.txt", "a/../../etc/passwd", "absolute, quoted, or leaves"),
        ("a/src/one.txt", "/etc/passwd", "absolute"),
        ("a/src/one.txt", "b/src/two.txt", "a rename"),
        ("one.txt", "one.txt", "no first part"),
        ("/dev/null", "/dev/null", "both names"),
    ],
)
def test_names_that_are_refused(
    tmp_path: Path, tree: Path, entry: Entry, old: str, new: str, why: str
) -> None:
    patch = PATCH.replace("--- a/src/one.txt", f"--- {old}").replace("+++ b/src/one.txt", f"+++ {new}")
    ended = entry("build", _task(tmp_path, tree, patch))
    assert (ended.error["kind"], why in ended.error["message"]) == ("patch", True)
    assert (tree / "src/one.txt").read_text() == SOURCE


@pytest.mark.parametrize(
    "line",
    ["GIT binary patch", "rename from src/one.txt", "old mode 100644", "new file mode 120000", "Index: x"],
)
def test_more_than_a_diff(tmp_path: Path, tree: Path, entry: Entry, line: str) -> None:
    ended = entry("build", _task(tmp_path, tree, line + "\n" + PATCH))
    assert "only plain unified diffs" in ended.error["message"]


def test_a_target_over_a_link(tmp_path: Path, tree: Path, entry: Entry) -> None:
    outside = write_tree(tmp_path / "outside", {"one.txt": SOURCE})
    (tree / "src/one.txt").unlink()
    (tree / "src").rmdir()
    (tree / "src").symlink_to(outside)
    ended = entry("build", _task(tmp_path, tree, PATCH))
    assert "symbolic link" in ended.error["message"]
    assert (outside / "one.txt").read_text() == SOURCE


def test_wrong_line_counts(tmp_path: Path, tree: Path, entry: Entry) -> None:
    ended = entry("build", _task(tmp_path, tree, PATCH.replace("@@ -9,3 +9,3 @@", "@@ -9,9 +9,9 @@")))
    assert "hunk 1 (line 5) ends too early" in ended.error["message"]


def test_a_script_that_fails(tree: Path, entry: Entry) -> None:
    ended = entry("build", {"script": "echo before; false; echo after", "cwd": str(tree)})
    assert (ended.error["kind"], ended.error["status"]) == ("build", 1)
    assert "before" in ended.printed
    assert "after" not in ended.printed


def test_a_pipe_that_fails_and_an_unset_name(tree: Path, entry: Entry) -> None:
    assert entry("build", {"script": "false | cat", "cwd": str(tree)}).status == 1
    assert entry("build", {"script": 'echo "$nowhere_set"', "cwd": str(tree)}).status == 1
    assert "nowhere_set" not in os.environ
