"""What tests in several folders share: a docker engine, and what every test is held to."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

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
