"""The store of tests that begin with nothing: the layer cv is built into it first, and others go on from there."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cold_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a store that nothing was put into but by these tests."""
    return tmp_path_factory.mktemp("cold") / "store"
