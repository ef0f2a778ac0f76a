"""The interactive variant: a terminal of the sandbox's own, carried to and from the driver's."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from layerlock.sandbox.engine.station import Station
from layerlock.sandbox.program import Program
from layerlock.sandbox.spec import SandboxSpec

from .conftest import Specs

pytestmark = pytest.mark.sandbox

DRIVER = """
from pathlib import *
from layerlock.sandbox.run import shell
from layerlock.sandbox.engine.station import Station
from layerlock.sandbox.program import Program
from layerlock.sandbox.spec import *
print("status", shell({spec!r}, program={program!r}))
"""


DOCKER = """
from pathlib import *
from layerlock.sandbox.docker import connect
from layerlock.sandbox.engine.image import Images
from layerlock.sandbox.engine.layout import Way
from layerlock.sandbox.engine.shell import shell
from layerlock.sandbox.engine.station import Station
from layerlock.sandbox.program import pinned
from layerlock.sandbox.spec import *
engine = connect({variables})
images = Images(engine=engine, pin=pinned({machine!r}), folder={folder!r})
print("status", shell({spec!r}, station=Station(engine=engine, images=images, way={way!r})))
"""
Code = Callable[[SandboxSpec], list[str]]


@pytest.fixture(params=["bwrap", "docker"])
def code(request: pytest.FixtureRequest) -> Code:
    """Give the command of a driver that opens a shell, for either sandbox."""
    if request.param == "bwrap":
        program: Program = request.getfixturevalue("program")
        return lambda spec: [sys.executable, "-c", DRIVER.format(spec=spec, program=program)]
    station: Station = request.getfixturevalue("open_stations")(bind=True)
    facts = {
        "variables": request.getfixturevalue("engine_variables"),
        "machine": station.images.pin.machine,
        "folder": station.images.folder,
        "way": station.way,
    }
    return lambda spec: [sys.executable, "-c", DOCKER.format(spec=spec, **facts)]


def _until(terminal: int, wanted: bytes, seconds: float = 15.0) -> bytes:
    said = b""
    until = time.monotonic() + seconds
    while wanted not in said and time.monotonic() < until:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                said += os.read(terminal, 4096)
            except OSError:
                break
    assert wanted in said, said
    return said


def test_a_shell_on_a_terminal(spec: Specs, code: Code) -> None:
    outer, inner = os.openpty()
    process = subprocess.Popen(
        code(spec("bash", "--norc", "-i", interactive=True)),
        stdin=inner,
        stdout=inner,
        stderr=inner,
    )
    os.close(inner)
    try:
        _until(outer, b"$ ")
        os.write(outer, b"id -un; echo on-$((20+3)); jobs; test -t 0 && echo a-terminal\n")
        _until(outer, b"a-terminal\r\n")
        os.write(outer, b"sleep 30\n")
        time.sleep(0.3)
        os.write(outer, b"\x03")
        os.write(outer, b"echo stopped-$?; exit 7\n")
        assert b"stopped-130" in _until(outer, b"status 7")
        assert process.wait(timeout=10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(outer)


def test_without_a_terminal_the_streams_are_handed_in(spec: Specs, code: Code) -> None:
    done = subprocess.run(
        code(spec("sh", "-c", "read x; echo got $x; exit 4")),
        input="words\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("got words\nstatus 4\n", "")
