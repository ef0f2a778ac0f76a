"""Which display is chosen, seen from real terminals and pipes."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import variables
from tests.ui.screen import screen_after

PROGRAM = """
import os, sys, time
from layerlock.cli.display import display
from layerlock.events import BuildFinished, BuildLine, BuildStarted, PlanMade
plan = PlanMade(name="x", derivations=("numpy", "scipy"), to_build=("numpy", "scipy"), to_fetch=0, fetch_bytes=0)
with display(sys.stderr, os.environ, verbose=False) as emit:
    emit(plan)
    emit(BuildStarted(name="numpy", planned="", resolved="", log=""))
    emit(BuildLine(name="numpy", line="compiling [bold]multiarray"))
    time.sleep(0.6)
    emit(BuildFinished(name="numpy", planned="", resolved="", output="", size=1, seconds=1.0,
                       command_seconds=1.0, peak_memory=0))
print("rich" in sys.modules)
"""


def on_terminal(home: Path, program: str = PROGRAM, **extra: str) -> tuple[str, str]:
    """Run a program whose standard error is a terminal; give what it wrote there, and its standard output."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        env=variables(home, extra),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    shown = b""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            data = os.read(ours, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not data:
            break
        shown += data
    os.close(ours)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return shown.decode(), out


def test_a_terminal_gets_the_live_display(home: Path) -> None:
    shown, out = on_terminal(home, TERM="xterm-256color")
    assert out == "True\n"
    assert "compiling [bold]multiarray" in shown
    assert "to come  scipy" in shown
    left = ["plan     x: 2 to build (numpy, scipy)", "built    numpy (1 B in 1.0 s)", ""]
    assert screen_after(shown) == left
    assert "\x1b[?25l" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert re.search("\x1b\\[[0-9;]*m", shown)


def test_no_color_is_heeded(home: Path) -> None:
    shown, _ = on_terminal(home, TERM="xterm-256color", NO_COLOR="1")
    assert "compiling [bold]multiarray" in shown
    colours = {code for codes in re.findall("\x1b\\[([0-9;]*)m", shown) for code in codes.split(";")}
    # Bold and dim are no colours.
    assert colours <= {"", "0", "1", "2"}


@pytest.mark.parametrize("extra", [{"TERM": "dumb"}, {}, {"TERM": "xterm-256color", "LAYERLOCK_PLAIN": "1"}])
def test_a_terminal_that_can_do_nothing_or_should_not_gets_plain_lines(
    home: Path, extra: dict[str, str]
) -> None:
    shown, out = on_terminal(home, **extra)
    assert out == "False\n"
    assert shown.replace("\r", "") == (
        "plan     x: 2 to build (numpy, scipy)\nbuild    numpy\nbuilt    numpy (1 B in 1.0 s)\n"
    )


def test_a_pipe_gets_plain_lines(home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=variables(home, {"TERM": "xterm-256color"}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "False\n"
    assert done.stderr.startswith("plan     x: 2 to build (numpy, scipy)\n")
    assert "\x1b" not in done.stderr


def test_a_call_without_events_draws_nothing(home: Path) -> None:
    quiet = PROGRAM.partition("    emit(plan)")[0] + "    pass\nprint('rich' in sys.modules)\n"
    assert on_terminal(home, quiet, TERM="xterm-256color") == ("", "False\n")
