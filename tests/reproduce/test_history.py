"""Past locks, out of real git repositories."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from layerlock.errors import InvalidRecipe, NoHistory, UsageError
from layerlock.io.lockfile import dump_lock
from layerlock.reproduce.history import History
from layerlock.sources.git_program import GitProgram
from tests.reproduce.locks import TREE, derivation, lock, recorded, source

GIT = GitProgram(variables={"PATH": os.environ["PATH"]})


def git(root: Path, *arguments: str) -> str:
    """Run git with nobody's configuration."""
    settings = [
        "user.name=A Tester",
        "user.email=tester@example.invalid",
        "commit.gpgSign=false",
        "init.defaultBranch=main",
        "protocol.file.allow=always",
    ]
    configured = [part for setting in settings for part in ("-c", setting)]
    variables = {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z",
        "GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z",
    }
    command = ["git", *configured, *arguments]
    return subprocess.run(
        command, cwd=root, env=variables, capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()


def commit(root: Path, text: str | None, message: str, layer: str = "zstd") -> str:
    """Commit a text of the lock, or its removal."""
    path = root / "lockfiles" / f"{layer}.lock"
    path.parent.mkdir(exist_ok=True)
    if text is None:
        path.unlink()
    else:
        path.write_text(text, encoding="utf-8")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "-m", message)
    return git(root, "rev-parse", "HEAD")


OLD = lock(source(), derivation("zstd", "1", script="x"))
NEW = lock(
    source(version="1.5.5", sha256="b" * 64), derivation("zstd", "2", TREE, script="y"), made=recorded("e")
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Give a checkout with two locks of one layer, and a commit that touches neither."""
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet")
    commit(root, dump_lock(OLD), "Old")
    commit(root, "nothing\n", "Another", layer="other")
    commit(root, dump_lock(NEW), "New\n\nwith a body")
    return root


def test_past_locks_come_newest_first(checkout: Path) -> None:
    new, old = History(checkout, GIT).past_locks("zstd")
    assert (new.subject, old.subject) == ("New", "Old")
    assert new.revision == git(checkout, "rev-parse", "HEAD")
    assert new.date.startswith("2026-01-02T03:04:05")
    assert (new.lock, old.lock) == (NEW, OLD)
    assert old.change is None
    assert new.change is not None
    assert [change.key for change in new.change.sources] == ["zstd/zstd"]


def test_removed_and_unreadable_locks_are_told(checkout: Path) -> None:
    commit(checkout, "version = 99\n", "Future")
    commit(checkout, None, "Removed")
    commit(checkout, dump_lock(NEW), "Back")
    back, removed, future, *_ = History(checkout, GIT).past_locks("zstd")
    assert removed.problem == "the lock was removed"
    assert future.problem == "cannot be read: the lock has version 99; this layerlock reads up to 2"
    assert back.change is not None
    assert back.change.identical


def test_a_lock_at_a_revision(checkout: Path) -> None:
    git(checkout, "tag", "v1", "HEAD~2")
    history = History(checkout, GIT)
    assert history.lock_at("zstd", "HEAD") == NEW
    for name in ("HEAD~1", "v1", git(checkout, "rev-parse", "--short", "v1"), "main^^"):
        assert history.lock_at("zstd", name) == OLD


def test_a_repository_below_the_top_of_a_checkout(tmp_path: Path) -> None:
    below = tmp_path / "checkout" / "recipes of mine"
    below.mkdir(parents=True)
    git(below.parent, "init", "--quiet")
    commit(below, dump_lock(OLD), "Old")
    assert History(below, GIT).lock_at("zstd", "HEAD") == OLD
    assert len(History(below, GIT).past_locks("zstd")) == 1


def test_a_second_work_tree(checkout: Path, tmp_path: Path) -> None:
    git(checkout, "worktree", "add", "--quiet", str(tmp_path / "second"), "HEAD~1")
    assert [past.subject for past in History(tmp_path / "second", GIT).past_locks("zstd")] == ["Old"]


@pytest.mark.parametrize(
    "revision", ["--output=x", "-h", "HEAD..main", "HEAD:lockfiles/zstd.lock", ":/New", "a b", "a\nb", ""]
)
def test_what_names_no_revision_is_refused(checkout: Path, revision: str) -> None:
    with pytest.raises(UsageError):
        History(checkout, GIT).lock_at("zstd", revision)


def test_revisions_and_layers_that_are_not_there(checkout: Path) -> None:
    history = History(checkout, GIT)
    with pytest.raises(NoHistory, match="no revision `nowhere`"):
        history.lock_at("zstd", "nowhere")
    with pytest.raises(NoHistory, match=r"no lock of `other` \(lockfiles/other\.lock\)"):
        history.lock_at("other", "HEAD~2")
    with pytest.raises(NoHistory, match="no commit has a lock of `never`"):
        history.past_locks("never")
    with pytest.raises(InvalidRecipe, match=r"lockfiles/other\.lock at HEAD"):
        history.lock_at("other", "HEAD")
    with pytest.raises(UsageError):
        history.past_locks("../../etc/passwd")


def test_the_checkouts_settings_run_nothing(checkout: Path, tmp_path: Path) -> None:
    trap = f"touch {tmp_path / 'sprung'}; cat"
    (checkout / ".gitattributes").write_text("*.lock diff=trap filter=trap\n", encoding="utf-8")
    for name in ("diff.trap.textconv", "diff.external", "filter.trap.smudge", "core.pager", "core.fsmonitor"):
        git(checkout, "config", name, trap)
    git(checkout, "config", "log.showSignature", "true")
    git(checkout, "config", "gpg.program", trap)
    history = History(checkout, GIT)
    assert history.lock_at("zstd", "HEAD") == NEW
    assert len(history.past_locks("zstd")) == 2
    assert not (tmp_path / "sprung").exists()


def test_a_shallow_clone(checkout: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "--quiet", "--depth=1", checkout.as_uri(), "shallow")
    history = History(tmp_path / "shallow", GIT)
    assert history.lock_at("zstd", "HEAD") == NEW
    with pytest.raises(NoHistory, match="shallow") as caught:
        history.past_locks("zstd")
    assert caught.value.hint == "bring the rest: git fetch --unshallow"
    with pytest.raises(NoHistory, match="shallow"):
        history.lock_at("zstd", "HEAD~2")


def test_without_commits(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    with pytest.raises(NoHistory, match="git could not read the history"):
        History(tmp_path, GIT).past_locks("zstd")


def test_without_a_checkout(tmp_path: Path) -> None:
    with pytest.raises(NoHistory, match="is in no git checkout"):
        History(tmp_path, GIT)


def test_without_git(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(NoHistory, match="`git` is not installed"):
        History(checkout, GitProgram(variables={"PATH": str(tmp_path)}))
