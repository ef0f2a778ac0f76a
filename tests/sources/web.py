"""A real HTTP server on loopback: a package index and a Debian mirror are folders of files to it."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Web:
    """A served folder: its address, and every path that was asked for."""

    folder: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)

    def put(self, path: str, data: bytes) -> str:
        """Write a file, and give its address."""
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return f"{self.url}/{path}"

    def project(self, name: str, files: dict[str, bytes], *, stated: dict[str, str] | None = None) -> None:
        """Write a project's page of the simple API, with the hash fragments that indexes give."""
        links = []
        for filename, data in files.items():
            self.put(f"files/{filename}", data)
            sha256 = (stated or {}).get(filename, hashlib.sha256(data).hexdigest())
            fragment = f"#sha256={sha256}" if sha256 else ""
            links.append(f'<a href="../../files/{filename}{fragment}">{filename}</a><br>')
        page = f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>"
        self.put(f"simple/{name}/index.html", page.encode())


@contextmanager
def served_web(folder: Path) -> Iterator[Web]:
    """Serve a folder until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    web = Web(folder)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def do_GET(self) -> None:
            web.asked.append(self.path)
            super().do_GET()

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
