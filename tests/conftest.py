"""What tests in several folders share: a docker engine."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.sandbox.engines import NoEngine, engine_address


@pytest.fixture(scope="session")
def engine_host() -> Iterator[str]:
    """The address of a docker engine.

    Without one its tests are skipped; where LAYERLOCK_TESTS_REQUIRE names `docker`, as continuous integration does,
    they fail.
    """
    try:
        with engine_address() as address:
            yield address
    except NoEngine as error:
        if "docker" in os.environ.get("LAYERLOCK_TESTS_REQUIRE", "").split(","):
            pytest.fail(f"no docker engine: {error}")
        pytest.skip(f"no docker engine: {error}")
