"""A small recipe repository, its pins and stand-ins for guest code: planning needs nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from layerlock.io.repository import Repository
from layerlock.model.derivation import GuestFile
from layerlock.model.lock import LockedFile, LockedGit, LockedPath, LockedSource
from layerlock.model.recipe import FileSource, GitSource, PathSource, TarballSource, WheelSource, ZipSource
from layerlock.plan.guestcode import FILES
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import Closure

HERE = Path(__file__).parent
TREE = "sha256-" + "A" * 43 + "="
CODE = {
    entry: tuple(GuestFile(name=name, sha256="0" * 64) for name in names) for entry, names in FILES.items()
}
"""Goldens shall change when planning does, not with every line of guest code."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the repository, for tests that change it."""
    return shutil.copytree(HERE / "repository", tmp_path / "repository")


@pytest.fixture
def recipes() -> Repository:
    """Open the repository as it is."""
    return Repository(HERE / "repository")


def pins_of(closure: Closure, recipes: Repository) -> Mapping[str, LockedSource]:
    """Pin every source as `lock` would, without looking at any."""
    pins: dict[str, LockedSource] = {}
    for recipe, _, source in closure.sources():
        key = source_key(recipe, source)
        match source:
            case GitSource():
                pins[key] = LockedGit(
                    kind="git", key=key, urls=source.urls, commit=source.commit, tree=source.tree or TREE
                )
            case PathSource():
                pins[key] = LockedPath(kind="path", key=key, path=source.path, tree=TREE)
            case TarballSource() | ZipSource() | WheelSource() | FileSource():
                pins[key] = LockedFile(kind="file", key=key, urls=source.urls, sha256=source.sha256, size=1)
    for environment, _, deb in closure.debs():
        key = f"{environment.name}/{deb.name}"
        pins[key] = LockedFile(kind="file", key=key, urls=(deb.path,), sha256=deb.sha256, size=deb.size)
    return pins | {pin.key: pin for _, _, pin in closure.image_layers(recipes)}
