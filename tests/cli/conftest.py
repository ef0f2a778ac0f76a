"""Running the command for real, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

PACKAGE = """\
[package]
name = "{name}"
version = "1.0"
summary = "A package for tests"
license = "MIT"

[[sources]]
kind = "tarball"
urls = ["https://nowhere.invalid/{name}-1.0.tar.gz"]
sha256 = "{sha256}"

[build]
environment = "small"
inputs = [{inputs}]
script = "true"
"""
ENVIRONMENT = """\
debs = []

[environment]
name = "small"
summary = "An environment for tests"
"""


def write_package(repository: Path, name: str, inputs: tuple[str, ...] = ()) -> Path:
    """Write the recipe of a package, and give its place."""
    path = repository / "recipes" / "packages" / f"{name}.toml"
    listed = ", ".join(f'"{needed}"' for needed in inputs)
    path.write_text(PACKAGE.format(name=name, inputs=listed, sha256="0" * 64), encoding="utf-8")
    return path


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Give a recipe repository with two packages, one of which needs the other."""
    root = tmp_path / "repository"
    for kind in ("packages", "environments", "layers", "runtimes"):
        (root / "recipes" / kind).mkdir(parents=True)
    (root / "recipes" / "environments" / "small.toml").write_text(ENVIRONMENT, encoding="utf-8")
    write_package(root, "library")
    write_package(root, "program", ("library",))
    return root


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a home of one's own."""
    path = tmp_path / "home"
    path.mkdir()
    return path


def variables(home: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a command that must not see the tester's own settings."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8", **extra}


@pytest.fixture
def layerlock(repository: Path, home: Path) -> Run:
    """Give a function that runs the command in the repository, and gives what it wrote and its exit code."""

    def run(*arguments: str, cwd: Path = repository, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "layerlock", *arguments],
            cwd=cwd,
            env=variables(home, extra),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
