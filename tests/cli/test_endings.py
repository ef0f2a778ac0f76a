"""How the command ends: by signals, by readers that go away, by full disks and by defects."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlock.cli.main import main
from tests.cli.conftest import Run, variables

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(repository: Path, home: Path) -> Start:
    """Give a function that starts a Python program in the repository, with pipes for its output."""

    def begin(*arguments: str, **extra: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=repository,
            env=variables(home, extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def wait_until_open(process: subprocess.Popen[str], path: Path) -> None:
    """Wait until a process has opened a file."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert process.poll() is None, "it ended before the signal"
        for descriptor in Path(f"/proc/{process.pid}/fd").glob("*"):
            try:
                if descriptor.readlink() == path:
                    return
            except FileNotFoundError:
                continue
        time.sleep(0.02)
    raise AssertionError("it never opened the file")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_end_it_with_one_line(
    start: Start, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    # A file without blocks costs no disk, and takes a minute to hash.
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(60 << 30)
    process = start("-m", "layerlock", "hash", str(large))
    try:
        wait_until_open(process, large)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, out) == (code, "")
    assert err == f"interrupted ({number.name}); what was finished is kept\n"


def test_a_reader_that_went_away(repository: Path, home: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "layerlock", "show"],
            cwd=repository,
            env=variables(home, {}),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_under_the_output(repository: Path, home: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "layerlock", "show"],
            cwd=repository,
            env=variables(home, {}),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 23
    assert done.stderr.startswith("error: No space left on device\nhint: make room (layerlock gc")
    assert done.stderr.count("\n") == 2


def broken(body: str) -> str:
    """Give a program that runs the command with a verb that misbehaves."""
    return f"""
import sys, threading, time
import layerlock.cli.hash as verb
from layerlock.cli.main import main
from layerlock.errors import FetchError
def run(call):
    {body}
verb.run = run
sys.argv = ["layerlock", "hash", "x"]
sys.exit(main())
"""


def test_a_defect_is_told_in_two_lines(start: Start) -> None:
    process = start("-c", broken("return 1 // 0"))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert err == (
        "error: unexpected ZeroDivisionError: integer division or modulo by zero\n"
        "hint: this is a defect of layerlock; LAYERLOCK_TRACEBACK=1 shows where it happened\n"
    )


def test_a_defect_is_told_in_full_if_asked(start: Start) -> None:
    process = start("-c", broken("return 1 // 0"), LAYERLOCK_TRACEBACK="1")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert err.startswith("Traceback (most recent call last):")
    assert "in run" in err


def test_a_download_that_hangs_does_not_hold_a_failed_command(start: Start) -> None:
    body = "threading.Thread(target=time.sleep, args=(40,)).start(); raise FetchError('no')"
    began = time.monotonic()
    process = start("-c", broken(body))
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (5, "error: no\n")
    assert time.monotonic() - began < 30


def test_who_calls_it_with_arguments_is_not_ended(capsys: pytest.CaptureFixture[str]) -> None:
    """A thread that is none of the command's must not cost its caller the process."""
    done = threading.Event()
    waiting = threading.Thread(target=done.wait)
    waiting.start()
    try:
        assert main(["hash", "no-such-file"]) != 0
    finally:
        done.set()
        waiting.join()
    assert "no-such-file" in capsys.readouterr().err


def test_text_that_the_terminal_cannot_write(layerlock: Run, repository: Path) -> None:
    path = repository / "recipes" / "packages" / "library.toml"
    text = path.read_text(encoding="utf-8").replace("A package for tests", "Größe")
    path.write_text(text, encoding="utf-8")
    done = layerlock("show", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "  library  1.0  Gr\\xf6\\xdfe\n" in done.stdout


HEAVY = {"requests", "urllib3", "rich", "pysequoia", "elftools", "pypi_simple", "asyncio"}


@pytest.mark.parametrize(
    "arguments", [("--version",), ("--help",), ("build", "--help"), ("show",), ("hash", ".")]
)
def test_start_up_loads_nothing_heavy(start: Start, arguments: tuple[str, ...]) -> None:
    process = start("-X", "importtime", "-m", "layerlock", *arguments)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in err.splitlines() if "|" in line}
    assert "layerlock" in loaded
    assert not loaded & HEAVY


def test_ignored_signals_are_not_handed_on() -> None:
    """The driver goes on ignoring them; what it starts, such as a build, does not begin with signals ignored."""
    code = """
import os, signal, subprocess
from layerlock.cli.main import _heed_signals
numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
for number in numbers:
    signal.signal(number, signal.SIG_IGN)
_heed_signals()
for number in numbers:
    os.kill(os.getpid(), number)
print(subprocess.run(["grep", "SigIgn", "/proc/self/status"], capture_output=True, text=True).stdout)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(done.stdout.split()[1], 16) & 0b100000000000111 == 0
