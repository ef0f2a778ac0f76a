"""Programs that some tests need: where one is missing they are skipped, unless it must be there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def without(what: str, reason: str) -> NoReturn:
    """Skip a test for lack of something; where LAYERLOCK_TESTS_REQUIRE lists it (`docker,chromium`), as in CI, fail."""
    if what in os.environ.get("LAYERLOCK_TESTS_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)
