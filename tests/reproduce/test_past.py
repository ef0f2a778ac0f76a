"""Past locks found by content, and revisions laid out, in real git repositories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.errors import InvalidRecipe, NoHistory, UnknownZip, UnsafeArchive, UsageError
from layerlock.io.lockfile import dump_lock
from layerlock.model.lock import LockedPath
from layerlock.reproduce.history import History
from layerlock.reproduce.past import (
    Past,
    past_at,
    past_given,
    past_of_lock,
    past_of_zip,
    past_of_zip_at,
)
from tests.reproduce.locks import TREE, derivation, lock, recorded, source
from tests.reproduce.test_history import GIT, commit, git

OLD = dump_lock(lock(source(), derivation("zstd", "1", TREE), made=recorded("d")))
NEW = dump_lock(lock(source(), derivation("zstd", "2", TREE), made=recorded("e")))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make an empty repository."""
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet")
    write(root, "recipes/layers/zstd.toml", "one")
    return root


def write(root: Path, path: str, text: str) -> None:
    """Write a file of the repository."""
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def revisions(past: Past) -> list[str | None]:
    """Name the commits that recipes may be taken from."""
    return [checkout.revision for checkout in past.checkouts]


def test_every_commit_that_brought_a_lock_is_found_the_newest_first(checkout: Path) -> None:
    first = commit(checkout, OLD, "Old")
    commit(checkout, NEW, "New")
    again = commit(checkout, OLD, "Back")
    commit(checkout, OLD, "The same for another layer", layer="other")
    past = past_of_lock(History(checkout, GIT), OLD.encode(), "old.lock")
    assert revisions(past) == [again, first]
    assert past.text == OLD.encode()


def test_a_lock_that_only_a_merge_brought(checkout: Path) -> None:
    commit(checkout, OLD, "Old")
    git(checkout, "checkout", "--quiet", "-b", "side")
    write(checkout, "recipes/other", "x")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "-m", "Side")
    git(checkout, "checkout", "--quiet", "main")
    git(checkout, "merge", "--quiet", "--no-ff", "--no-commit", "side")
    merged = commit(checkout, NEW, "A merge that locks anew")
    git(checkout, "checkout", "--quiet", "--detach", "HEAD~1")
    past = past_of_zip(History(checkout, GIT), "e" * 64, "zstd.zip")
    assert revisions(past) == [merged]


def test_a_repository_in_a_folder_of_the_checkout(checkout: Path) -> None:
    below = checkout / "layers"
    write(below, "recipes/layers/zstd.toml", "below")
    revision = commit(below, OLD, "Below")
    commit(checkout, NEW, "Above")
    past = past_of_zip(History(below, GIT), "d" * 64, "zstd.zip")
    assert revisions(past) == [revision]
    past.checkouts[0].lay_out(past, checkout.parent / "out")
    assert (checkout.parent / "out/recipes/layers/zstd.toml").read_text() == "below"
    with pytest.raises(UnknownZip):
        past_of_zip(History(below, GIT), "e" * 64, "zstd.zip")


def test_what_was_never_committed(checkout: Path) -> None:
    commit(checkout, OLD, "Old")
    history = History(checkout, GIT)
    with pytest.raises(NoHistory, match=r"brought the lock new\.lock") as caught:
        past_of_lock(history, NEW.encode(), "new.lock")
    assert "--repo-rev" in caught.value.hint
    with pytest.raises(UnknownZip, match="no lock in this repository's history"):
        past_of_zip(history, "e" * 64, "zstd.zip")
    with pytest.raises(UnknownZip, match="no lock of the revision `HEAD`"):
        past_of_zip_at(history, "e" * 64, "zstd.zip", "HEAD")
    assert revisions(past_of_zip_at(history, "d" * 64, "zstd.zip", "HEAD")) == [
        git(checkout, "rev-parse", "HEAD")
    ]
    with pytest.raises(NoHistory, match="no revision `gone`"):
        past_given(history, NEW.encode(), "new.lock", "gone")
    with pytest.raises(UsageError):
        past_given(history, NEW.encode(), "new.lock", "--all")


