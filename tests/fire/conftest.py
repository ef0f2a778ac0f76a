"""One pantry and one recorded repository for all tests of the store under fire, and stores to burn."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from layerlock.io.lockfile import read_lock
from layerlock.workflows.building import record_layer
from layerlock.workflows.locking import lock_layer
from tests.fire.repository import Pantry, lock_file, make_driver, write_repository
from tests.sources.web import Web, served_web

LAYERS = {"one": ("a", "b-after-a"), "two": ("a", "c")}


@dataclass(frozen=True)
class Fire:
    """A repository whose layers are recorded, the store that they were built in, and the server of its sources."""

    repository: Path
    full: Path
    pantry: Pantry

    @property
    def web(self) -> Web:
        return self.pantry.web

    def zip_sha256(self, layer: str) -> str:
        """Give the sha256 of a layer's zip as its lock records it."""
        zipped = read_lock(lock_file(self.repository, layer), layer).zip
        assert zipped is not None
        return zipped.sha256


def copy_store(source: Path, target: Path) -> None:
    """Copy a store; what its files hold is shared by hard links: of ten thousand files nearly none is changed.

    Who changes one gives it contents of its own first (`own`).
    """
    for folder in source.iterdir():
        share = os.link if folder.name in ("files", "trees") else shutil.copy2
        shutil.copytree(folder, target / folder.name, symlinks=True, copy_function=share)


def own(path: Path) -> None:
    """Give a file contents of its own, with neither its nor its folder's modes and times changed."""
    folder = path.parent.stat()
    path.parent.chmod(0o755)
    copy = path.with_name(f"{path.name}.own")
    shutil.copy2(path, copy)
    copy.replace(path)
    path.parent.chmod(folder.st_mode)
    os.utime(path.parent, ns=(folder.st_atime_ns, folder.st_mtime_ns))


@pytest.fixture(scope="session")
def fire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fire]:
    """Fetch what the small repository is made of, lock and record its layers."""
    folder = tmp_path_factory.mktemp("fire")
    with served_web(folder / "web") as web:
        pantry = Pantry(folder / "pantry", web)
        repository = write_repository(folder / "repository", pantry, LAYERS)
        full = folder / "full"
        pantry.seed(full)
        for layer in LAYERS:
            driver = make_driver(repository, full)
            lock_layer(driver, layer)
            record_layer(make_driver(repository, full), layer, folder / "dist")
        yield Fire(repository=repository, full=full, pantry=pantry)


@pytest.fixture
def fresh(fire: Fire, tmp_path: Path) -> Path:
    """Give a store that holds the sandbox's program and nothing else; the server's list of requests is empty."""
    store = tmp_path / "store"
    fire.pantry.seed(store)
    fire.web.asked.clear()
    return store
