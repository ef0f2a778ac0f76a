"""Downloads from real servers on loopback that cut, hang, drip, redirect and lie."""

from __future__ import annotations

import hashlib
import random
import resource
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
import trustme

from layerlock.errors import DiskFull, FetchError, HashMismatch
from layerlock.events import Event, FetchFinished, FetchRetried, FetchStarted, silent
from layerlock.io.answers import Patience
from layerlock.io.http import AllFailed, Download, Fetcher
from tests.io.servers import Answer, Handler, Server, serving

BODY = random.Random(7).randbytes(1_500_000)
SHA256 = hashlib.sha256(BODY).hexdigest()
QUICK = Patience(connect=2, read=0.5, answer=1.5, window=0.6, floor=1000, tries=2, pause=0.0)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
    ):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "download"


def get(
    urls: list[str] | Iterator[str],
    dest: Path,
    *,
    size: int | None = len(BODY),
    sha256: str | None = SHA256,
    fetcher: Fetcher | None = None,
    events: list[Event] | None = None,
) -> Download:
    emit = silent if events is None else events.append
    return (fetcher or Fetcher(patience=QUICK)).download(
        urls, dest, sha256=sha256, size=size, emit=emit, name="thing"
    )


def whole(handler: Handler) -> None:
    handler.give(BODY)


def ranged(first: int, *, validator: dict[str, str]) -> Answer:
    """Cut the first answer after `first` bytes, and serve ranges afterwards."""
    asked = []

    def answer(handler: Handler) -> None:
        asked.append(handler.path)
        wanted = handler.headers.get("Range")
        if len(asked) == 1:
            handler.start(200, len(BODY), **validator)
            handler.wfile.write(BODY[:first])
        elif wanted and handler.headers.get("If-Range") in validator.values():
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            rest = BODY[start:]
            handler.start(
                206, len(rest), Content_Range=f"bytes {start}-{len(BODY) - 1}/{len(BODY)}", **validator
            )
            handler.wfile.write(rest)
        else:
            handler.give(BODY)

    return answer


def test_the_bytes_arrive_and_are_told_of(server: Server, dest: Path) -> None:
    server.answers["/x"] = whole
    events: list[Event] = []
    assert get([server.url("/x")], dest, events=events) == Download(size=len(BODY), sha256=SHA256)
    assert dest.read_bytes() == BODY
    assert events[0] == FetchStarted(name="thing", url=server.url("/x"), size=len(BODY))
    assert isinstance(events[-1], FetchFinished)
    assert events[-1].size == len(BODY)


def test_nothing_need_be_known_beforehand(server: Server, dest: Path) -> None:
    def chunked(handler: Handler) -> None:
        handler.start(200, None, Transfer_Encoding="chunked")
        for piece in (BODY[:1000], BODY[1000:]):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.write(b"0\r\n\r\n")

    server.answers["/x"] = chunked
    assert get([server.url("/x")], dest, size=None, sha256=None).sha256 == SHA256


def test_what_is_encoded_for_transport_stays_as_it_was_sent(server: Server, dest: Path) -> None:
    # Some servers say so of every .tar.gz; undoing it would change the bytes that are pinned.
    server.answers["/x"] = lambda handler: handler.give(BODY, Content_Encoding="gzip")
    get([server.url("/x")], dest)
    assert dest.read_bytes() == BODY


