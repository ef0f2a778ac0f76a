"""An S3 service that only measurements use: objects in a folder, nothing checked.

    python -m tools.s3_standin FOLDER          prints its port; ends with its parent, or when told to

It knows what `aws s3 sync` and the binary cache ask for (path-style addresses, listings, ranges, multipart uploads)
and no more: no signatures, no checksums, no versions. An object's parts stay files of their own, since joining them
would be work. moto, which the tests use, checks and copies what it gets, and would be the limit: a stand-in for speed
must be faster than whoever is timed against it.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

_MODIFIED: Final = "2026-01-01T00:00:00.000Z"
_MODIFIED_HTTP: Final = "Thu, 01 Jan 2026 00:00:00 GMT"
_PIPE: Final = 1 << 20
_SPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"


class Bucket:
    """Objects by key, each a tuple of files and their sizes; uploads that are under way by their names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects: dict[str, tuple[str, tuple[tuple[Path, int], ...]]] = {}
        self.uploads: dict[str, dict[int, tuple[str, Path, int]]] = {}
        self.lock = Lock()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    bucket: Bucket

    def setup(self) -> None:
        """Send small answers at once."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_PUT(self) -> None:
        """Make the bucket, or take an object or a part of one."""
        key, query = self._asked()
        if not key:
            self._answer(200)
            return
        path, size = self._take()
        tag = f'"{secrets.token_hex(16)}"'
        with self.bucket.lock:
            if "uploadId" in query:
                self.bucket.uploads[query["uploadId"]][int(query["partNumber"])] = (tag, path, size)
            else:
                self.bucket.objects[key] = (tag, ((path, size),))
        self._answer(200, headers={"ETag": tag})

    def do_POST(self) -> None:
        """Begin or complete a multipart upload."""
        key, query = self._asked()
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if "uploads" in query:
            upload = secrets.token_hex(8)
            self.bucket.uploads[upload] = {}
            self._xml(
                "InitiateMultipartUploadResult", f"<Key>{escape(key)}</Key><UploadId>{upload}</UploadId>"
            )
            return
        upload = query["uploadId"]
        listed = ElementTree.fromstring(body)  # noqa: S314 - the client that is measured wrote it
        wanted = [int(one.text or 0) for one in listed.iter(f"{{{_SPACE}}}PartNumber")]
        tag = f'"{secrets.token_hex(16)}-{len(wanted)}"'
        with self.bucket.lock:
            parts = self.bucket.uploads.pop(upload)
            self.bucket.objects[key] = (tag, tuple(parts[number][1:] for number in wanted))
        self._xml("CompleteMultipartUploadResult", f"<Key>{escape(key)}</Key><ETag>{escape(tag)}</ETag>")

    def do_DELETE(self) -> None:
        """Drop an upload or an object."""
        key, query = self._asked()
        with self.bucket.lock:
            self.bucket.uploads.pop(query.get("uploadId", ""), None)
            if "uploadId" not in query:
                self.bucket.objects.pop(key, None)
        self._answer(204)

    def do_HEAD(self) -> None:
        """Tell of an object."""
        self.do_GET()

    def do_GET(self) -> None:
        """Give a listing, an object, or a range of one."""
        key, query = self._asked()
        if not key:
            self._list(query)
            return
        found = self.bucket.objects.get(key)
        if found is None:
            self._xml("Error", "<Code>NoSuchKey</Code>", status=404)
            return
        tag, parts = found
        total = sum(size for _, size in parts)
        start, end, status = 0, total, 200
        headers = {"ETag": tag, "Last-Modified": _MODIFIED_HTTP, "Accept-Ranges": "bytes"}
        if "Range" in self.headers:
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            start, end, status = int(first), min(int(last or total) + 1, total), 206
            if start >= total:
                self._xml("Error", "<Code>InvalidRange</Code>", status=416)
                return
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{total}"
        self._answer(status, headers=headers, length=end - start)
        if self.command == "GET":
            self._send(parts, start, end)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _asked(self) -> tuple[str, dict[str, str]]:
        found = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(found.query, keep_blank_values=True).items()}
        return unquote(found.path).lstrip("/").partition("/")[2], query

    def _take(self) -> tuple[Path, int]:
        """Move a body into a file, what the parser has read ahead first."""
        size = left = int(self.headers["Content-Length"])
        path = self.bucket.folder / secrets.token_hex(12)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            buffer = memoryview(bytearray(_PIPE))
            while left:
                got = self.rfile.readinto1(buffer[: min(left, _PIPE)])
                if not got:
                    raise ConnectionError("a body ends early")
                os.write(descriptor, buffer[:got])
                left -= got
        finally:
            os.close(descriptor)
        return path, size

    def _send(self, parts: tuple[tuple[Path, int], ...], start: int, end: int) -> None:
        self.wfile.flush()
        at = 0
        for path, size in parts:
            first, last = max(start - at, 0), min(end - at, size)
            at += size
            if first >= last:
                continue
            descriptor = os.open(path, os.O_RDONLY)
            try:
                while first < last:
                    first += os.sendfile(self.connection.fileno(), descriptor, first, last - first)
            finally:
                os.close(descriptor)

    def _list(self, query: dict[str, str]) -> None:
        prefix = query.get("prefix", "")
        with self.bucket.lock:
            found = sorted(
                (key, tag, sum(size for _, size in parts))
                for key, (tag, parts) in self.bucket.objects.items()
                if key.startswith(prefix)
            )
        rows = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>{_MODIFIED}</LastModified>"
            f"<ETag>{escape(tag)}</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for key, tag, size in found
        )
        count = f"<KeyCount>{len(found)}</KeyCount><IsTruncated>false</IsTruncated>"
        self._xml("ListBucketResult", f"<Prefix>{escape(prefix)}</Prefix>{count}{rows}")

    def _xml(self, name: str, inner: str, *, status: int = 200) -> None:
        body = f'<?xml version="1.0" encoding="UTF-8"?><{name} xmlns="{_SPACE}">{inner}</{name}>'.encode()
        self._answer(status, headers={"Content-Type": "application/xml"}, length=len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer(self, status: int, *, headers: dict[str, str] | None = None, length: int = 0) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 128


def main() -> int:
    """Serve until the standard input ends."""
    folder = Path(sys.argv[1])
    folder.mkdir()
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"bucket": Bucket(folder)}))
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
