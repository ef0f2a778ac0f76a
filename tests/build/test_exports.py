"""The lists of what Amazon Linux exports are what the command makes of the pinned Debian packages."""

from __future__ import annotations

import pytest

from tools.exports import SYSTEMS, derive

from .conftest import ROOT, Bench

pytestmark = pytest.mark.sandbox  # fetches the packages of three small environments


@pytest.mark.parametrize("name", sorted(SYSTEMS))
def test_a_list_is_derived_anew(bench: Bench, name: str) -> None:
    path = ROOT / "recipes" / "runtimes" / f"{name}.exports"
    assert derive(bench.driver(), name) == path.read_text(), (
        f"if the pins were moved on purpose, run: python -m tools.exports {name}"
    )
