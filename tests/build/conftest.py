"""A small repository that is built for real: C, C++ and Fortran in the environments of the true recipes."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import Event
from layerlock.workflows.driver import Driver

ROOT = Path(__file__).parents[2]
WORKBENCH = ROOT / "tests" / "workbench"


@pytest.fixture
def workbench(tmp_path: Path) -> Path:
    """Copy the small repository, with the true recipes that it leans on."""
    target = tmp_path / "workbench"
    shutil.copytree(WORKBENCH, target)
    for name in ("environments",):
        shutil.copytree(ROOT / "recipes" / name, target / "recipes" / name)
    for name in ("guest-tools", "gcc-runtime", "lambda-emulator"):
        shutil.copy(ROOT / "recipes" / "packages" / f"{name}.toml", target / "recipes" / "packages")
    runtimes = target / "recipes" / "runtimes"
    runtimes.mkdir(exist_ok=True)
    for path in (ROOT / "recipes" / "runtimes").glob("*.exports"):
        shutil.copy(path, runtimes)
    text = (ROOT / "recipes" / "runtimes" / "python3.11.toml").read_text()
    text = re.sub(r'package = "python"', 'package = "tiny-python"', text.replace("3.11", "3.9"))
    (runtimes / "python3.9-test.toml").write_text(
        text.replace('name = "python3.9"', 'name = "python3.9-test"')
    )
    return target


class Bench:
    """The small repository with a driver over it, and every event that came."""

    def __init__(self, folder: Path, store: Path) -> None:
        self.folder = folder
        self.store = store
        self.events: list[Event] = []

    def driver(self, **settings: Any) -> Driver:
        """Make a driver over the files as they are now."""
        settings = {"environment": dict(os.environ), **settings}
        return construct(Settings(repository=self.folder, store=self.store, **settings), self.events.append)

    def of(self, kind: type[Event]) -> list[str]:
        """Give the names of the events of a kind, and forget every event."""
        found = [event.name for event in self.events if isinstance(event, kind)]
        self.events.clear()
        return found

    def append(self, path: str, text: str) -> None:
        """Add to the end of a file of the repository."""
        with (self.folder / path).open("a") as file:
            file.write(text)

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        """Change a file of the repository."""
        file = self.folder / path
        before = file.read_text()
        after = change(before)
        assert after != before, f"{path} was not changed"
        file.write_text(after)


@pytest.fixture
def bench(workbench: Path, store_folder: Path) -> Bench:
    """Give the small repository."""
    return Bench(workbench, store_folder)