def test_every_reason_is_kept_when_all_fail(server: Server, dest: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        refusing = f"http://127.0.0.1:{closed.getsockname()[1]}/z"
        with pytest.raises(AllFailed) as caught:
            get([server.url("/x"), server.url("/y"), refusing, "ftp://127.0.0.1/w"], dest)
    assert caught.value.reasons == (
        (server.url("/x"), "the server answers 404 Not Found"),
        (server.url("/y"), "the server answers 404 Not Found"),
        (refusing, "Connection refused"),
        ("ftp://127.0.0.1/w", "it is no http or https address"),
    )
    assert isinstance(caught.value, FetchError)
    assert not dest.exists()
    assert len(server.requests) == 2  # a 404 is asked for once


def test_further_addresses_are_looked_up_only_when_needed(server: Server, dest: Path) -> None:
    server.answers["/good"] = whole

    def urls() -> Iterator[str]:
        yield server.url("/bad")
        yield server.url("/good")
        raise AssertionError("asked for one too many")

    events: list[Event] = []
    get(urls(), dest, events=events)
    assert (
        FetchRetried(name="thing", url=server.url("/bad"), reason="the server answers 404 Not Found")
        in events
    )


@pytest.mark.parametrize("validator", [{"ETag": '"v1"'}, {"Last_Modified": formatdate(0, usegmt=True)}])
def test_a_cut_download_goes_on_where_it_was(server: Server, dest: Path, validator: dict[str, str]) -> None:
    server.answers["/x"] = ranged(1_000_000, validator=validator)
    events: list[Event] = []
    get([server.url("/x")], dest, events=events)
    assert dest.read_bytes() == BODY
    assert server.requests[1][1]["Range"] == "bytes=1000000-"
    assert FetchRetried(name="thing", url=server.url("/x"), reason="the connection was cut") in events


@pytest.mark.parametrize("validator", [{}, {"ETag": 'W/"weak"'}])
def test_without_a_strong_validator_it_begins_anew(
    server: Server, dest: Path, validator: dict[str, str]
) -> None:
    server.answers["/x"] = ranged(1_000_000, validator=validator)
    get([server.url("/x")], dest)
    assert dest.read_bytes() == BODY
    assert "Range" not in server.requests[1][1]


def test_a_range_that_is_ignored_or_wrong_does_no_harm(server: Server, dest: Path) -> None:
    asked: list[str] = []

    def answer(handler: Handler) -> None:
        asked.append(handler.headers.get("Range", ""))
        if len(asked) == 1:
            handler.start(200, len(BODY), ETag='"v"')
            handler.wfile.write(BODY[:1000])
        elif len(asked) == 2:
            handler.start(206, 10, Content_Range=f"bytes 0-9/{len(BODY)}", ETag='"v"')
            handler.wfile.write(BODY[:10])
        else:
            handler.give(BODY)

    server.answers["/x"] = answer
    get([server.url("/x")], dest, fetcher=Fetcher(patience=Patience(tries=3, pause=0)))
    assert dest.read_bytes() == BODY
    assert asked == ["", "bytes=1000-", ""]


def test_a_body_that_is_always_cut_fails(server: Server, dest: Path) -> None:
    def cut(handler: Handler) -> None:
        handler.start(200, len(BODY))
        handler.wfile.write(BODY[:70_000])

    server.answers["/x"] = cut
    with pytest.raises(AllFailed, match="the connection was cut"):
        get([server.url("/x")], dest, size=None)
    assert not dest.exists()


def test_another_address_does_not_build_on_what_the_first_gave(server: Server, dest: Path) -> None:
    def poisoned(handler: Handler) -> None:
        handler.start(200, len(BODY), ETag='"v"')
        handler.wfile.write(b"poison")

    server.answers["/bad"], server.answers["/good"] = poisoned, whole
    get([server.url("/bad"), server.url("/good")], dest)
    assert dest.read_bytes() == BODY


def test_other_bytes_are_named_by_both_hashes_and_not_kept(server: Server, dest: Path) -> None:
    other = b"x" * len(BODY)
    server.answers["/x"] = lambda handler: handler.give(other)
    with pytest.raises(HashMismatch) as caught:
        get([server.url("/x"), server.url("/missing")], dest)
    assert hashlib.sha256(other).hexdigest() in caught.value.message
    assert SHA256 in caught.value.message
    assert "404" in caught.value.message
    assert not dest.exists()
    assert len(server.requests) == 2


def test_an_address_with_other_bytes_does_not_stop_the_next(server: Server, dest: Path) -> None:
    server.answers["/bad"], server.answers["/good"] = lambda handler: handler.give(b"x" * len(BODY)), whole
    get([server.url("/bad"), server.url("/good")], dest)
    assert dest.read_bytes() == BODY


def test_a_body_of_another_size_is_refused_at_once(server: Server, dest: Path) -> None:
    server.answers["/large"] = lambda handler: handler.give(BODY + b"x")

    def endless(handler: Handler) -> None:
        handler.start(200, None)
        while not handler.server.over.is_set():
            handler.wfile.write(BODY)

    server.answers["/endless"] = endless
    with pytest.raises(AllFailed) as caught:
        get([server.url("/large"), server.url("/endless")], dest)
    assert [why for _, why in caught.value.reasons] == [
        f"it has {len(BODY) + 1} bytes where {len(BODY)} are pinned",
        f"it sends more than {len(BODY)} bytes",
    ]
    assert not dest.exists()
    assert len(server.requests) == 2


def hang_before_headers(handler: Handler) -> None:
    handler.server.over.wait(30)


def hang_in_the_body(handler: Handler) -> None:
    handler.start(200, len(BODY))
    handler.wfile.write(BODY[:1000])
    handler.server.over.wait(30)


def drip_body(handler: Handler) -> None:
    handler.start(200, len(BODY))
    while not handler.server.over.wait(0.05):
        handler.wfile.write(b"x")


def drip_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    while not handler.server.over.wait(0.05):
        handler.wfile.write(b"x")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (hang_before_headers, "no data in time"),
        (hang_in_the_body, "no data in time"),
        (drip_body, "bytes a second, which is too slow"),
        (drip_headers, "no answer in time"),
    ],
)
def test_no_server_holds_a_download_up(server: Server, dest: Path, answer: Answer, why: str) -> None:
    server.answers["/x"] = answer
    server.answers["/good"] = whole
    started = time.monotonic()
    events: list[Event] = []
    get([server.url("/x"), server.url("/good")], dest, events=events)
    assert time.monotonic() - started < 10
    assert dest.read_bytes() == BODY
    assert any(isinstance(event, FetchRetried) and why in event.reason for event in events)


