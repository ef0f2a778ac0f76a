"""Downloads over HTTP: hashed while they stream, resumed where they were cut, bounded in time and size.

Proxies, certificate bundles and netrc are what `requests` takes by default. A redirect from https to http is
refused. Nothing that is raised or emitted here holds a user, a password or a query.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

import requests

from layerlock.errors import FetchError, HashMismatch
from layerlock.events import FetchFinished, FetchProgressed, FetchRetried, FetchStarted, Listener
from layerlock.io.answers import Asker, Failed, Patience, refused
from layerlock.io.atomic import storing, write_all
from layerlock.io.reasons import redact

T = TypeVar("T")

DEFAULT_PATIENCE: Final = Patience()
_ANNOUNCE: Final = 0.1
"""Seconds between two reports of progress."""

_LARGEST: Final = 16 << 30
_NO_HEAD: Final = frozenset({400, 403, 405, 501})
"""What servers answer that do not know HEAD, or addresses that were signed for GET alone."""
_SMALL: Final = 256 << 10


class Permit(Protocol):
    """How to be let in by one server: what to send as `Authorization`, and where that comes from."""

    def header(self) -> str:
        """Give what is known so far; empty for nothing."""

    def renew(self, challenge: str, refused: str, read: Callable[[str, str], bytes]) -> bool:
        """Work out another header after `refused` was answered by 401 with this `WWW-Authenticate`.

        `read` reads a small document from an address with an `Authorization` of its own (or empty). Gives whether
        there is something new to try. Raises Failed.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """What arrived: bytes, and their sha256 in hexadecimal."""

    size: int
    sha256: str


class AllFailed(FetchError):
    """No address gave the bytes; `reasons` has each address (without credentials) with what went wrong there.

    `absent` says that each of them answered, and has no such thing.
    """

    def __init__(self, name: str, reasons: tuple[tuple[str, str], ...], *, absent: bool = False) -> None:
        listed = "; ".join(f"{url}: {why}" for url, why in reasons) or "there is no address"
        super().__init__(
            f"{name} could not be fetched ({listed})",
            hint="check the network and the addresses, or add another address",
        )
        self.reasons = reasons
        self.absent = absent


class _WrongBytes(Exception):
    def __init__(self, actual: str) -> None:
        super().__init__(actual)
        self.actual = actual


