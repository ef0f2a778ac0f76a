"""The verbs that need no build, run for real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from layerlock.store.local import LocalStore
from tests.cli.conftest import Run, write_package


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a folder with everything that a NAR knows."""
    root = tmp_path / "tree"
    (root / "empty").mkdir(parents=True)
    (root / "script").write_text("#!/bin/sh\n")
    (root / "script").chmod(0o755)
    (root / "text").write_text("hello\n")
    (root / "link").symlink_to("text")
    return root


# Of `nix hash path`, Nix 2.8.
TREE = "sha256-prQagsqmzfmJgdjS5RjJcIrqCxYQdBPGdEqQEd6Qoy8="
TEXT = "sha256-HDfQGvQL4ugGkd48w99EN3ppmvuxfGjwgJZLL9Bx/BM="
LINK = "sha256-3oy2z3aldeROy67eHpyyL4r3/5uRCPQx80TfnqPPht8="


@pytest.mark.parametrize(("name", "known"), [(".", TREE), ("text", TEXT), ("link", LINK)])
def test_hash_is_that_of_nix(layerlock: Run, tree: Path, name: str, known: str) -> None:
    done = layerlock("hash", name, cwd=tree)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{known}\n", "")
    nix = shutil.which("nix")
    if nix is not None:
        command = [nix, "--extra-experimental-features", "nix-command", "hash", "path", name]
        said = subprocess.run(
            command, cwd=tree, capture_output=True, text=True, timeout=60, check=True
        ).stdout
        assert said.strip() == known


def test_hash_as_json(layerlock: Run, tree: Path) -> None:
    row = json.loads(layerlock("hash", "text", "--json", cwd=tree).stdout)
    assert (row["event"], row["verb"], row["hash"]) == ("Result", "hash", TEXT)
    assert row["path"] == str(tree / "text")


def test_show_lists_what_there_is(layerlock: Run, repository: Path) -> None:
    (repository / "recipes" / "packages" / "below").mkdir()
    done = layerlock("show", cwd=repository / "recipes" / "packages" / "below")
    assert done.returncode == 0
    assert done.stdout.split("\n") == [
        "layers:",
        "  none",
        "packages:",
        "  library  1.0  A package for tests",
        "  program  1.0  A package for tests",
        "",
    ]


def test_show_names_derivations_in_build_order(layerlock: Run) -> None:
    done = layerlock("--json", "show", "program")
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, done.stdout.splitlines())
    assert [d["name"] for d in row["derivations"]] == ["environment-small", "library", "program"]
    assert all(len(d["planned"]) == 64 and d["built"] is False for d in row["derivations"])
    assert [(s["key"], s["fetched"]) for s in row["sources"]] == [
        ("library/library", False),
        ("program/program", False),
    ]
    text = layerlock("show", "program").stdout
    assert text.startswith("program 1.0: A package for tests\nMIT\n\nderivation ")
    assert row["derivations"][2]["planned"][:16] in text


def test_the_repository_may_be_elsewhere(layerlock: Run, repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    (other / "recipes" / "packages").mkdir(parents=True)
    write_package(other, "elsewhere")
    for arguments in (("--repo", "../other", "show"), ("show", "--repo", str(other))):
        assert "  elsewhere  1.0  A package" in layerlock(*arguments).stdout


def test_offline_names_what_is_missing(layerlock: Run) -> None:
    done = layerlock("build", "library", "--offline")
    assert done.returncode == 18
    assert done.stderr.startswith("error: library/library is not ")


def test_errors_are_events_too(layerlock: Run) -> None:
    done = layerlock("build", "library", "--offline", "--json")
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["event"], last["kind"], last["exit_code"]) == ("Error", "Offline", 18)
    assert done.returncode == 18
    assert done.stderr.startswith("error: ")


def test_log_of_what_was_not_built(layerlock: Run) -> None:
    done = layerlock("log", "program")
    assert done.returncode == 2
    assert done.stderr == (
        "error: `program` was not built from the recipes as they stand\nhint: run: layerlock build program\n"
    )


