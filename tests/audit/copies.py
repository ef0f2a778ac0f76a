"""A copy of this repository's own recipes and locks, to plant defects in, and a driver over it."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from layerlock.audit.check import Check
from layerlock.audit.inventory import Inventory
from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import Event
from layerlock.model.findings import Finding
from layerlock.workflows import documents
from layerlock.workflows.auditing import Choice, make_subject
from layerlock.workflows.driver import Driver

ROOT = Path(__file__).parents[2]


class Copy:
    """The copy. Nothing of it is built: what is looked at follows from recipes and lock."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "repository"
        self.layer = "cv"
        self.store = folder / "store"
        self.events: list[Event] = []
        for name in ("recipes", "patches", "lockfiles"):
            shutil.copytree(ROOT / name, self.root / name)

    def edit(self, path: str, change: Callable[[str], str]) -> None:
        """Change a file."""
        file = self.root / path
        before = file.read_text()
        after = change(before)
        assert after != before, f"{path} was not changed"
        file.write_text(after)

    def replace(self, path: str, old: str, new: str) -> None:
        """Replace a text in a file."""
        self.edit(path, lambda text: text.replace(old, new, 1))

    def append(self, package: str, text: str) -> None:
        """Add tables to the recipe of a package."""
        self.edit(f"recipes/packages/{package}.toml", lambda before: f"{before}\n{text}\n")

    def driver(self) -> Driver:
        """Make a driver over the files as they are now."""
        settings = Settings(repository=self.root, store=self.store, environment=dict(os.environ))
        return construct(settings, self.events.append)

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command in the copy, as a process of its own."""
        return subprocess.run(
            [sys.executable, "-m", "layerlock", "--store", str(self.store), *arguments],
            cwd=self.root,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def inventory(self, layer: str = "") -> Inventory:
        """List what a layer is made of."""
        return documents.inventory(self.driver(), layer or self.layer)

    def findings(self, check: Check, **choice: Any) -> list[Finding]:
        """Run one check over the layer."""
        asked = Choice(today=datetime.date(2026, 11, 21), **choice)
        return list(check.run(make_subject(self.driver(), self.layer, asked)))
