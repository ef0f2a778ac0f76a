"""Checks of the network, against real servers on loopback: a web server, an index, a Debian mirror, git."""

from __future__ import annotations

import http.server
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from layerlock.io.http import Fetcher
from layerlock.model.findings import Severity
from layerlock.sources.apt_sources import AptSource
from layerlock.sources.fetch import Reach
from layerlock.sources.git_program import GitProgram
from layerlock.sources.origins import Origins
from layerlock.sources.pip_configuration import PipConfiguration
from tests.audit.conftest import DEB, SOURCE, Shelf, sha256
from tests.sources.debian import Key, publish, release_text
from tests.sources.repositories import git_daemon, new_repository
from tests.sources.web import Web, served_web

Net = Callable[[], Reach]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A web server on loopback."""
    with served_web(tmp_path / "web") as web:
        yield web


def reach_to(*indexes: str, apt: tuple[AptSource, ...] = (), keyring: bytes | None = None) -> Net:
    """Make the means of reaching sources."""
    origins = Origins(pip=PipConfiguration(indexes=indexes), apt=apt, snapshot_address=None)
    git = GitProgram(variables={"PATH": os.environ["PATH"]}, seconds=60, stall=30)

    def make() -> Reach:
        return Reach(
            fetcher=Fetcher(), origins=origins, git=git, repository=Path("/nowhere"), keyring=keyring
        )

    return make


def archive(address: str, suite: str = "bullseye") -> AptSource:
    """Describe a Debian archive as apt's sources would."""
    return AptSource(address=address, suites=(suite,), components=("main",))


@pytest.fixture
def net(web: Web) -> Net:
    """The means of reaching the web server: as an index, and as a Debian mirror."""
    return reach_to(f"{web.url}/simple", apt=(archive(f"{web.url}/debian"),))


@pytest.fixture
def served(shelf: Shelf, web: Web) -> Shelf:
    """The small repository with its sources on the web server, and locked with their sizes."""
    web.put("hello-1.0.tar.gz", SOURCE)
    web.put("debian/pool/main/b/bash/bash.deb", DEB)
    shelf.edit("recipes/packages/hello.toml", "https://example.org", web.url)
    lock_with_sizes(shelf)
    return shelf


def lock_with_sizes(shelf: Shelf) -> None:
    """Lock, with the true size of the source."""
    shelf.lock()
    path = shelf.root / "lockfiles/demo.lock"
    path.write_text(path.read_text().replace("size = 1\n", f"size = {len(SOURCE)}\n"))


def test_addresses_that_answer_are_asked_for_their_size_alone_and_once_a_day(
    served: Shelf, web: Web, net: Net
) -> None:
    assert served.found("addresses", "release-changed", reach=net) == []
    assert web.asked == []  # GET was never needed
    web.folder.joinpath("hello-1.0.tar.gz").unlink()
    assert served.found("addresses", reach=net) == [], "what answered today is not asked again"
    (finding,) = served.found("addresses", reach=net, again=True)
    assert finding.subject == "hello/hello"


def test_a_dead_address_is_a_warning_and_the_last_one_an_error(served: Shelf, web: Web, net: Net) -> None:
    gone = f"{web.url}/gone-1.0.tar.gz"
    served.edit("recipes/packages/hello.toml", f'"{web.url}', f'"{gone}", "{web.url}')
    lock_with_sizes(served)
    (finding,) = served.found("addresses", reach=net)
    assert (finding.severity, finding.subject) == (Severity.WARNING, "hello/hello")
    assert f"{gone}: the server answers 404" in finding.message
    assert finding.location is not None and finding.location.line == 8
    web.folder.joinpath("hello-1.0.tar.gz").unlink()
    (finding,) = served.found("addresses", reach=net, again=True)
    assert finding.severity is Severity.ERROR


def test_other_bytes_are_known_by_size_and_with_deep_by_hash(served: Shelf, web: Web, net: Net) -> None:
    assert served.found("release-changed", "addresses", reach=net, deep=True) == []
    web.put("hello-1.0.tar.gz", SOURCE.upper())
    assert served.found("release-changed", reach=net, again=True) == []
    (finding,) = served.found("release-changed", reach=net, again=True, deep=True)
    assert (finding.severity, finding.subject) == (Severity.ERROR, "hello/hello")
    web.put("hello-1.0.tar.gz", SOURCE * 2)
    (finding,) = served.found("release-changed", reach=net, again=True)
    assert f"it has {2 * len(SOURCE)} bytes where {len(SOURCE)} are pinned" in finding.message
    assert served.found("addresses", reach=net, again=True) == []