@pytest.mark.parametrize(
    ("header", "pauses"),
    [("7", [7.0, 7.0]), ("100000", [60.0, 60.0]), ("", [1.0, 2.0]), ("nonsense", [1.0, 2.0])],
)
def test_a_busy_server_is_asked_again_when_it_says(
    server: Server, dest: Path, header: str, pauses: list[float]
) -> None:
    def busy(handler: Handler) -> None:
        if len(handler.server.requests) <= 2:
            handler.start(503, 0, **({"Retry_After": header} if header else {}))
        else:
            handler.give(BODY)

    server.answers["/x"] = busy
    slept: list[float] = []
    get([server.url("/x")], dest, fetcher=Fetcher(patience=Patience(tries=3), sleep=slept.append))
    assert slept == pauses


def test_a_date_to_come_back_at(server: Server, dest: Path) -> None:
    server.answers["/x"] = lambda handler: handler.start(
        429, 0, Retry_After=formatdate(time.time() + 30, usegmt=True)
    )
    slept: list[float] = []
    with pytest.raises(AllFailed, match="429"):
        get([server.url("/x")], dest, fetcher=Fetcher(patience=Patience(tries=2), sleep=slept.append))
    assert 25 < slept[0] <= 30


def test_redirects_are_followed_but_not_without_end(server: Server, dest: Path) -> None:
    server.answers["/x"] = lambda handler: handler.start(302, 0, Location="/y")
    server.answers["/y"] = whole
    server.answers["/round"] = lambda handler: handler.start(302, 0, Location="/round")
    get([server.url("/x")], dest)
    with pytest.raises(AllFailed, match="redirects without end"):
        get([server.url("/round")], dest)


