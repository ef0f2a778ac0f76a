"""AWS on loopback: moto's server, and before it a proxy that counts calls and makes trouble."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

SIGNATURE = "A-SIGNATURE-THAT-IS-A-SECRET"
"""Stands in addresses of downloads, as the true ones are signed."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server says."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Fault:
    """Trouble with the next `times` calls whose `METHOD path` a pattern finds.

    `before` answers in moto's place; `after` changes moto's answer; None for an answer cuts the connection;
    `short` cuts it in the middle of the body. The first `skip` such calls are spared.
    """

    pattern: str
    times: int = 1
    before: Callable[[], Answer | None] | None = None
    after: Callable[[Answer], Answer | None] | None = None
    short: bool = False
    skip: int = 0


def refused(status: int, code: str, message: str) -> Callable[[], Answer]:
    """Make an answer of Lambda's that refuses."""
    body = json.dumps({"Type": "User", "Message": message, "message": message}).encode()
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
    return lambda: Answer(status=status, headers=headers, body=body)


def refused_by_s3(status: int, code: str, message: str) -> Callable[[], Answer]:
    """Make an answer of S3's that refuses."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    return lambda: Answer(status=status, headers={"Content-Type": "application/xml"}, body=body)


def cut() -> None:
    """Answer nothing at all."""


def with_json(**changed: Any) -> Callable[[Answer], Answer]:
    """Change an answer's `Content`."""

    def change(answer: Answer) -> Answer:
        told = json.loads(answer.body)
        told["Content"] |= changed
        return Answer(status=answer.status, headers=answer.headers, body=json.dumps(told).encode())

    return change


@dataclass
class Aws:
    """The proxy's state: every call as `METHOD path`, in order, and the trouble that is still to come."""

    moto: int
    port: int = 0
    calls: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    zips: dict[str, bytes] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    headers: list[dict[str, str]] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    @property
    def url(self) -> str:
        """The address of everything."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_calls(self) -> list[str]:
        """The calls of AWS's interfaces: downloads from signed addresses are none."""
        return [call for call in self.calls if "/__zip__/" not in call]

    def reset(self) -> None:
        """Forget everything."""
        ask(self.moto, "POST", "/moto-api/reset", {}, b"")
        for kept in (self.calls, self.faults, self.zips, self.objects, self.headers):
            kept.clear()

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[Answer | None, bool]:
        """Answer a call, with the trouble that was ordered."""
        called = f"{method} {unquote(urlsplit(path).path)}"
        with self.lock:
            self.calls.append(called)
            self.headers.append({**headers})
            fault = next((f for f in self.faults if f.times and re.search(f.pattern, called)), None)
            if fault is not None and fault.skip:
                fault.skip -= 1
                fault = None
            if fault is not None:
                fault.times -= 1
        if fault is not None and fault.before is not None:
            return fault.before(), False
        answer = self._downloaded(path) or self._forwarded(method, path, headers, body)
        changed = answer if fault is None or fault.after is None else fault.after(answer)
        return changed, fault is not None and fault.short

    def _downloaded(self, path: str) -> Answer | None:
        if not path.startswith("/__zip__/"):
            return None
        data = self.zips.get(path.partition("?")[0].removeprefix("/__zip__/"))
        if data is None or SIGNATURE not in path:
            return Answer(status=403, headers={}, body=b"")
        return Answer(status=200, headers={"Content-Type": "application/zip"}, body=data)

    def _forwarded(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        answer = ask(self.moto, method, path, headers, body)
        plain = unquote(urlsplit(path).path)
        if answer.status >= 300:
            return answer
        if method == "PUT":
            self.objects[plain] = body
        if re.search(r"/layers/[^/]+/versions(/\d+)?$", plain) and method in ("POST", "GET"):
            return self._located(answer, method, body)
        return answer

    def _located(self, answer: Answer, method: str, body: bytes) -> Answer:
        """Put an address into the answer that gives the zip, which moto keeps to itself."""
        told = json.loads(answer.body)
        if "Content" not in told:
            return answer
        name = told["LayerVersionArn"].replace(":", "/")
        if method == "POST":
            content = json.loads(body)["Content"]
            if "ZipFile" in content:
                self.zips[name] = base64.b64decode(content["ZipFile"])
            else:
                self.zips[name] = self.objects[f"/{content['S3Bucket']}/{content['S3Key']}"]
        told["Content"]["Location"] = f"{self.url}/__zip__/{name}?X-Amz-Signature={SIGNATURE}"
        return Answer(status=answer.status, headers=answer.headers, body=json.dumps(told).encode())


def ask(port: int, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
    """Ask moto."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    kept = {n: v for n, v in headers.items() if n.lower() not in ("content-length", "expect", "connection")}
    try:
        connection.request(method, path, body=body, headers={**kept, "Content-Length": str(len(body))})
        response = connection.getresponse()
        return Answer(status=response.status, headers=dict(response.getheaders()), body=response.read())
    finally:
        connection.close()


def _handler(aws: Aws) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer, short = aws.answer(self.command, self.path, dict(self.headers.items()), body)
            self.close_connection = True
            if answer is None:
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in (
                    "content-length",
                    "connection",
                    "date",
                    "server",
                    "transfer-encoding",
                ):
                    self.send_header(name, value)
            length = len(answer.body)
            if self.command == "HEAD":
                length = int(next((v for n, v in answer.headers.items() if n.lower() == "content-length"), 0))
            self.send_header("Content-Length", str(length))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(answer.body[: len(answer.body) // 2] if short else answer.body)

        do_GET = do_POST = do_PUT = do_HEAD = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


@contextlib.contextmanager
def moto() -> Iterator[int]:
    """Run moto's server, and give its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 60
            while True:
                try:
                    ask(port, "POST", "/moto-api/reset", {}, b"")
                    break
                except OSError:
                    assert process.poll() is None, "moto's server ended"
                    assert time.monotonic() < until, "moto's server does not answer"
                    time.sleep(0.1)
            yield port
        finally:
            process.terminate()


@contextlib.contextmanager
def proxied(port: int) -> Iterator[Aws]:
    """Run the proxy before moto."""
    aws = Aws(moto=port)
    with ThreadingHTTPServer(("127.0.0.1", 0), _handler(aws)) as server:
        server.daemon_threads = True
        aws.port = server.server_address[1]
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield aws
        finally:
            server.shutdown()
            thread.join()
