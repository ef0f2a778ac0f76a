"""The lists of what Amazon Linux 2 exports are what the command makes of the pinned Debian packages."""

from __future__ import annotations

import pytest

from tools.exports import derive

from .conftest import ROOT, Bench

pytestmark = pytest.mark.sandbox  # fetches the packages of two small environments


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_a_list_is_derived_anew(bench: Bench, architecture: str) -> None:
    path = ROOT / "recipes" / "runtimes" / f"amazonlinux2-{architecture}.exports"
    assert derive(bench.driver(), architecture) == path.read_text(), (
        f"if the pins were moved on purpose, run: python -m tools.exports {architecture}"
    )
