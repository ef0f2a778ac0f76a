"""A docker engine for tests: the one that DOCKER_HOST names, else one started for the length of a test run."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from layerlock.errors import SandboxUnavailable
from layerlock.sandbox.docker import connect
from tests.required import without

_START = 60.0


class NoEngine(Exception):
    """There is none, and none can be started; says why."""


def without_docker(reason: str) -> NoReturn:
    """Skip what needs an engine, or fail where there must be one."""
    without("docker", reason)


@contextmanager
def engine_address() -> Iterator[str]:
    """Lend the address of an engine.

    Raises:
        NoEngine: there is none, and none can be started.
    """
    named = os.environ.get("DOCKER_HOST")
    if named:
        try:
            connect({"DOCKER_HOST": named})
        except SandboxUnavailable as error:
            raise NoEngine(error.message) from error
        yield named
        return
    if os.geteuid() != 0:
        raise NoEngine("DOCKER_HOST names no engine, and only root can start one")
    if shutil.which("dockerd") is None:
        raise NoEngine("DOCKER_HOST names no engine, and dockerd is not installed (Debian: docker.io)")
    with tempfile.TemporaryDirectory(prefix="engine-") as folder:
        yield from _started(Path(folder))


def _started(folder: Path) -> Iterator[str]:
    # A short path: a socket's address has room for about a hundred bytes.
    address = f"unix://{folder}/docker.sock"
    words = ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"), "-H", address]
    words += ["--pidfile", str(folder / "pid"), "--iptables=false", "--bridge=none"]
    with (folder / "log").open("wb") as log:
        # By its own process id it is stopped, and its helper containerd with it.
        engine = subprocess.Popen(["dockerd", *words], stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + _START
        while True:
            try:
                connect({"DOCKER_HOST": address})
                break
            except SandboxUnavailable as error:
                if engine.poll() is not None or time.monotonic() > until:
                    said = (folder / "log").read_text(errors="replace").strip().splitlines()[-1:]
                    raise NoEngine(f"dockerd does not start here: {' '.join(said)}") from error
                time.sleep(0.1)
        yield address
    finally:
        engine.terminate()
        try:
            engine.wait(timeout=60)
        except subprocess.TimeoutExpired:
            engine.kill()
            engine.wait()
        # What containers with the host's network leave in place.
        for mounted in (folder / "exec/netns").glob("*"):
            subprocess.run(["umount", str(mounted)], check=False, capture_output=True)
