"""The nox sessions: each layer has one, arguments and exit codes pass through, and nothing else stands in the file."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a folder with the real noxfile, and programs in .venv that write down how they were started."""
    shutil.copy(ROOT / "noxfile.py", tmp_path)
    layers = tmp_path / "recipes" / "layers"
    layers.mkdir(parents=True)
    (layers / "fresh.toml").write_text(
        '[layer]\nname = "fresh"\nsummary = "A layer that was just added"\nruntime = "python3.11"\n'
    )
    (layers / "small.toml").write_text('[layer]\nname = "small"\nbase = "fresh"\narchitecture = "arm64"\n')
    (layers / "round.toml").write_text('[layer]\nname = "round"\nbase = "round"\n')
    (tmp_path / "lockfiles").mkdir()
    (tmp_path / "lockfiles" / "small.lock").write_text(
        "version = 2\n\n[zip]\nsize = 1500000\nunzipped = 80812345\n\n[[sources]]\nnot looked at\n"
    )
    (layers / "broken.toml").write_text("[layer\n")
    functions = tmp_path / "recipes" / "functions"
    functions.mkdir()
    (functions / "greet.toml").write_text(
        '[function]\nname = "greet"\nsummary = "A function that greets"\nruntime = "python3.11"\n'
    )
    for place in ("requirements/install", ".venv/bin/layerlock", ".venv/bin/pytest", ".venv/bin/ruff"):
        program = tmp_path / place
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(
            f'#!/bin/sh\necho {program.name} "$@" >> {tmp_path}/calls\nexit "${{STATUS:-0}}"\n'
        )
        program.chmod(0o755)
    return tmp_path


def nox(checkout: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run nox on the copy."""
    return subprocess.run(
        [sys.executable, "-m", "nox", "--noxfile", str(checkout / "noxfile.py"), *arguments],
        cwd=checkout,
        env={**os.environ, "STATUS": str(status)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def calls(checkout: Path) -> list[str]:
    """Give what was started."""
    return (checkout / "calls").read_text().splitlines()


def test_every_recipe_of_a_layer_is_a_session_with_its_summary(checkout: Path) -> None:
    lines = [line for line in nox(checkout, "--list").stdout.splitlines() if line.startswith(("- ", "* "))]
    sessions = {name: summary for name, _, summary in (line[2:].partition(" -> ") for line in lines)}
    assert sessions["layer-fresh"] == "A layer that was just added [python3.11 x86_64]"
    small = "A layer that was just added [python3.11 arm64, 80.8 MB, zipped 1.5 MB]"
    assert sessions["layer-small"] == small
    unreadable = {name for name in sessions if name.startswith(("layer-broken", "layer-round"))}
    assert len(unreadable) == 2
    assert not any(sessions[name] for name in unreadable)  # building says what is wrong, and where
    assert sessions["function-greet"] == "A function that greets [python3.11 x86_64]"
    assert {
        "invoke-greet",
        "soak",
        "lint-examples",
        "all",
        "build",
        "scale",
        "lock",
        "record",
        "fetch",
        "reproduce",
        "archive",
        "tests",
        "lint",
        "ci",
        "docs",
        "prove",
        "bench",
        "schema",
    } <= set(sessions)
    assert all(sessions[name] for name in sessions if name not in unreadable)


def test_arguments_pass_through(checkout: Path) -> None:
    assert nox(checkout, "-s", "layer-fresh", "--", "--jobs", "1").returncode == 0
    assert nox(checkout, "-s", "lock", "--", "cv", "--upgrade", "numpy").returncode == 0
    assert nox(checkout, "-s", "all", "--", "--except", "broken").returncode == 0
    assert calls(checkout) == [
        "install nox",
        "layerlock build fresh --jobs 1",
        "install nox",
        "layerlock lock cv --upgrade numpy",
        "install nox",
        "layerlock build --all --except broken",
    ]


def test_a_function_is_built_and_invoked(checkout: Path) -> None:
    assert nox(checkout, "-s", "function-greet").returncode == 0
    assert nox(checkout, "-s", "invoke-greet", "--", "hat.jpg").returncode == 0
    assert calls(checkout)[1::2] == ["layerlock build greet", "layerlock invoke greet hat.jpg"]


def test_several_layers_build_one_after_the_other(checkout: Path) -> None:
    assert nox(checkout, "-s", "layer-fresh", "layer-broken").returncode == 0
    assert calls(checkout)[1::2] == ["layerlock build fresh", "layerlock build broken"]


@pytest.mark.parametrize("status", [1, 4, 130])
def test_exit_codes_pass_through(checkout: Path, status: int) -> None:
    (checkout / "requirements/install").write_text("#!/bin/sh\n")
    assert nox(checkout, "-s", "layer-fresh", status=status).returncode == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_is_ended_may_clean_up(checkout: Path, number: int) -> None:
    program = checkout / ".venv/bin/layerlock"
    program.write_text(
        f"""#!{sys.executable}
import pathlib, signal, sys, time
def clean_up(number, frame):
    time.sleep(1.5)
    pathlib.Path("cleaned").touch()
    sys.exit(128 + number)
signal.signal(signal.SIGINT, clean_up)
signal.signal(signal.SIGTERM, clean_up)
pathlib.Path("started").touch()
time.sleep(30)
"""
    )
    command = [sys.executable, "-m", "nox", "--noxfile", str(checkout / "noxfile.py"), "-s", "layer-fresh"]
    with subprocess.Popen(
        command, cwd=checkout, start_new_session=True, stderr=subprocess.DEVNULL
    ) as running:
        deadline = time.monotonic() + 20
        while not (checkout / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        # Ctrl-C goes to every process of a terminal; other signals go to the one that is named.
        (os.killpg if number == signal.SIGINT else os.kill)(running.pid, number)
        assert running.wait(timeout=20) == 128 + number
    assert (checkout / "cleaned").exists()


def test_a_failed_check_stops_before_the_tests(checkout: Path) -> None:
    (checkout / "requirements/install").write_text("#!/bin/sh\n")
    assert nox(checkout, "-s", "ci", status=3).returncode == 3
    assert [call.split()[0] for call in calls(checkout)] == ["ruff"]


def test_the_noxfile_stays_short() -> None:
    assert len((ROOT / "noxfile.py").read_text().splitlines()) < 150
