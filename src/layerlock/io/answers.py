"""Asking an HTTP server and taking in what it sends, so that no server can hold the driver up for ever."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

import requests
import requests.auth
import urllib3.exceptions

from layerlock import __version__
from layerlock.io.reasons import reason, unknown_name

_PIECE: Final = 1 << 18
_WORTH_ANOTHER_TRY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_NETWORK: Final = (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError)
"""What the network does to a request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long a server may take, in seconds, and how often it is asked.

    `answer` bounds the whole way to the response's headers (name look-up, connection, redirects). A body must bring
    `floor` bytes in every `window`: the read timeout alone never ends a server that sends a byte now and then.
    Waiting before another try doubles from `pause` on, up to `longest_pause`, also where a server asks for more.
    """

    connect: float = 15.0
    read: float = 30.0
    answer: float = 90.0
    window: float = 60.0
    floor: int = 32 << 10
    tries: int = 4
    pause: float = 1.0
    longest_pause: float = 60.0


class Failed(Exception):
    """One attempt failed; `again` says whether the same address deserves another try, after `pause` seconds.

    `absent` says that the server answered, and has no such thing.
    """

    def __init__(self, why: str, *, again: bool, pause: float = 0.0, absent: bool = False) -> None:
        super().__init__(why)
        self.absent = absent
        self.why = why
        self.again = again
        self.pause = pause


class _Session(requests.Session):
    """A session that follows no redirect to a weaker protocol."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        target = super().get_redirect_target(resp)
        if target is not None and resp.url.lower().startswith("https:"):
            scheme = urlsplit(urljoin(resp.url, target)).scheme.lower()
            if scheme != "https":
                resp.close()
                raise Failed("it redirects from https to http, which is refused", again=False)
        return target


class _Authorization(requests.auth.AuthBase):
    """Sends a header as it is. As a header among others it would give way to what a netrc file says of the host.

    requests takes it off again where a redirect leads to another host, port or protocol.
    """

    def __init__(self, header: str) -> None:
        self._header = header

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        r.headers["Authorization"] = self._header
        return r


class Asker:
    """Asks servers. Safe for several threads; each has connections of its own."""

    def __init__(self, patience: Patience, certificates: str | None = None) -> None:
        self._patience = patience
        self._certificates = certificates
        self._local = threading.local()

    def answer(
        self,
        url: str,
        headers: Mapping[str, str],
        authorization: str = "",
        *,
        method: str = "GET",
        body: bytes | None = None,
    ) -> requests.Response:
        """Ask, and wait for the headers of the answer, for no longer than patience has it.

        `authorization` is the value of the header of that name; it does not follow a redirect to another host.

        The asking is done by a thread: each of name look-up, redirects and dripping headers can hang in a place
        that no timeout of the socket bounds. A thread that hangs is left behind.
        """
        if not url.lower().startswith(("http://", "https://")):
            raise Failed("it is no http or https address", again=False)
        session = self._session()
        result: list[requests.Response | BaseException] = []
        late = threading.Event()
        guard = threading.Lock()

        def ask() -> None:
            outcome: requests.Response | BaseException
            try:
                outcome = session.request(
                    method,
                    url,
                    data=body,
                    headers={"Accept-Encoding": "identity", **headers},
                    auth=_Authorization(authorization) if authorization else None,
                    timeout=(self._patience.connect, self._patience.read),
                    stream=True,
                    allow_redirects=True,
                )
            except BaseException as error:  # handed to the thread that waits
                outcome = error
            with guard:
                result.append(outcome)
                if late.is_set() and isinstance(outcome, requests.Response):
                    outcome.close()

        thread = threading.Thread(target=ask, name="ask", daemon=True)
        thread.start()
        thread.join(self._patience.answer)
        with guard:
            if not result:
                late.set()
                # Its session hangs with it; the next try gets another.
                del self._local.session
                raise Failed("no answer in time", again=True)
        answer = result[0]
        if isinstance(answer, requests.Response):
            return answer
        if isinstance(answer, ValueError) and not isinstance(answer, requests.exceptions.RequestException):
            raise Failed("it is no address that can be read", again=False)
        if isinstance(answer, _NETWORK):
            raise Failed(reason(answer), again=_may_pass(answer)) from answer
        raise answer

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = _Session()
            session.headers["User-Agent"] = f"layerlock/{__version__}"
            if self._certificates:
                # REQUESTS_CA_BUNDLE outranks it: requests looks there first.
                session.verify = self._certificates
            self._local.session = session
        return session

    def receive(
        self,
        response: requests.Response,
        take: Callable[[bytes], None],
        done: Callable[[], int],
        limit: int,
    ) -> None:
        """Hand the body on in pieces as it comes, as it is sent: a `Content-Encoding` is not undone."""
        patience = self._patience
        begun, mark = time.monotonic(), done()
        while True:
            try:
                # read1 returns with whatever has come; read would wait for a whole piece, drop by drop.
                piece = response.raw.read1(_PIECE, decode_content=False)
            except _NETWORK as error:
                raise Failed(reason(error), again=True) from error
            if not piece:
                return
            if done() + len(piece) > limit:
                raise Failed(f"it sends more than {limit} bytes", again=False)
            take(piece)
            now = time.monotonic()
            if now - begun >= patience.window:
                if done() - mark < patience.floor:
                    speed = (done() - mark) / (now - begun)
                    raise Failed(f"it sends {speed:.0f} bytes a second, which is too slow", again=True)
                begun, mark = now, done()


def _may_pass(error: BaseException) -> bool:
    """Whether the same request might succeed a little later: not so for a bad certificate or address."""
    lasting = (
        requests.exceptions.SSLError,
        requests.exceptions.InvalidURL,
        requests.exceptions.InvalidSchema,
        requests.exceptions.MissingSchema,
        requests.exceptions.TooManyRedirects,
    )
    return not isinstance(error, lasting) and not unknown_name(error)


def refused(response: requests.Response) -> Failed:
    status = response.status_code
    why = f"the server answers {status} {response.reason or ''}".rstrip()
    pause = _seconds(response.headers.get("Retry-After", ""))
    return Failed(why, again=status in _WORTH_ANOTHER_TRY, pause=pause, absent=status in (404, 410))


def _seconds(retry_after: str) -> float:
    """Read a Retry-After header, which is in seconds or a date; 0 for anything else."""
    if retry_after.isdigit():
        return float(retry_after)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
