"""Ctrl-C, work without a network, and a shell in a build's sandbox, with real builds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlock.errors import Offline
from layerlock.workflows.building import build_package, fetch_all

from .conftest import Bench

pytestmark = pytest.mark.sandbox

TINY_C = "recipes/packages/tiny-c.toml"


def processes_with(marker: str) -> list[str]:
    """Give the processes whose command line holds a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        if marker.encode() in line and int(path.parent.name) != os.getpid():
            found.append(path.parent.name)
    return found


def until(happened: Callable[[], bool]) -> bool:
    """Wait a little for something to happen, and say whether it did."""
    deadline = time.monotonic() + 10
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.05)
    return happened()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing_and_the_next_one_goes_on(
    bench: Bench, number: signal.Signals
) -> None:
    """The sandbox dies with the command, its folders are gone, and what was finished is kept."""
    build_package(bench.driver(), "tiny-c")
    marker = f"9{os.getpid()}.{int(number)}"
    bench.edit(TINY_C, lambda text: text.replace("mkdir -p", f"echo begun; sleep {marker}\nmkdir -p"))
    command = [sys.executable, "-m", "layerlock", "--repo", str(bench.folder), "--store", str(bench.store)]
    process = subprocess.Popen(
        [*command, "--verbose", "build", "tiny-c"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    with process:
        assert process.stderr is not None
        try:
            told = []
            for line in process.stderr:
                told.append(line)
                if "begun" in line:
                    break
            assert until(lambda: bool(processes_with(f"sleep\0{marker}"))), told
            process.send_signal(number)
            told += process.stderr
            assert process.wait(30) == (-number if number == signal.SIGKILL else 128 + number), told
        finally:
            process.kill()
    assert number == signal.SIGKILL or "interrupted" in told[-1]
    assert until(lambda: not processes_with(f"sleep\0{marker}"))
    # A driver that was killed can remove nothing: the next one does.
    assert number == signal.SIGKILL or list((bench.store / "tmp").iterdir()) == []
    bench.edit(TINY_C, lambda text: text.replace(f"sleep {marker}", f"true {marker}"))
    build_package(bench.driver(), "tiny-c")
    assert list((bench.store / "tmp").iterdir()) == []


def test_after_fetching_everything_builds_offline(bench: Bench) -> None:
    """Without a network, what was fetched builds, and what was not is an error of its own."""
    fetch_all(bench.driver(), "tiny-cpp")
    bench.edit(TINY_C, lambda text: text.replace("-Os", "-O1"))
    build_package(bench.driver(offline=True), "tiny-cpp")
    bench.edit(
        TINY_C,
        lambda text: text.replace(
            "[[patches]]",
            f'[[sources]]\nname = "more"\nkind = "file"\nurls = ["https://example.org/more"]\nsha256 = "{"0" * 64}"\n\n'
            "[[patches]]",
        ),
    )
    with pytest.raises(Offline, match="tiny-c/more"):
        build_package(bench.driver(offline=True), "tiny-cpp")


def test_a_shell_opens_where_the_build_begins(bench: Bench) -> None:
    """Sources, inputs and variables are in place, nothing has run, and the shell's exit status is the command's."""
    command = [sys.executable, "-m", "layerlock", "--repo", str(bench.folder), "--store", str(bench.store)]
    commands = "id -u; ls /build/tiny-cpp /deps/tiny-c/lib /out; echo out is $out; touch /deps/x; exit 7\n"
    ended = subprocess.run(
        [*command, "shell", "tiny-cpp"],
        input=commands,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 7, ended.stderr
    for text in ("1000\n", "tiny.cpp\n", "libtiny.so.1\n", "/out:\n", "out is /out\n"):
        assert text in ended.stdout
    assert "Read-only file system" in ended.stderr
    assert list((bench.store / "tmp").iterdir()) == []
