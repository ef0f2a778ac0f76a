"""Wheels against the layer that they are put into."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

from layerlock.errors import InvalidRecipe, WrongPlatform
from layerlock.io.repository import Repository
from layerlock.plan.resolve import closure_of_layer
from layerlock.plan.wheels import unfit
from tests.plan.test_goldens import change

ARM = "some_thing-1-cp39-cp39-manylinux2014_aarch64.manylinux_2_17_aarch64.whl"


@pytest.mark.parametrize(
    ("tags", "python", "machine", "why"),
    [
        ("cp39-cp39-manylinux2014_aarch64.manylinux_2_17_aarch64", "3.9", "aarch64", ""),
        ("cp39-cp39-linux_x86_64", "3.9", "x86_64", ""),
        ("py3-none-any", "3.9", "aarch64", ""),
        ("py2.py3-none-any", "3.11", "x86_64", ""),
        ("py39-none-any", "3.11", "x86_64", ""),
        ("py3-none-manylinux2014_aarch64", "3.13", "aarch64", ""),
        ("cp37-abi3-manylinux_2_28_x86_64", "3.11", "x86_64", ""),
        ("cp39-cp39-manylinux2014_x86_64", "3.9", "aarch64", "for manylinux2014_x86_64"),
        ("cp39-cp39-musllinux_1_1_aarch64", "3.9", "aarch64", "for musllinux_1_1_aarch64"),
        ("cp39-cp39-macosx_11_0_arm64", "3.9", "aarch64", "for macosx_11_0_arm64"),
        ("cp39-cp39-win_amd64", "3.9", "x86_64", "for win_amd64"),
        ("cp311-cp311-manylinux2014_aarch64", "3.9", "aarch64", "for cp311-cp311"),
        ("cp312-abi3-manylinux2014_aarch64", "3.9", "aarch64", "for cp312-abi3"),
        ("py312-none-any", "3.9", "aarch64", "for py312-none"),
        ("py2-none-any", "3.9", "aarch64", "for py2-none"),
        ("pp39-pypy39_pp73-manylinux2014_aarch64", "3.9", "aarch64", "for pp39-pypy39_pp73"),
    ],
)
def test_what_a_wheel_is_for(tags: str, python: str, machine: str, why: str) -> None:
    *_, found = parse_wheel_filename(f"thing-1-{tags}.whl")
    assert unfit(found, python, machine) == why


@pytest.mark.parametrize(
    ("wheel", "why"),
    [
        ("some_thing-1-cp39-cp39-manylinux2014_x86_64.whl", "for manylinux2014_x86_64"),
        ("some_thing-1-cp310-cp310-manylinux2014_aarch64.whl", "for cp310-cp310"),
    ],
)
def test_a_wheel_for_something_else_is_refused_before_it_is_fetched(
    folder: Path, wheel: str, why: str
) -> None:
    """Also where a script makes of the wheel what ships."""
    change(folder, "packages/wheel-arm64.toml", ARM, wheel)
    with pytest.raises(WrongPlatform) as caught:
        closure_of_layer(Repository(folder), "lower")
    assert caught.value.message == f"{wheel} is {why}; the layer `lower` is for Python 3.9 on aarch64"
    assert str(caught.value.location) == "recipes/packages/wheel-arm64.toml:11 (sources[0].urls)"


def test_what_is_no_wheels_name_is_told(folder: Path) -> None:
    change(folder, "packages/wheel-arm64.toml", ARM, "some_thing.whl")
    with pytest.raises(InvalidRecipe, match="not the file name of a wheel"):
        closure_of_layer(Repository(folder), "lower")
