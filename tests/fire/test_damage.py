"""Bits that flip in a store: found, never used where that can be known, and mended from what is still sound."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layerlock.errors import StoreError
from layerlock.events import BuildStarted, Event, silent
from layerlock.io.lockfile import read_lock
from layerlock.model.derivation import Realisation
from layerlock.model.digest import unsri
from layerlock.store.layout import checkout_root
from layerlock.store.local import LocalStore
from layerlock.workflows.building import build_layer, build_package
from tests.fire.conftest import Fire, copy_store, own
from tests.fire.repository import lock_file, make_driver

pytestmark = pytest.mark.sandbox


@pytest.fixture
def store(fire: Fire, tmp_path: Path) -> LocalStore:
    """Give a copy of the store that holds everything."""
    copy_store(fire.full, tmp_path / "store")
    fire.web.asked.clear()
    return LocalStore(tmp_path / "store")


def flip(path: Path) -> Path:
    """Flip a bit in the middle of a file, as a disk does: no time and no mode tells of it."""
    own(path)
    status = path.stat()
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    path.chmod(status.st_mode)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return path


def verify(fire: Fire, store: LocalStore, *arguments: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """Run `layerlock verify`; give its exit code, its result, and its last event, which is an error if it failed."""
    command = [sys.executable, "-m", "layerlock", "--repo", str(fire.repository), "--store", str(store.root)]
    done = subprocess.run(
        [*command, "--json", "verify", *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events, done.stderr
    return done.returncode, next(e for e in events if e["event"] == "Result"), events[-1]


def made(fire: Fire, store: LocalStore, name: str) -> Realisation:
    """Give what the store says of a derivation of the layer `one`."""
    derivation = read_lock(lock_file(fire.repository, "one"), "one").derivation(name)
    assert derivation is not None
    found = store.planned(derivation.planned)
    assert found is not None
    return found


def inside(tree: Path) -> Iterator[Path]:
    return (path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink())


def test_everything_that_flips_is_found_and_mended(fire: Fire, store: LocalStore) -> None:
    """One of every kind at once: sources, outputs, each record alone, both records of a build, a root."""
    layout = store.layout
    builds = {
        name: made(fire, store, name) for name in ("environment-small", "a", "b-after-a", "layer-one-zip")
    }
    trees = {name: store.held_tree(build.output) for name, build in builds.items()}
    sources = [next(layout.files.glob(f"*-{name}*")) for name in ("dash_", "a-1.0", "deflate")]
    records = [
        layout.planned / f"{builds['a'].planned}.json",
        layout.realisations / f"{builds['environment-small'].resolved}.json",
        layout.planned / f"{builds['layer-one-zip'].planned}.json",
        layout.realisations / f"{builds['layer-one-zip'].resolved}.json",
    ]
    program = next(layout.trees.glob("*-sandbox-program"))
    root = checkout_root(layout, fire.repository, "two")
    for path in (*sources, *records, root):
        flip(path)
    for tree in (trees["environment-small"], trees["b-after-a"], trees["layer-one-zip"], program):
        flip(max(inside(tree), key=lambda path: path.stat().st_size))
    (trees["a"] / "python").chmod(0o755)  # only outwardly
    flipped = {*sources, *records, root, program, *trees.values()}

    code, result, error = verify(fire, store)
    assert (code, error["kind"]) == (17, "StoreError")
    assert {Path(found["path"]) for found in result["damaged"]} == flipped
    assert "verify --repair" in error["hint"]
    assert fire.web.asked == []

    code, result, _ = verify(fire, store, "--repair")
    told = {Path(each["path"]): each["done"] for each in result["repaired"]}
    assert code == 0, told
    assert told.keys() == flipped
    assert all(each["good"] for each in result["repaired"])
    for path, expected in (
        (sources[0], "small/dash was fetched again"),
        (records[0], "other record"),
        (records[1], "other record"),
        (records[2], "layer-one-zip was built again"),
        (records[3], "came back"),
        (trees["environment-small"], "environment-small was built again"),
        (trees["b-after-a"], "b-after-a was built again"),
        (trees["a"], "modes and times were put right"),
        (program, "sandbox's program"),
        (root, "two was registered again"),
    ):
        assert expected in told[path]
    assert sorted(fire.web.asked) == sorted({f"/{path.name[65:]}" for path in sources})
    assert store.verify(silent) == ()
    events: list[Event] = []
    for layer in ("one", "two"):
        built = build_layer(
            make_driver(fire.repository, store.root, events.append), layer, store.root / "out"
        )
        assert built.sha256 == fire.zip_sha256(layer)
    assert [event for event in events if isinstance(event, BuildStarted)] == []


def test_what_cannot_be_brought_back_is_told(fire: Fire, store: LocalStore) -> None:
    """Without a network a file stays away and the exit code says so; what no lock needs is no loss."""
    lost = flip(next(store.layout.files.glob("*-c-1.0*")))
    tree = next(store.layout.trees.glob("*-c"))
    flip(max(inside(tree), key=lambda path: path.stat().st_size))
    foreign = store.layout.files / f"{'0' * 64}-nobody-needs-it"
    foreign.write_bytes(b"x")
    code, result, error = verify(fire, store, "--repair", "--offline")
    told = {Path(each["path"]): (each["good"], each["done"]) for each in result["repaired"]}
    assert (code, error["kind"]) == (17, "StoreError")
    assert lost.name in error["message"]
    assert not told[lost][0]
    assert not told[tree][0]
    assert "could not be brought back" in told[lost][1]
    assert told[foreign] == (True, "it was removed; no lock needs it")
    # Nothing damaged is left; with a network the next build brings it back.
    assert store.verify(silent) == ()
    built = build_layer(make_driver(fire.repository, store.root), "two", store.root / "out")
    assert built.sha256 == fire.zip_sha256("two")


def forget(fire: Fire, store: LocalStore, name: str) -> None:
    """Have a derivation built again: its records and its output go."""
    build = made(fire, store, name)
    (store.layout.planned / f"{build.planned}.json").unlink()
    (store.layout.realisations / f"{build.resolved}.json").unlink()
    shutil.rmtree(store.held_tree(build.output))


def build_again(fire: Fire, store: LocalStore) -> None:
    build_layer(make_driver(fire.repository, store.root), "one", store.root / "out")


def test_a_build_refuses_a_source_that_flipped(fire: Fire, store: LocalStore) -> None:
    """Every source is hashed again before it is unpacked."""
    forget(fire, store, "a")
    bad = flip(next(store.layout.files.glob("*[0-9a-f]-a-1.0*")))
    with pytest.raises(StoreError, match="is damaged: its sha256 is") as caught:
        build_package(make_driver(fire.repository, store.root), "a")
    assert bad.name in caught.value.message
    assert "verify --repair" in caught.value.hint


def test_a_build_refuses_an_input_that_was_edited(fire: Fire, store: LocalStore) -> None:
    """An edit leaves its time; a root that was mended by hand must not shape an output."""
    forget(fire, store, "a")
    tree = store.held_tree(made(fire, store, "environment-small").output)
    edited = tree / "usr" / "bin" / "env"
    own(edited)
    edited.chmod(0o755)
    with edited.open("ab") as file:
        file.write(b"#")
    edited.chmod(0o555)
    with pytest.raises(StoreError, match=r"usr/bin/env was modified"):
        build_package(make_driver(fire.repository, store.root), "a")


def test_a_record_that_flipped_stops_a_build(fire: Fire, store: LocalStore) -> None:
    """A flipped hash of an output is still a hash: only the record's checksum tells."""
    record = store.layout.planned / f"{made(fire, store, 'a').planned}.json"
    text = record.read_text()
    output = made(fire, store, "a").output
    record.write_text(text.replace(output, made(fire, store, "b-after-a").output))
    with pytest.raises(StoreError, match="checksum"):
        build_again(fire, store)
    assert [damage.path for damage in store.verify(silent)] == [record]


def test_a_zip_that_flipped_is_not_delivered(fire: Fire, store: LocalStore) -> None:
    """The zip is hashed whenever it is handed out, with nothing to build as well."""
    flip(next(inside_zip(fire, store)))
    with pytest.raises(StoreError, match="is damaged"):
        build_again(fire, store)


def inside_zip(fire: Fire, store: LocalStore) -> Iterator[Path]:
    tree = store.held_tree(made(fire, store, "layer-one-zip").output)
    assert unsri(made(fire, store, "layer-one-zip").output) == tree.name[:64]
    return (path for path in inside(tree) if path.suffix == ".zip")
