"""Says why a download failed, in a few words and without anybody's credentials."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3.exceptions

_USERINFO: Final = re.compile(r"//[^/@\s'\"]*@")
_QUERY: Final = re.compile(r"(?<=[\w/])\?[^\s'\")]*")


def redact(url: str) -> str:
    """Give a URL without user, password, query and fragment: any of them may be a secret."""
    try:
        parts = urlsplit(url)
        netloc = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, netloc, parts.path, "…" if parts.query else "", ""))
    except ValueError:
        return "an address that cannot be read"


def reason(error: BaseException) -> str:
    """Put an error of requests, urllib3 or the operating system into words."""
    cause = _innermost(error)
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return "it redirects without end"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached or refuses"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the TLS connection fails: {_clean(cause)}"
    if isinstance(error, (requests.exceptions.ConnectTimeout, urllib3.exceptions.ConnectTimeoutError)):
        return "no connection in time"
    timeouts = (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)
    if isinstance(error, timeouts) or isinstance(cause, timeouts):
        return "no data in time"
    if unknown_name(error):
        return "the host's name is not known"
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    if isinstance(cause, (urllib3.exceptions.IncompleteRead, urllib3.exceptions.ProtocolError)):
        return "the connection was cut"
    return _clean(cause)


def unknown_name(error: BaseException) -> bool:
    """Say whether a host's name could not be resolved. The resolver has tried more than once by then."""
    return isinstance(_innermost(error), urllib3.exceptions.NameResolutionError)


def _innermost(error: BaseException) -> BaseException:
    """Dig out what started it: requests wraps urllib3, which wraps the operating system's error."""
    seen: set[int] = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((item for item in reversed(error.args) if isinstance(item, BaseException)), None)
        if inner is None and isinstance(error, urllib3.exceptions.NewConnectionError):
            inner = error.__cause__
        if inner is None or isinstance(error, urllib3.exceptions.NameResolutionError):
            break
        error = inner
    return error


def _clean(error: BaseException) -> str:
    text = _QUERY.sub("?…", _USERINFO.sub("//", str(error)))
    return text or type(error).__name__