@contextmanager
def slow_server(answer: Callable[[Any], None]) -> Iterator[str]:
    """Run a server that keeps connections open and answers every request by a function."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(self)

        do_HEAD = do_GET

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def with_files(shelf: Shelf, urls: list[str]) -> None:
    """Give the package one source of kind `file` for each address."""
    rows = "".join(
        f'[[sources]]\nkind = "file"\nname = "file-{n}"\nurls = ["{url}"]\nsha256 = "{n:064x}"\n\n'
        for n, url in enumerate(urls)
    )
    shelf.edit("recipes/packages/hello.toml", "[[patches]]", f"{rows}[[patches]]")
    shelf.lock()


def test_a_server_that_knows_no_head_is_asked_for_one_byte(shelf: Shelf) -> None:
    asked = []

    def answer(handler: Any) -> None:
        asked.append((handler.command, handler.headers.get("Range")))
        if handler.command == "HEAD":
            handler.send_response(405)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206)
        handler.send_header("Content-Range", "bytes 0-0/1")
        handler.send_header("Content-Length", "1")
        handler.end_headers()
        handler.wfile.write(b"x")

    with slow_server(answer) as url:
        with_files(shelf, [f"{url}/a"])
        found = shelf.found("addresses", reach=reach_to())
    assert "hello/file-0" not in {finding.subject for finding in found}
    assert asked == [("HEAD", None), ("GET", "bytes=0-0")]


def test_a_hundred_sources_with_fifty_milliseconds_of_latency_take_less_than_three_seconds(
    shelf: Shelf,
) -> None:
    at_once, most, guard = 0, 0, threading.Lock()

    def answer(handler: Any) -> None:
        nonlocal at_once, most
        with guard:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.05)
        with guard:
            at_once -= 1
        handler.send_response(200)
        handler.send_header("Content-Length", "1")
        handler.end_headers()

    with slow_server(answer) as url:
        with_files(shelf, [f"{url}/{n}" for n in range(100)])
        shelf.edit(
            "recipes/packages/hello.toml", "https://example.org/hello-1.0.tar.gz", f"{url}/hello.tar.gz"
        )
        shelf.lock()
        reach = reach_to(apt=(archive(f"{url}/debian"),))
        started = time.monotonic()
        found = shelf.found("addresses", reach=reach)
        seconds = time.monotonic() - started
    assert found == []
    assert most <= 8, "a server is asked politely"
    assert seconds < 3


def test_a_host_that_refuses_connections_is_soon_given_up(shelf: Shelf) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with_files(shelf, [f"http://127.0.0.1:{port}/{n}" for n in range(40)])
    started = time.monotonic()
    found = [f for f in shelf.found("addresses", reach=reach_to()) if f.subject.startswith("hello/file")]
    assert len(found) == 40
    assert sum("not asked any more" in finding.message for finding in found) >= 20
    assert time.monotonic() - started < 10


FILES = {
    "hello-1.0.tar.gz": b"1.0",
    "hello-1.0.1.tar.gz": b"1.0.1",
    "hello-1.0.3.tar.gz": b"yanked",
    "hello-1.0.4rc1.tar.gz": b"not final",
    "hello-1.1.tar.gz": b"1.1",
    "hello-2.0-py3-none-any.whl": b"a wheel",
}


def with_index(shelf: Shelf, web: Web, *, allows: str = "", yanked: str = "1.0.3") -> None:
    """Take the package's source from an index."""
    web.project("hello", FILES)
    page = web.folder / "simple/hello/index.html"
    name = f"hello-{yanked}.tar.gz"
    page.write_text(
        page.read_text().replace(f'">{name}</a>', f'" data-yanked="it forgets to greet">{name}</a>')
    )
    more = f'\nallows = "{allows}"' if allows else ""
    shelf.edit(
        "recipes/packages/hello.toml", 'urls = ["https://example.org/hello', f'urls = ["{web.url}/files/hello'
    )
    shelf.edit("recipes/packages/hello.toml", '.tar.gz"]', f'.tar.gz", "pypi:hello/hello-1.0.tar.gz"]{more}')
    shelf.edit("recipes/packages/hello.toml", sha256(SOURCE), sha256(FILES["hello-1.0.tar.gz"]))
    shelf.lock()


def test_a_newer_release_is_told_of_where_the_recipe_allows_it(shelf: Shelf, web: Web, net: Net) -> None:
    with_index(shelf, web)
    assert [f.message for f in shelf.found("newer-release", "yanked", reach=net)] == [
        "hello 1.1 is out; pinned is hello-1.0.tar.gz"
    ]
    shelf.edit("recipes/packages/hello.toml", "[[patches]]", 'allows = "~=1.0.0"\n\n[[patches]]')
    (finding,) = shelf.found("newer-release", reach=net)
    assert finding.message.startswith("hello 1.0.1 is out") and finding.severity is Severity.NOTE
    shelf.edit("recipes/packages/hello.toml", '"~=1.0.0"', '"==1.0"')
    assert shelf.found("newer-release", reach=net) == []
    shelf.edit("recipes/packages/hello.toml", '"==1.0"', '"any"')
    (finding,) = shelf.found("newer-release", reach=net)
    assert finding.severity is Severity.ERROR


