"""What tests in several folders share: a docker engine."""

from __future__ import annotations

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
