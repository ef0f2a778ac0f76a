"""The tutorial, done as it stands: its files are written, its commands run, in the order of the page."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
COMMAND = re.compile(r"^\$ (.*?)(?:\s+# exit code (\d+))?$", re.MULTILINE)


def steps() -> Iterator[tuple[str, str]]:
    """Give the page's files, as (path, text), and its commands, as ("", command)."""
    for language, title, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if title:
            yield title, text
        elif language == "console":
            yield from (("", line) for line in text.splitlines() if line)


def test_the_page_has_files_and_commands_alone() -> None:
    found = [*steps()]
    assert len([path for path, _ in found if path]) == 3
    assert all(COMMAND.match(text) for path, text in found if not path)


@pytest.mark.cold
@pytest.mark.long
@pytest.mark.sandbox
@pytest.mark.timeout(1800)
def test_the_tutorial_works(tmp_path: Path, cold_store: Path) -> None:
    """LAYERLOCK_TUTORIAL_STORE names a store to go on from, where none was filled before."""
    store = os.environ.get("LAYERLOCK_TUTORIAL_STORE") or str(cold_store)
    clone = tmp_path / "clone"
    clone.mkdir()
    for name in ("recipes", "lockfiles", "patches"):
        shutil.copytree(ROOT / name, clone / name)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "layerlock").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m layerlock "$@"\n')
    (bin_ / "layerlock").chmod(0o755)
    variables = {**os.environ, "LAYERLOCK_STORE": store, "PATH": f"{bin_}:{os.environ['PATH']}"}
    said: dict[str, str] = {}
    for path, text in steps():
        if path:
            (clone / path).parent.mkdir(parents=True, exist_ok=True)
            (clone / path).write_text(text, encoding="utf-8")
            continue
        found = COMMAND.match(text)
        assert found is not None
        # Setting up is what tests/test_noxfile.py is about; this Python has the driver already.
        if found[1].startswith(("./nox", ". .venv")):
            continue
        done = subprocess.run(
            ["sh", "-c", found[1]], cwd=clone, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == int(found[2] or 0), f"{found[1]}:\n{done.stdout}\n{done.stderr}"
        said[found[1]] = done.stdout + done.stderr
        if found[1] == "layerlock record zstd":
            confirmed = subprocess.run(
                ["layerlock", "build", "zstd"],
                cwd=clone,
                env=variables,
                capture_output=True,
                text=True,
                check=True,
            )
            assert "confirmed by lockfiles/zstd.lock" in confirmed.stdout
    assert "libzstd.so.1" in said["layerlock owner zstd lib/libzstd.so.1"]
    assert (clone / "lockfiles" / "zstd.times.toml").is_file()
    with zipfile.ZipFile(clone / "dist" / "zstd.zip") as zipped:
        assert "lib/libzstd.so.1.5.4" in zipped.namelist()
