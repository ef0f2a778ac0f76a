"""Engines that are not there, not ours, silent, old, of another machine or unwilling: each is told apart."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from layerlock.errors import LayerlockError, SandboxUnavailable
from layerlock.sandbox.docker import connect
from layerlock.sandbox.engine.station import open_station

pytestmark = pytest.mark.sandbox

MACHINE = platform.machine()
NEW = {
    "/version": (200, {"ApiVersion": "1.41", "Version": "20.10"}),
    "/info": (200, {"Architecture": MACHINE}),
}
Answers = dict[str, tuple[int, Any]]


@contextmanager
def engine(answers: Answers) -> Iterator[str]:
    """Serve an engine's API on loopback: (status, JSON) by the path's end, or by its beginning after the version."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            path = self.path.partition("?")[0].removeprefix("/v1.41")
            status, body = next((answers[key] for key in answers if path.startswith(key)), (404, {}))
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.close_connection = True

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            with suppress(OSError):
                if self.headers.get("Transfer-Encoding") == "chunked":
                    while size := int(self.rfile.readline(), 16):
                        self.rfile.read(size + 2)
                    self.rfile.readline()
                else:
                    self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self._answer()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def refused(address: str, **choices: Any) -> SandboxUnavailable:
    """Connect in vain."""
    with pytest.raises(SandboxUnavailable) as caught:
        connect({"DOCKER_HOST": address}, **choices)
    assert caught.value.exit_code == 7
    return caught.value


def test_no_engine_is_there(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for address in (f"unix://{tmp_path}/none.sock", f"tcp://127.0.0.1:{port}"):
        error = refused(address)
        assert error.message == f"there is no docker engine at {address}"
        assert "DOCKER_HOST" in error.hint


def test_an_engine_that_does_not_let_us_in(tmp_path: Path) -> None:
    place = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        place.chmod(0)
        folder = tmp_path
        while folder != Path("/tmp") and os.geteuid() == 0:  # pytest's folders are their owner's alone
            folder.chmod(0o755)
            folder = folder.parent
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            error = refused(f"unix://{place}")
        finally:
            os.seteuid(user)
    assert "does not let this user in" in error.message
    assert "group `docker`" in error.hint


def test_an_engine_that_hangs(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()
        error = refused(f"unix://{tmp_path}/s", patience=1)
    assert error.message.endswith("does not answer")


def test_an_engine_that_is_too_old() -> None:
    with engine({"/version": (200, {"ApiVersion": "1.24", "Version": "1.12.6"})}) as address:
        error = refused(address)
    assert "too old: Docker 1.12.6 with API 1.24" in error.message
    assert "20.10" in error.hint


@pytest.mark.parametrize("body", ["<html>", {}, {"ApiVersion": "x"}, ["1.41"]])
def test_something_that_is_no_engine(body: Any) -> None:
    with engine({"/version": (200, body)}) as address:
        assert address in refused(address).message


@pytest.mark.parametrize("address", ["nonsense://x", "tcp://", "unix://" + "x" * 200])
def test_an_address_that_is_none(address: str) -> None:
    refused(address)


def test_a_context_that_is_none() -> None:
    with pytest.raises(SandboxUnavailable, match="nonesuch"):
        connect({"DOCKER_CONTEXT": "nonesuch"})


def test_a_context_leads_to_its_engine(
    engine_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "contexts" / "meta" / hashlib.sha256(b"there").hexdigest()
    folder.mkdir(parents=True)
    endpoint = {"docker": {"Host": engine_host, "SkipTLSVerify": False}}
    (folder / "meta.json").write_text(json.dumps({"Name": "there", "Metadata": {}, "Endpoints": endpoint}))
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert connect({"DOCKER_CONTEXT": "there"}).machine() == MACHINE
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "there"}))
    assert connect({}).machine() == MACHINE


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[str], LayerlockError]:
    """Open a station in vain, with next to nothing as its program."""
    (tmp_path / "program").mkdir()
    (tmp_path / "probe").mkdir()

    @contextmanager
    def scratch(_: str) -> Iterator[Path]:
        yield tmp_path / "probe"

    def go(address: str) -> LayerlockError:
        with pytest.raises(SandboxUnavailable) as caught:
            open_station({"DOCKER_HOST": address}, lambda _: tmp_path / "program", scratch, machine=MACHINE)
        return caught.value

    return go


def test_an_engine_of_another_machine(opened: Callable[[str], LayerlockError]) -> None:
    with engine({**NEW, "/info": (200, {"Architecture": "riscv64"})}) as address:
        error = opened(address)
    assert f"runs on riscv64; environments here are for {MACHINE}" in error.message


def test_an_engine_that_takes_no_image(opened: Callable[[str], LayerlockError]) -> None:
    full = (500, {"message": "no space left on device"})
    missing = (404, {"message": "No such image: layerlock/program"})
    with engine(
        {**NEW, "/containers/json": (200, []), "/images/create": full, "/images": missing}
    ) as address:
        error = opened(address)
    assert "refuses to import the image layerlock/program:" in error.message
    assert "no space left on device" in error.message


def test_an_engine_that_grants_nothing(opened: Callable[[str], LayerlockError]) -> None:
    denied = (403, {"message": "authorization denied by plugin: capabilities"})
    answers = {"/containers/json": (200, []), "/images": (200, {}), "/containers/create": denied}
    with engine({**NEW, **answers}) as address:
        error = opened(address)
    assert "cannot run sandboxes" in error.message
    assert "authorization denied by plugin" in error.message
    assert "CAP_SYS_ADMIN" in error.hint
