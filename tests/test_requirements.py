"""The locks of what the driver itself needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

from tools import worker_pins

ROOT = Path(__file__).parents[1]
PROJECT = """
[build-system]
requires = []
build-backend = "setuptools.build_meta"

[project]
name = "tiny"
version = "1"
"""
NAMES = ("cluster", "dev", "docs", "driver", "examples", "nox")


def pinned(name: str) -> dict[str, list[str]]:
    """Give the hashes of every pinned requirement of a lock, by name, version and marker."""
    text = (ROOT / f"requirements/{name}.txt").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {
        line.split(" --hash")[0].strip(): re.findall(r"--hash=sha256:([0-9a-f]{64})\b", line)
        for line in lines
    }


@pytest.mark.parametrize("name", NAMES)
def test_everything_is_pinned_by_hash(name: str) -> None:
    found = pinned(name)
    assert len(found) > 10
    for requirement, hashes in found.items():
        assert re.match(r"[a-z0-9-]+==[^ ]+( ; .+)?$", requirement), requirement
        assert hashes, requirement


@pytest.mark.parametrize("name", NAMES)
def test_no_lock_names_an_index(name: str) -> None:
    assert "://" not in (ROOT / f"requirements/{name}.txt").read_text()


def test_the_framework_s_lock_has_hashes_and_names_no_registry() -> None:
    lock = json.loads((ROOT / "requirements/serverless/package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert len(packages) > 100
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())
    assert not any("resolved" in entry for entry in packages.values())


def test_the_locks_agree() -> None:
    # Versions and hashes, not markers: what more packages need is wanted on more platforms.
    dev, docs, cluster, nox, driver = (
        {(requirement.partition(" ; ")[0], *hashes) for requirement, hashes in pinned(name).items()}
        for name in ("dev", "docs", "cluster", "nox", "driver")
    )
    assert driver < nox < cluster < dev
    assert nox < docs


def test_workers_have_what_the_lock_of_clusters_pins() -> None:
    recipe = tomli.loads(worker_pins.PACKAGE.read_text())
    assert tuple(recipe["requirements"]["wants"]) == worker_pins.wanted(), "run ./nox -s requirements"
    found = tomli.loads(worker_pins.PACKAGE.with_suffix(".wheels.toml").read_text())["resolved"]
    assert found["wants"] == recipe["requirements"]["wants"]
    hashes = {requirement.partition(" ; ")[0]: hashes for requirement, hashes in pinned("cluster").items()}
    for wheel in found["wheels"]:
        assert wheel["sha256"] in hashes[f"{wheel['name']}=={wheel['version']}"]
    assert len(found["wheels"]) == len(found["wants"])


def test_every_dependency_is_locked() -> None:
    project = tomli.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    for name, stated in (
        ("driver", project["project"]["dependencies"]),
        ("nox", groups["nox"]),
        ("cluster", project["project"]["optional-dependencies"]["cluster"]),
        ("docs", [entry for entry in groups["docs"] if isinstance(entry, str)]),
        ("dev", [entry for entry in groups["dev"] if isinstance(entry, str)]),
        ("examples", groups["examples"]),
    ):
        locked = {requirement.split("==")[0] for requirement in pinned(name)}
        for requirement in stated:
            found = re.match(r"[A-Za-z0-9-]+", requirement)
            assert found is not None
            assert found[0].lower() in locked, f"{requirement}: run ./nox -s requirements"


def test_what_is_installed_is_brought_up_to_date_from_within_too(tmp_path: Path) -> None:
    """The tutorial has `.venv` active, whose Python has no pip, when a lock changes or another one is wanted."""
    (tmp_path / "requirements").mkdir()
    script = shutil.copy(ROOT / "requirements/install", tmp_path / "requirements")
    lock = tmp_path / "requirements/tiny.txt"
    lock.write_text(one_of("setuptools", (ROOT / "requirements/nox.txt").read_text()))
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    module = tmp_path / "src/layerlock/__init__.py"
    module.parent.mkdir(parents=True)
    module.touch()
    outside = Path(sys._base_executable).parent  # type: ignore[attr-defined] # of CPython since 3.8
    inside = str(tmp_path / ".venv/bin")
    for path in (f"{outside}:{os.defpath}", f"{inside}:{outside}:{os.defpath}"):
        done = subprocess.run(
            [script, "tiny"],
            env={**os.environ, "PATH": path, "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert (done.returncode, done.stderr) == (
            0,
            "layerlock: installing requirements/tiny.txt into .venv\n",
        )
        module.write_text("# Another version: what is installed is of before.\n")


def one_of(name: str, lock: str) -> str:
    """Give the lines of one requirement."""
    (found,) = re.findall(rf"^{name}==(?:.*\\\n)+.*\n", lock, re.MULTILINE)
    return str(found)
