"""A disk that fills up during real builds: an error of its own, nothing half-written, and the next build goes on.

The disk is a small tmpfs in a mount namespace of one program (this file started as one), gone when that ends.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from layerlock.errors import DiskFull
from layerlock.events import BuildStarted, Event, silent
from layerlock.store.local import LocalStore
from layerlock.workflows.building import build_layer
from tests.fire.conftest import Fire
from tests.fire.repository import ROOT, make_driver

pytestmark = pytest.mark.sandbox
SIZES = (6, 30, 60, 90, 130, 150, 168)
"""Megabytes: too few for the sources, for the environment unpacked, for the Python copied, and for the layer."""
ENOUGH = 400


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk takes root")
def test_full_at_several_sizes(fire: Fire, fresh: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("a mount namespace is not allowed here")
    where = (fire.repository, fresh, disk, fire.zip_sha256("one"))
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-m", "tests.fire.test_full", *map(str, where)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    full = [line for line in done.stdout.splitlines() if line.startswith("full")]
    assert len(full) >= 3, done.stdout  # met at different steps of the build
    assert len(set(full)) >= 3, done.stdout


def resize(disk: Path, megabytes: int, *, new: bool = False) -> None:
    """Mount the disk, or let it grow."""
    options = f"size={megabytes}m" if new else f"remount,size={megabytes}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)


def finished(store: LocalStore) -> set[str]:
    """Give what is done: fetched files and registered builds."""
    return {path.name for folder in (store.layout.planned, store.layout.files) for path in folder.iterdir()}


def main() -> None:
    """Build on a disk that grows step by step until there is enough room."""
    repository, seed, disk, expected = sys.argv[1:]
    place = Path(disk)
    resize(place, ENOUGH, new=True)
    store = LocalStore(place / "store")
    shutil.copytree(seed, store.root, symlinks=True)
    built: list[str] = []
    done: set[str] = set()

    def emit(event: Event) -> None:
        if isinstance(event, BuildStarted):
            built.append(event.name)

    for size in (*SIZES, ENOUGH):
        status = os.statvfs(place)
        resize(place, max(size, ((status.f_blocks - status.f_bfree) * status.f_frsize >> 20) + 2))
        registered = finished(store)
        before = len(built)
        try:
            zipped = build_layer(
                make_driver(Path(repository), store.root, emit, jobs=2), "one", place / "out"
            )
        except DiskFull as error:
            assert error.exit_code == 23, error
            assert "layerlock gc" in error.hint, error.hint
            sys.stdout.write(f"full {error.message.partition(':')[0]} {built[before:]}\n")
        else:
            assert zipped.sha256 == expected
            sys.stdout.write(f"built with {size}\n")
        assert store.verify(silent) == ()
        assert list(store.layout.tmp.iterdir()) == [], size
        assert registered <= finished(store)
        assert not {*built[before:]} & done, "built twice"
        done |= {
            made.name for made in map(store.planned, (p.stem for p in store.layout.planned.iterdir())) if made
        }
    assert zipped.sha256 == expected


if __name__ == "__main__":
    main()