SECRET = "hunter2"


def test_credentials_are_used_and_never_shown(server: Server, dest: Path) -> None:
    events: list[Event] = []
    url = server.url("/x", userinfo=f"me:{SECRET}@") + f"?token={SECRET}"
    server.answers["/moved"] = lambda handler: handler.start(302, 0, Location=url.replace("/x", "/nowhere"))
    urls = [
        url,
        server.url("/moved"),
        url.replace("127.0.0.1", "no-such-host.invalid"),
        f"http://me:{SECRET}@[bad/x",
    ]
    with pytest.raises(AllFailed) as caught:
        get(urls, dest, events=events)
    assert server.requests[0][1]["Authorization"].startswith("Basic ")
    told = [caught.value.message, caught.value.hint, *map(str, caught.value.reasons), *map(str, events)]
    assert not [text for text in told if SECRET in text]
    assert len(caught.value.reasons) == 4
    with pytest.raises(AllFailed) as again:
        Fetcher(patience=QUICK).read(url, limit=10)
    assert SECRET not in again.value.message


def test_netrc_is_honoured(
    server: Server, dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.answers["/x"] = whole
    get([server.url("/x")], dest)
    assert server.requests[0][1]["Authorization"] == "Basic bWU6c2VjcmV0"


def test_a_proxy_of_the_environment_is_used(
    server: Server, dest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url(""))
    server.answers["http://far.invalid/x"] = whole
    get(["http://far.invalid/x"], dest)
    assert dest.read_bytes() == BODY


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Server]:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with serving(context) as server:
        yield server


def test_a_certificate_bundle_of_the_environment_is_used(
    secure: Server, dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secure.answers["/x"] = whole
    with pytest.raises(AllFailed, match=r"the TLS connection fails: .*CERTIFICATE_VERIFY_FAILED"):
        get([secure.url("/x")], dest)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    get([secure.url("/x")], dest)
    assert dest.read_bytes() == BODY


def test_no_redirect_leads_from_https_to_http(
    secure: Server, server: Server, dest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    server.answers["/x"] = whole
    secure.answers["/x"] = lambda handler: handler.start(302, 0, Location=server.url("/x"))
    secure.answers["/y"] = lambda handler: handler.start(
        302, 0, Location=secure.url("/x").replace("https:", "HTTPS:")
    )
    for path in ("/x", "/y"):
        with pytest.raises(AllFailed, match="redirects from https to http"):
            get([secure.url(path)], dest)
    assert server.requests == []
    server.answers["/up"] = lambda handler: handler.start(302, 0, Location=secure.url("/z"))
    secure.answers["/z"] = whole
    get([server.url("/up")], dest)


def test_reading_small_things(server: Server) -> None:
    server.answers["/x"] = lambda handler: handler.give(b"index")
    fetcher = Fetcher(patience=QUICK)
    assert fetcher.read(server.url("/x"), limit=5) == b"index"
    with pytest.raises(AllFailed, match="more than 4 bytes"):
        fetcher.read(server.url("/x"), limit=4)
    with pytest.raises(AllFailed, match="404"):
        fetcher.read(server.url("/y"), limit=4)


def test_a_disk_that_is_full_is_not_the_servers_fault(server: Server, dest: Path) -> None:
    server.answers["/x"] = whole
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DiskFull, match="write what thing gives"):
            get([server.url("/x")], dest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not dest.exists()
    assert len(server.requests) == 1


def test_one_fetcher_serves_several_threads(server: Server, tmp_path: Path) -> None:
    server.answers["/x"] = whole
    fetcher = Fetcher(patience=QUICK)
    threads = [
        threading.Thread(
            target=get, args=([server.url("/x")], tmp_path / f"{n}"), kwargs={"fetcher": fetcher}
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [(tmp_path / f"{n}").read_bytes() == BODY for n in range(8)] == [True] * 8
