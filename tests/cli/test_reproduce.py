"""`layerlock reproduce` and `layerlock archive`: what they refuse before anything is built."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.reproduce.locks import derivation, lock
from tests.reproduce.test_history import commit, git


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("reproduce",), "nothing named to reproduce"),
        (("reproduce", "small@HEAD", "--zip", "x"), "name one thing to reproduce"),
        (("reproduce", "small@HEAD", "--repo-rev", "x"), "--repo-rev belongs to --lock or --zip"),
        (("reproduce", "small"), "`small` names no revision"),
        (("reproduce", "Small@x"), "names no past layer"),
        (("reproduce", "--zip", "gone.zip"), "gone.zip cannot be read"),
        (("reproduce", "--lock", "gone.lock"), "gone.lock cannot be read"),
        (("reproduce", "small", "--from", "."), "is no archive"),
        (("archive", "small"), "a layer and the folder of the archive are needed"),
        (("archive", "--to", "x"), "a layer and the folder of the archive are needed"),
        (("archive", "small", "--to", "x"), "there is no layer `small`"),
        (("archive", "small", "--verify", "x"), "--verify DIR stands alone"),
        (("archive", "--verify", "x"), "x is no archive"),
        (("build", "library", "--from", "gone"), "gone is no archive"),
        (("fetch", "library", "--from", "gone"), "gone is no archive"),
    ],
)
def test_mistakes(layerlock: Run, repository: Path, arguments: tuple[str, ...], says: str) -> None:
    done = layerlock(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert says in done.stderr
    assert "hint: " in done.stderr or "cannot be read" in done.stderr
    assert not (repository / "x").exists()


def test_without_git_or_history(layerlock: Run, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "any.zip").write_bytes(b"any")
    for arguments in (("small@HEAD",), ("--zip", "../any.zip")):
        done = layerlock("reproduce", *arguments)
        assert done.returncode == 25
        assert "is in no git checkout" in done.stderr
    git(repository, "init", "--quiet")
    assert "no revision `HEAD`" in layerlock("reproduce", "small@HEAD").stderr
    done = layerlock("reproduce", "--zip", "../any.zip")
    assert done.returncode == 26
    assert "recorded the zip ../any.zip" in done.stderr
    shutil.rmtree(repository / ".git")
    (tmp_path / "bin").mkdir()
    missing = layerlock("reproduce", "small@HEAD", PATH=str(tmp_path / "bin"))
    assert missing.returncode == 25
    assert "`git` is not installed" in missing.stderr


def test_a_lock_without_a_record_is_nothing_to_compare_with(layerlock: Run, repository: Path) -> None:
    from layerlock.io.lockfile import dump_lock  # noqa: PLC0415

    git(repository, "init", "--quiet")
    (repository / "recipes/layers/small.toml").write_text("[layer]\n")
    commit(repository, dump_lock(lock(derivation("one", "1"), layer="small")), "Lock", layer="small")
    done = layerlock("reproduce", "small@HEAD")
    assert done.returncode == 2
    assert "the lock of `small` records no outputs" in done.stderr
