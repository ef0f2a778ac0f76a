"""An S3 service on loopback, and a proxy before it that does to requests what it is told to."""

from __future__ import annotations

import http.client
import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

Fault = Literal["busy", "cut", "drop", "lose", "flip"]
"""503 SlowDown; half of the body; no answer at all; 404; one byte of the body changed."""

SLOW_DOWN = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Slow down.</Message></Error>'
LOST = b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code><Message>The key does not exist.</Message></Error>'


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A request that came."""

    method: str
    path: str
    range: str


@dataclass(kw_only=True, slots=True)
class Rules:
    """What the proxy does, by request; `asked` is every request so far."""

    fault: Callable[[Asked], Fault | None] = lambda _: None
    asked: list[Asked] = field(default_factory=list)
    guard: threading.Lock = field(default_factory=threading.Lock)

    def first(self, count: int, fault: Fault, method: str, part: str) -> None:
        """Do something to the first requests of a method whose path has a part."""
        left = [count]

        def decide(asked: Asked) -> Fault | None:
            with self.guard:
                if asked.method == method and part in asked.path and left[0] > 0:
                    left[0] -= 1
                    return fault
            return None

        self.fault = decide

    def of(self, method: str) -> list[str]:
        """Give the paths of requests of a method."""
        return [asked.path for asked in self.asked if asked.method == method]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Proxy
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        asked = Asked(method=self.command, path=self.path, range=self.headers.get("Range", ""))
        rules = self.server.rules
        rules.asked.append(asked)
        fault = rules.fault(asked)
        self.close_connection = True
        with suppress(BrokenPipeError, ConnectionResetError):
            if fault == "busy":
                self._answer(503, [], SLOW_DOWN, len(SLOW_DOWN))
                return
            if fault == "drop":
                return
            if fault == "lose":
                self._answer(404, [], LOST, len(LOST))
                return
            status, headers, data = self._ask(body)
            length = len(data)
            if self.command == "HEAD":
                length = int(dict(headers).get("Content-Length", "0"))
            if fault == "cut":
                data = data[: len(data) // 2]
            elif fault == "flip":
                middle = len(data) // 2
                data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
            self._answer(status, headers, data, length)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(self.server.behind, timeout=60)
        try:
            given = {k: v for k, v in self.headers.items() if k.lower() not in ("expect", "connection")}
            connection.request(self.command, self.path, body=body or None, headers=given)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes, length: int) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Proxy(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind = behind
        self.rules = Rules()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: who breaks off is what is tried."""


@contextmanager
def proxy(address: str) -> Iterator[tuple[str, Rules]]:
    """Run a proxy before an address; give its own, and what it does."""
    with _Proxy(urlsplit(address).netloc) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", server.rules
        finally:
            server.shutdown()
            thread.join()


class _Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def files(folder: str) -> Iterator[str]:
    """Serve a folder by Python's own web server."""

    def handler(*arguments: Any) -> _Files:
        return _Files(*arguments, directory=folder)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
