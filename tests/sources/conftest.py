"""What the tests of sources share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from layerlock.events import Event
from layerlock.io.http import Fetcher
from layerlock.model.ports import SourceStore
from layerlock.sources.fetch import Reach
from layerlock.sources.git_program import GitProgram
from layerlock.sources.origins import Origins
from layerlock.sources.pip_configuration import PipConfiguration
from layerlock.store.local import LocalStore
from tests.sources.repositories import git_daemon
from tests.sources.web import Web, served_web


class Served(NamedTuple):
    """A folder of repositories and the address that it is served at."""

    folder: Path
    url: str


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A git server on loopback."""
    folder = tmp_path / "served"
    folder.mkdir()
    with git_daemon(folder) as url:
        yield Served(folder, url)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A web server on loopback."""
    with served_web(tmp_path / "web") as web:
        yield web


@pytest.fixture
def program() -> GitProgram:
    """Git as the driver runs it, with limits for tests."""
    return GitProgram(variables={"PATH": os.environ["PATH"]}, seconds=60, stall=30)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path: Path) -> SourceStore:
    """The driver's own store; its type is what sources ask of any store."""
    return LocalStore(tmp_path / "store")


@pytest.fixture
def fetcher() -> Fetcher:
    """Downloads that give up soon."""
    return Fetcher()


@pytest.fixture
def reach(program: GitProgram, fetcher: Fetcher, tmp_path: Path) -> Callable[..., Reach]:
    """Makes the means of reaching sources, by default with no index and no mirror at all."""

    def make(*indexes: str, offline: bool = False) -> Reach:
        repository = tmp_path / "repository"
        repository.mkdir(exist_ok=True)
        origins = Origins(pip=PipConfiguration(indexes=indexes), apt=(), snapshot_address=None)
        return Reach(fetcher=fetcher, origins=origins, git=program, repository=repository, offline=offline)

    return make


@pytest.fixture
def events() -> list[Event]:
    """A listener's memory: pass its `append`."""
    return []