def test_a_yanked_release_is_told_of_with_its_reason(shelf: Shelf, web: Web, net: Net) -> None:
    with_index(shelf, web, yanked="1.0")
    (finding,) = shelf.found("yanked", reach=net)
    assert finding.message == "hello-1.0.tar.gz was yanked from the index: it forgets to greet"


def test_an_index_that_states_another_hash_is_an_alarm(shelf: Shelf, web: Web, net: Net) -> None:
    with_index(shelf, web)
    shelf.edit("recipes/packages/hello.toml", sha256(FILES["hello-1.0.tar.gz"]), "7" * 64)
    shelf.lock()
    found = [f for f in shelf.found("release-changed", reach=net) if f.message.startswith("pypi:")]
    assert len(found) == 1 and "the index states the sha256" in found[0].message


def with_git(shelf: Shelf, url: str, commit: str, ref: str) -> None:
    """Give the package a git source, pinned."""
    text = f'[[sources]]\nkind = "git"\nname = "extra"\nurls = ["{url}"]\ncommit = "{commit}"\n{ref}\n\n[[patches]]'
    shelf.edit("recipes/packages/hello.toml", "[[patches]]", text)
    kind, name = ref.replace('"', "").split(" = ")
    shelf.lock()
    path = shelf.root / "lockfiles/demo.lock"
    full = f"refs/{'tags' if kind == 'tag' else 'heads'}/{name}"
    path.write_text(
        path.read_text().replace(f'commit = "{commit}"\n', f'commit = "{commit}"\nref = "{full}"\n')
    )


def test_a_moved_tag_is_an_alarm_and_a_moved_branch_a_note(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "git").mkdir()
    with git_daemon(tmp_path / "git") as url:
        repository = new_repository(tmp_path / "git", "hello")
        first = repository.commit({"a": "1"})
        repository.tag("v1")
        with_git(shelf, f"{url}/hello", first, 'tag = "v1"')
        assert shelf.found("tag-moved", reach=reach_to()) == []
        second = repository.commit({"a": "2"})
        repository.tag("v1")
        (finding,) = shelf.found("tag-moved", reach=reach_to())
        assert finding.severity is Severity.ERROR
        assert f"names the commit {second} now; pinned is {first}" in finding.message
        shelf.edit("recipes/packages/hello.toml", 'tag = "v1"', 'branch = "main"')
        path = shelf.root / "lockfiles/demo.lock"
        path.write_text(path.read_text().replace("refs/tags/v1", "refs/heads/main"))
        assert shelf.found("tag-moved", reach=reach_to()) == []
        (finding,) = shelf.found("branch-moved", reach=reach_to())
        assert (finding.severity, second in finding.message) == (Severity.NOTE, True)
        path.write_text(path.read_text().replace("refs/heads/main", "refs/heads/gone"))
        (finding,) = shelf.found("branch-moved", reach=reach_to())
        assert finding.severity is Severity.WARNING
        path.write_text(path.read_text().replace("refs/heads/gone", "refs/heads/main").replace(first, second))
        shelf.edit("recipes/packages/hello.toml", first, second)
        assert shelf.found("branch-moved", reach=reach_to()) == []


STANZA = """\
Package: bash
Version: {}
Architecture: amd64
Filename: pool/main/b/bash/bash.deb
Size: 4
SHA256: {}
"""


def test_superseded_debian_packages(locked: Shelf, web: Web) -> None:
    key = Key()
    apt = tuple(
        archive(f"{web.url}/{name}", suite)
        for name, suite in (("debian", "bullseye"), ("debian-security", "bullseye-security"))
    )
    net = reach_to(apt=apt, keyring=key.keyring)
    publish(web, key, stanzas=STANZA.format("5.1-2", sha256(DEB)))
    (finding,) = locked.found("debian-superseded", reach=net)
    assert finding.severity is Severity.NOTE and "is not known" in finding.message
    text = STANZA.format("5.1-2+deb11u1", "0" * 64).encode()
    security = web.folder / "debian-security/dists/bullseye-security"
    web.put("debian-security/dists/bullseye-security/main/binary-amd64/Packages", text)
    signed = key.sign(release_text({"main/binary-amd64/Packages": text}, codename="bullseye-security"))
    (security / "InRelease").write_bytes(signed)
    (finding,) = locked.found("debian-superseded", reach=net)
    assert finding.severity is Severity.WARNING
    assert finding.message == "bash 5.1-2 of root is superseded by 5.1-2+deb11u1, a security update"
    assert finding.location is not None
    assert (finding.location.file, finding.location.line) == ("recipes/environments/root.debs.toml", 2)
    publish(web, key, stanzas=STANZA.format("5.2-1", "0" * 64))
    found = {finding.severity for finding in locked.found("debian-superseded", reach=net)}
    assert found == {Severity.WARNING, Severity.NOTE}