def test_log_comes_byte_for_byte(layerlock: Run, home: Path) -> None:
    row = json.loads(layerlock("--json", "show", "program").stdout)
    store = LocalStore(home / ".cache" / "layerlock")
    log = store.log_path(row["derivations"][2]["planned"])
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("one\n\x1b[31mtwo\x1b[0m\n", encoding="utf-8")
    assert layerlock("log", "program").stdout == "one\n\x1b[31mtwo\x1b[0m\n"
    assert layerlock("log", "program", "--path").stdout == f"{log}\n"
    assert json.loads(layerlock("log", "program", "--json").stdout)["path"] == str(log)


def add_file(store: LocalStore, text: str) -> Path:
    import hashlib  # noqa: PLC0415

    data = text.encode()
    return store.add_file(hashlib.sha256(data).hexdigest(), "file", lambda place: _fill(place, data))


def _fill(place: Path, data: bytes) -> None:
    place.write_bytes(data)


def test_gc_says_what_it_would_do_and_does_it(layerlock: Run, tmp_path: Path) -> None:
    place = tmp_path / "store"
    path = add_file(LocalStore(place), "x" * 1000)
    dry = layerlock("gc", "--dry-run", "--store", str(place))
    assert dry.returncode == 0, dry.stderr
    assert dry.stdout == f"  files/{path.name}\nwould free 1 kB in 1 entry of {place}, which then holds 0 B\n"
    assert path.is_file()
    small = layerlock("gc", "--max-size", "1 MB", "--store", str(place))
    assert small.stdout == f"freed 0 B in 0 entries of {place}, which then holds 1 kB\n"
    done = layerlock("gc", LAYERLOCK_STORE=str(place))
    assert (done.returncode, done.stdout) == (0, f"freed 1 kB in 1 entry of {place}, which then holds 0 B\n")
    assert not path.exists()


def test_verify_finds_damage(layerlock: Run, tmp_path: Path) -> None:
    place = tmp_path / "store"
    path = add_file(LocalStore(place), "hello")
    fine = layerlock("verify", "--store", str(place))
    assert (fine.returncode, fine.stdout) == (0, f"everything in {place} is what it says\n")
    path.chmod(0o644)
    path.write_text("hallo")
    done = layerlock("verify", "--store", str(place))
    assert done.returncode == 17
    assert done.stdout.startswith(f"{path}: its sha256 is ")
    assert done.stderr.startswith(f"error: 1 finding in {place}\nhint: ")


@pytest.mark.parametrize("kind", ["package", "layer", "lock"])
def test_schema(layerlock: Run, kind: str) -> None:
    done = layerlock("schema", kind)
    assert json.loads(done.stdout)["title"] == f"layerlock {kind}"


def test_the_store_is_where_the_environment_says(layerlock: Run, tmp_path: Path, home: Path) -> None:
    for extra, expected in (
        ({}, home / ".cache" / "layerlock"),
        ({"XDG_CACHE_HOME": str(tmp_path / "cache")}, tmp_path / "cache" / "layerlock"),
        ({"XDG_CACHE_HOME": "relative"}, home / ".cache" / "layerlock"),
        ({"XDG_CACHE_HOME": "/x", "LAYERLOCK_STORE": str(tmp_path / "mine")}, tmp_path / "mine"),
    ):
        assert f"everything in {expected} is" in layerlock("verify", **extra).stdout
    nowhere = layerlock("verify", HOME="")
    assert (nowhere.returncode, nowhere.stdout) == (2, "")
    assert "hint: name one with --store DIR" in nowhere.stderr


def test_nothing_is_written_beside_the_store(layerlock: Run, repository: Path) -> None:
    before = sorted(os.walk(repository))
    for arguments in (("show",), ("show", "program"), ("build", "library", "--offline"), ("verify",)):
        layerlock(*arguments)
    assert sorted(os.walk(repository)) == before


def test_new_overwrites_nothing(layerlock: Run, repository: Path) -> None:
    before = sorted(repository.rglob("*"))
    done = layerlock("new", "library==1.0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "recipes/packages/library.toml is there already; nothing is overwritten" in done.stderr
    assert "layerlock update library" in done.stderr
    done = layerlock("new", "other", "--name", "../other")
    assert (done.returncode, done.stdout) == (2, "")
    assert sorted(repository.rglob("*")) == before