def test_a_shallow_clone_says_so(checkout: Path, tmp_path: Path) -> None:
    commit(checkout, OLD, "Old")
    commit(checkout, NEW, "New")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth=1", checkout.as_uri(), str(clone))
    history = History(clone, GIT)
    assert len(past_of_zip(history, "e" * 64, "zstd.zip").checkouts) == 1
    finders: tuple[Callable[[], Past], ...] = (
        lambda: past_of_zip(history, "d" * 64, "zstd.zip"),
        lambda: past_of_lock(history, OLD.encode(), "old.lock"),
        lambda: past_at(history, "zstd", "HEAD~1"),
    )
    for find in finders:
        with pytest.raises(NoHistory, match="shallow") as caught:
            find()
        assert caught.value.hint == "bring the rest: git fetch --unshallow"


def test_locks_of_a_newer_layerlock(checkout: Path) -> None:
    commit(checkout, "version = 99\nzip = '" + "d" * 64 + "'\n", "Future")
    history = History(checkout, GIT)
    with pytest.raises(InvalidRecipe, match="version 99"):
        past_at(history, "zstd", "HEAD")
    with pytest.raises(InvalidRecipe, match="version 99"):
        past_of_lock(history, b"version = 99\n", "future.lock")
    with pytest.raises(UnknownZip):
        past_of_zip(history, "d" * 64, "zstd.zip")


def test_a_revision_that_lacks_the_layer(checkout: Path, tmp_path: Path) -> None:
    commit(checkout, OLD, "Old")
    (checkout / "recipes/layers/zstd.toml").unlink()
    write(checkout, "recipes/layers/other.toml", "x")
    commit(checkout, NEW, "No recipe")
    history = History(checkout, GIT)
    with pytest.raises(NoHistory, match="no lock of `other`"):
        past_at(history, "other", "HEAD")
    past = past_at(history, "zstd", "HEAD")
    with pytest.raises(NoHistory, match="has no layer `zstd`"):
        past.checkouts[0].lay_out(past, tmp_path / "out")


def test_a_revision_is_laid_out_as_it_is_stored(checkout: Path, tmp_path: Path) -> None:
    """No attribute, line end or exclusion takes part, and nothing but what building reads is written."""
    own = LockedPath(kind="path", key="own/own", path="code/own", tree=TREE)
    text = dump_lock(replace(lock(made=recorded("d")), sources=(own,)))
    write(checkout, ".gitattributes", "* text eol=crlf export-subst\npatches/** export-ignore\n")
    write(checkout, "recipes/data.txt", "$Format:%H$\n")
    write(checkout, "patches/a.patch", "a\n")
    write(checkout, "src/layerlock/guest/build.py", "x = 1\n")
    write(checkout, "src/layerlock/other.py", "x")
    write(checkout, "code/own/run.sh", "#!/bin/sh\n")
    (checkout / "code/own/run.sh").chmod(0o755)
    (checkout / "code/own/link").symlink_to("run.sh")
    write(checkout, "code/other/x", "x")
    commit(checkout, text, "All")
    past = past_at(History(checkout, GIT), "zstd", "HEAD")
    out = tmp_path / "out"
    past.checkouts[0].lay_out(past, out)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
    assert files == {
        "recipes/layers/zstd.toml",
        "recipes/data.txt",
        "patches/a.patch",
        "src/layerlock/guest/build.py",
        "code/own/run.sh",
        "code/own/link",
        "lockfiles/zstd.lock",
    }
    assert (out / "recipes/data.txt").read_bytes() == b"$Format:%H$\n"
    assert (out / "code/own/run.sh").stat().st_mode & 0o777 == 0o755
    assert (out / "code/own/link").readlink() == Path("run.sh")


def test_a_link_that_leads_outside_is_refused(checkout: Path, tmp_path: Path) -> None:
    (checkout / "recipes/out").symlink_to("../../secret")
    commit(checkout, OLD, "Hostile")
    past = past_at(History(checkout, GIT), "zstd", "HEAD")
    with pytest.raises(UnsafeArchive):
        past.checkouts[0].lay_out(past, tmp_path / "out")
