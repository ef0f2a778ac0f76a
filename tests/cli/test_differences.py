"""`layerlock diff` and `layerlock history`, run for real."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from layerlock.io.lockfile import dump_lock
from tests.cli.conftest import Run
from tests.reproduce.test_compare import make_tree, make_zip
from tests.reproduce.test_history import NEW, OLD, commit, git


@pytest.fixture
def past(repository: Path) -> Path:
    """Give the repository with a history of two locks."""
    git(repository, "init", "--quiet")
    commit(repository, dump_lock(OLD), "Old")
    commit(repository, dump_lock(NEW), "New")
    return repository


def test_diff_of_zips_and_folders_needs_no_repository(layerlock: Run, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    make_zip(work / "a.zip", {"x": b"at /build/one\0"})
    make_zip(work / "b.zip", {"x": b"at /build/two\0"})
    make_tree(work / "folder", {"x": b"at /build/one\0"})
    same = layerlock("diff", "a.zip", "folder", cwd=work)
    assert (same.returncode, same.stdout, same.stderr) == (0, "identical\n", "")
    other = layerlock("diff", "a.zip", "b.zip", cwd=work)
    assert (other.returncode, other.stderr) == (1, "")
    assert "  x: 3 of 14 bytes differ, first at offset 10\n" in other.stdout
    assert "    build path, and nothing else: /build/one before, /build/two after\n" in other.stdout
    row = json.loads(layerlock("diff", "a.zip", "b.zip", "--json", cwd=work).stdout)
    assert (row["event"], row["verb"], row["kind"], row["identical"]) == ("Result", "diff", "files", False)
    assert row["changed"][0]["contents"]["first"] == 10


def test_diff_of_locks(layerlock: Run, past: Path) -> None:
    (past / "old.lock").write_text(dump_lock(OLD), encoding="utf-8")
    for before in ("zstd@HEAD~1", "old.lock", "./old.lock"):
        done = layerlock("diff", before, "zstd")
        assert (done.returncode, done.stderr) == (1, "")
        assert "  zstd/zstd: 1.5.4 (aaaaaaaaaaaaaaaa) before, 1.5.5 (" in done.stdout
    done = layerlock("diff", "zstd@HEAD", "zstd", "--json")
    assert done.returncode == 0
    row = json.loads(done.stdout)
    assert (row["kind"], row["identical"], row["same_zip"]) == ("locks", True, True)


def test_diff_of_what_cannot_be_compared(layerlock: Run, past: Path, tmp_path: Path) -> None:
    make_tree(past / "zstd", {"a": b""})
    mixed = layerlock("diff", "zstd", "./zstd")
    assert mixed.returncode == 2
    assert mixed.stderr.startswith("error: `zstd` is a lock, `./zstd` is a zip or folder\nhint: ")
    assert layerlock("diff", "nothing", "zstd").returncode == 2
    assert layerlock("diff", "zstd@--help", "zstd").returncode == 2
    assert layerlock("diff", "zstd@nowhere", "zstd").returncode == 25
    (past / "bad.zip").write_bytes(b"bad")
    assert layerlock("diff", "bad.zip", "zstd/").returncode == 15
    assert layerlock("diff", "zstd/", "zstd/", "--diffoscope", PATH=str(tmp_path)).returncode == 2


def test_diff_hands_over_to_diffoscope(layerlock: Run, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "diffoscope"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    one, two = (make_tree(tmp_path / name, {"a": name.encode()}) for name in ("one", "two"))
    path = f"{program.parent}:/usr/bin:/bin"
    done = layerlock("diff", str(one), str(two), "--diffoscope", PATH=path)
    assert done.returncode == 1
    assert done.stdout.endswith(f"first at offset 0\n-- {one} {two}\n")
    done = layerlock("diff", str(one), str(two), "--diffoscope", "--json", PATH=path)
    assert json.loads(done.stdout)["identical"] is False
    assert done.stderr == f"-- {one} {two}\n"


def test_diff_writes_hostile_names_harmlessly(layerlock: Run, tmp_path: Path) -> None:
    one = make_zip(tmp_path / "1.zip", {"a": b""})
    two = make_zip(tmp_path / "2.zip", {"a": b"", "\x1b[31mred\nnew line": b""})
    done = layerlock("diff", str(one), str(two))
    assert "\x1b" not in done.stdout
    assert "  red new line (0 B)\n" in done.stdout


def test_history(layerlock: Run, past: Path) -> None:
    done = layerlock("history", "zstd")
    assert (done.returncode, done.stderr) == (0, "")
    header, new, old = done.stdout.splitlines()
    assert header.split() == ["revision", "date", "zip", "zipped", "unzipped", "changed"]
    head = git(past, "rev-parse", "HEAD")
    assert new.startswith(f"{head[:12]}  2026-01-02  {'e' * 16}  ")
    assert new.endswith("sources: zstd/zstd 1.5.4 to 1.5.5; derivations: zstd")
    assert old.endswith("the first lock")
    row = json.loads(layerlock("history", "zstd", "--json").stdout)
    assert [each["subject"] for each in row["locks"]] == ["New", "Old"]
    assert row["locks"][0]["zip"] == dataclasses.asdict(NEW.zip) if NEW.zip else None


def test_history_without_one(layerlock: Run) -> None:
    done = layerlock("history", "zstd")
    assert done.returncode == 25
    assert "is in no git checkout" in done.stderr
    assert "hint: clone the repository" in done.stderr
