"""Git repositories for tests, made by the host's own git, and a real server for them on loopback."""

from __future__ import annotations

import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_AUTHOR_NAME": "tests",
    "GIT_AUTHOR_EMAIL": "tests@localhost",
    "GIT_COMMITTER_NAME": "tests",
    "GIT_COMMITTER_EMAIL": "tests@localhost",
    "GIT_AUTHOR_DATE": "2020-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z",
}


def git(*arguments: str, cwd: Path, stdin: bytes = b"") -> str:
    """Run the host's git and give what it prints."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=cwd,
        env=_ENVIRONMENT,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@dataclass(frozen=True)
class Repository:
    """A bare repository below the server's folder, with a working folder beside it."""

    bare: Path
    work: Path

    def commit(self, files: Mapping[str, str | None], message: str = "change", branch: str = "main") -> str:
        """Write files (None removes one), commit them, push the branch, and give the commit."""
        for name, text in files.items():
            path = self.work / name
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="")
        git("add", "--all", cwd=self.work)
        return self.record(message, branch)

    def record(self, message: str = "change", branch: str = "main") -> str:
        """Commit what is in the index and push it."""
        git("commit", "--quiet", "--allow-empty", "-m", message, cwd=self.work)
        git("push", "--quiet", "--force", str(self.bare), f"HEAD:refs/heads/{branch}", cwd=self.work)
        return git("rev-parse", "HEAD", cwd=self.work)

    def submodule(self, path: str, url: str, commit: str, name: str | None = None) -> None:
        """Put a gitlink into the index and state it in .gitmodules, without asking git whether that is wise."""
        git("update-index", "--add", "--cacheinfo", f"160000,{commit},{path}", cwd=self.work)
        self.gitmodules(f'[submodule "{name or path}"]\n\tpath = {path}\n\turl = {url}\n')

    def gitmodules(self, text: str) -> None:
        """Append to .gitmodules in the index."""
        table = self.work / ".gitmodules"
        with table.open("a", encoding="utf-8") as file:
            file.write(text)
        git("add", ".gitmodules", cwd=self.work)

    def tag(self, name: str, *, annotated: bool = False) -> None:
        """Put a tag on the current commit."""
        git("tag", "--force", *(("-a", "-m", name) if annotated else ()), name, cwd=self.work)
        git("push", "--quiet", "--force", str(self.bare), f"refs/tags/{name}", cwd=self.work)


def new_repository(served: Path, name: str) -> Repository:
    """Make an empty repository `name.git` below the server's folder."""
    bare, work = served / f"{name}.git", served.parent / "work" / name
    bare.parent.mkdir(parents=True, exist_ok=True)
    work.mkdir(parents=True)
    git("init", "--quiet", "--bare", "--initial-branch=main", str(bare), cwd=served)
    git("init", "--quiet", "--initial-branch=main", cwd=work)
    return Repository(bare=bare, work=work)


@contextmanager
def git_daemon(served: Path) -> Iterator[str]:
    """Serve a folder's repositories by `git daemon` on loopback; gives the address of the folder."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    core = git("--exec-path", cwd=served)
    if not Path(core, "git-daemon").exists():
        pytest.skip("this git has no daemon")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            f"{core}/git-daemon",
            "--export-all",
            "--listen=127.0.0.1",
            f"--port={port}",
            "--reuseaddr",
            f"--base-path={served}",
            str(served),
        ],
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None, "git daemon ended at once"
                assert time.monotonic() < deadline, "git daemon does not answer"
                time.sleep(0.05)
        yield f"git://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)


@contextmanager
def git_over_https(served: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder's repositories by `git http-backend` behind TLS; gives the address and the certificate.

    Below `/away/` every request is redirected to plain http on the same port.
    """
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    backend = Path(git("--exec-path", cwd=served), "git-http-backend")
    if not backend.exists():
        pytest.skip("this git has no http-backend")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *name),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            if path.startswith("/away/"):
                self.send_response(302)
                self.send_header("Location", f"http://localhost:{server.server_port}{self.path[5:]}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            done = subprocess.run(
                [str(backend)],
                env={
                    **_ENVIRONMENT,
                    "GIT_PROJECT_ROOT": str(served),
                    "GIT_HTTP_EXPORT_ALL": "1",
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                    "REQUEST_METHOD": self.command,
                    "PATH_INFO": path,
                    "QUERY_STRING": query,
                },
                input=self.rfile.read(int(self.headers.get("Content-Length", 0))),
                capture_output=True,
                check=False,
                timeout=60,
            )
            head, _, body = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
            for header, value in headers.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"https://localhost:{server.server_port}", certificate
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
