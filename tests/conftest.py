"""What tests in several folders share: a docker engine, the one store of small builds, and what all are held to."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from layerlock.io.atomic import remove_tree
from tests.sandbox.engines import NoEngine, engine_address, without_docker


@pytest.fixture(scope="session")
def engine_host() -> Iterator[str]:
    """The address of a docker engine."""
    try:
        with engine_address() as address:
            yield address
    except NoEngine as error:
        without_docker(f"no docker engine: {error}")


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Hold every test to leave no thread behind: what still waits can hold or end another test's command."""
    before = set(threading.enumerate())
    yield
    until = time.monotonic() + 10
    left = [each for each in threading.enumerate() if each not in before and not each.daemon]
    for thread in left:
        thread.join(max(0.0, until - time.monotonic()))
    assert not [thread.name for thread in left if thread.is_alive()]


@pytest.fixture(scope="session")
def store_folder() -> Iterator[Path]:
    """Give the one store of the builds of tests/workbench: the environment is fetched and unpacked once."""
    with open_folder() as folder:
        yield folder / "store"


@contextmanager
def open_folder() -> Iterator[Path]:
    """Lend an empty folder that every user can look into: one variation of a check is another user.

    pytest's own ones stand in one that is closed to others, also by sessions that begin.
    """
    folder = Path(tempfile.mkdtemp(prefix="layerlock-tests-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        remove_tree(folder)