class _Partial:
    """The file that a download grows into, and the hash of what is in it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self.restart()

    def restart(self) -> None:
        """Begin anew."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.size = 0
        self.validator = ""

    def write(self, piece: bytes) -> None:
        """Append."""
        write_all(self._file.fileno(), piece)
        self._digest.update(piece)
        self.size += len(piece)

    @property
    def sha256(self) -> str:
        """The sha256 of what is there, in hexadecimal."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Fetcher:
    """Fetches by HTTP and HTTPS. Safe for several threads; each has connections of its own.

    `sleep` waits between two tries; tests hand in their own. `certificates` is a file of certificate authorities
    to trust in place of certifi's, where the environment names none for requests.
    """

    def __init__(
        self,
        *,
        patience: Patience = DEFAULT_PATIENCE,
        sleep: Callable[[float], None] = time.sleep,
        certificates: str | None = None,
    ) -> None:
        self._patience = patience
        self._sleep = sleep
        self._asker = Asker(patience, certificates)

    def download(
        self,
        urls: Iterable[str],
        dest: Path,
        *,
        sha256: str | None,
        size: int | None,
        emit: Listener,
        name: str,
        permit: Permit | None = None,
        limit: int = _LARGEST,
    ) -> Download:
        """Bring the bytes to the new file `dest`, from the first of `urls` that gives the right ones.

        `urls` is asked for the next address only when the one before has failed. `sha256` (hexadecimal) and `size`
        are checked where they are given; without a size no more than `limit` bytes are taken. `permit` is for servers
        that ask who is there.

        Raises AllFailed; HashMismatch where other bytes arrived and no
        address gave the pinned ones; StoreError and DiskFull. After an error `dest` does not exist.
        """
        started = time.monotonic()
        with storing(f"write {dest}"):
            partial = _Partial(dest)
        try:
            found = self._from_any(urls, partial, sha256, size, emit, name, permit, limit)
        except BaseException:
            dest.unlink(missing_ok=True)
            raise
        finally:
            partial.close()
        emit(FetchFinished(name=name, size=found.size, seconds=time.monotonic() - started))
        return found

    def read(
        self,
        url: str,
        *,
        limit: int,
        headers: Mapping[str, str] = MappingProxyType({}),
        permit: Permit | None = None,
    ) -> bytes:
        """Return what `url` gives, at most `limit` bytes. Raises AllFailed."""

        def attempt() -> bytes:
            body = bytearray()
            with self._answer(url, headers, permit) as response:
                if response.status_code != 200:
                    raise refused(response)
                self._asker.receive(response, body.extend, lambda: len(body), limit)
            return bytes(body)

        try:
            return self._patiently(attempt, lambda _: None)
        except Failed as error:
            raise AllFailed(redact(url), ((redact(url), error.why),), absent=error.absent) from None

    def post(self, url: str, body: bytes, *, limit: int) -> bytes:
        """Post JSON to `url`, and return what it gives, at most `limit` bytes. Raises AllFailed."""
        headers = {"Content-Type": "application/json"}

        def attempt() -> bytes:
            answer = bytearray()
            with self._asker.answer(url, headers, method="POST", body=body) as response:
                if response.status_code != 200:
                    raise refused(response)
                self._asker.receive(response, answer.extend, lambda: len(answer), limit)
            return bytes(answer)

        try:
            return self._patiently(attempt, lambda _: None)
        except Failed as error:
            raise AllFailed(redact(url), ((redact(url), error.why),)) from None

    def size(self, url: str, *, permit: Permit | None = None) -> int | None:
        """Ask how many bytes `url` has, without them; None where the server does not say. Raises AllFailed."""

        def attempt() -> int | None:
            with self._answer(url, {}, permit, method="HEAD") as response:
                if response.status_code == 200:
                    return _length(response.headers.get("Content-Length", ""))
                if response.status_code not in _NO_HEAD:
                    raise refused(response)
            # Some servers answer HEAD with a refusal where they would give the file: one byte of it is asked for.
            with self._answer(url, {"Range": "bytes=0-0"}, permit) as response:
                if response.status_code == 206:
                    return _length(response.headers.get("Content-Range", "").rpartition("/")[2])
                if response.status_code != 200:
                    raise refused(response)
                return _length(response.headers.get("Content-Length", ""))

        try:
            return self._patiently(attempt, lambda _: None)
        except Failed as error:
            raise AllFailed(redact(url), ((redact(url), error.why),)) from None

    def _from_any(
        self,
        urls: Iterable[str],
        partial: _Partial,
        sha256: str | None,
        size: int | None,
        emit: Listener,
        name: str,
        permit: Permit | None,
        limit: int,
    ) -> Download:
        reasons: list[tuple[str, str]] = []
        absent: list[bool] = []
        actual = ""
        for url in urls:
            shown = redact(url)
            if reasons:
                emit(FetchRetried(name=name, url=reasons[-1][0], reason=reasons[-1][1]))
            emit(FetchStarted(name=name, url=shown, size=size))
            # What another address gave is not built upon: it may be what is wrong.
            partial.restart()

            def again(why: str, shown: str = shown) -> None:
                emit(FetchRetried(name=name, url=shown, reason=why))

            def attempt(url: str = url) -> None:
                self._into(url, partial, size, emit, name, permit, limit)
                if sha256 is not None and partial.sha256 != sha256:
                    raise _WrongBytes(partial.sha256)

            try:
                self._patiently(attempt, again)
            except Failed as error:
                reasons.append((shown, error.why))
                absent.append(error.absent)
            except _WrongBytes as error:
                actual = actual or error.actual
                reasons.append((shown, f"it gives other bytes, of sha256 {error.actual}"))
            else:
                return Download(size=partial.size, sha256=partial.sha256)
        if actual:
            listed = "; ".join(f"{shown}: {why}" for shown, why in reasons)
            raise HashMismatch(
                f"{name} has the sha256 {actual}; pinned is {sha256} ({listed})",
                hint="find out why the bytes changed before pinning others",
            )
        raise AllFailed(name, tuple(reasons), absent=bool(absent) and all(absent))

    def _patiently(self, attempt: Callable[[], T], again: Callable[[str], None]) -> T:
        pause = self._patience.pause
        for left in range(self._patience.tries - 1, -1, -1):
            try:
                return attempt()
            except Failed as error:
                if not error.again or not left:
                    raise
                again(error.why)
                self._sleep(min(max(pause, error.pause), self._patience.longest_pause))
                pause *= 2
        raise AssertionError("a last attempt returns or raises")

    def _answer(
        self, url: str, headers: Mapping[str, str], permit: Permit | None, *, method: str = "GET"
    ) -> requests.Response:
        """Ask, and a second time where the server, and not one that it redirects to, wants to know who is there."""
        sent = permit.header() if permit else ""
        response = self._asker.answer(url, headers, sent, method=method)
        if permit is None or response.status_code != 401 or not _same_server(response.url, url):
            return response
        response.close()
        if permit.renew(response.headers.get("WWW-Authenticate", ""), sent, self._read_small):
            return self._asker.answer(url, headers, permit.header(), method=method)
        return response

    def _read_small(self, url: str, authorization: str) -> bytes:
        body = bytearray()
        with self._asker.answer(url, {}, authorization) as response:
            if response.status_code != 200:
                raise refused(response)
            self._asker.receive(response, body.extend, lambda: len(body), _SMALL)
        return bytes(body)

    def _into(
        self,
        url: str,
        partial: _Partial,
        size: int | None,
        emit: Listener,
        name: str,
        permit: Permit | None,
        limit: int,
    ) -> None:
        """Make one attempt to complete `partial`."""
        headers = {}
        if partial.size and partial.validator:
            headers = {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
        with self._answer(url, headers, permit) as response:
            if response.status_code == 206 and _resumes_at(response, partial.size):
                pass
            elif response.status_code in (200, 206, 416):
                partial.restart()
                if response.status_code != 200:
                    raise Failed("it does not resume where it was cut", again=True)
            else:
                raise refused(response)
            partial.validator = _validator(response)
            promised = response.headers.get("Content-Length", "")
            if size is not None and promised.isdigit() and partial.size + int(promised) != size:
                total = partial.size + int(promised)
                raise Failed(f"it has {total} bytes where {size} are pinned", again=False)
            last = 0.0

            def take(piece: bytes) -> None:
                nonlocal last
                with storing(f"write what {name} gives"):
                    partial.write(piece)
                if time.monotonic() - last >= _ANNOUNCE:
                    last = time.monotonic()
                    emit(FetchProgressed(name=name, done=partial.size, size=size))

            self._asker.receive(response, take, lambda: partial.size, limit if size is None else size)
        if size is not None and partial.size < size:
            raise Failed(f"it ends after {partial.size} of {size} bytes", again=True)


def _same_server(first: str, second: str) -> bool:
    one, other = urlsplit(first), urlsplit(second)
    return (one.scheme, one.netloc.rpartition("@")[2]) == (other.scheme, other.netloc.rpartition("@")[2])


def _length(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None


def _resumes_at(response: requests.Response, position: int) -> bool:
    return response.headers.get("Content-Range", "").startswith(f"bytes {position}-")


def _validator(response: requests.Response) -> str:
    """What tells the server later which bytes were meant; a weak ETag must not be used for ranges (RFC 9110)."""
    tag = response.headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified", "")
