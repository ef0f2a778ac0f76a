"""How registries let one in: bearer tokens asked for without a name, or with one from docker's configuration.

The protocol is that of the distribution project ("Token Authentication Specification"): a registry answers 401 and
names a token server, which gives a token for pulling from one repository. Nothing else is ever asked for. Tokens and
passwords are in no message and no event.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from layerlock.io.answers import Failed

DOCKER_HUB = "docker.io"
_HUB_HOST = "registry-1.docker.io"
_HUB_KEYS = frozenset({"index.docker.io", _HUB_HOST})
_CHALLENGE = re.compile(r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?""")
_TOKEN = re.compile(r"[\x21-\x7e]{1,65536}")

Credentials = Mapping[str, str]
"""User and password by registry, as `user:password` in base64: what HTTP's Basic scheme sends."""


def loopback(host: str) -> bool:
    """Say whether a host's name or address, a port behind it or not, is this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def base_url(registry: str) -> str:
    """Give the address of a registry's API: https, but http on this machine, as engines have it."""
    host = _HUB_HOST if registry == DOCKER_HUB else registry
    return f"{'http' if loopback(registry) else 'https'}://{host}/v2"


def read_credentials(variables: Mapping[str, str]) -> Credentials:
    """Read what `docker login` wrote into docker's configuration (`auths`).

    Credential helpers (`credHelpers`, `credsStore`) are programs, and are not run. A file that is missing or cannot be
    read stands for no credentials: public images need none.
    """
    folder = variables.get("DOCKER_CONFIG") or (variables.get("HOME", "") and f"{variables['HOME']}/.docker")
    if not folder:
        return {}
    try:
        document = json.loads(Path(folder, "config.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    auths = document.get("auths") if isinstance(document, dict) else None
    found = {}
    for key, entry in auths.items() if isinstance(auths, dict) else ():
        text = entry.get("auth") if isinstance(entry, dict) else None
        if isinstance(text, str) and _is_pair(text):
            host = key.partition("://")[2] or key
            host = host.partition("/")[0]
            found[DOCKER_HUB if host in _HUB_KEYS else host] = text
    return found


def _is_pair(text: str) -> bool:
    try:
        return b":" in base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False


class Permits:
    """Permits by repository: a token that was given once serves every layer of an image."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._known: dict[tuple[str, str], RegistryPermit] = {}
        self._guard = threading.Lock()

    def of(self, registry: str, repository: str) -> RegistryPermit:
        """Give the permit to pull from a repository."""
        with self._guard:
            key = registry, repository
            if key not in self._known:
                self._known[key] = RegistryPermit(registry, repository, self._credentials.get(registry, ""))
            return self._known[key]


class RegistryPermit:
    """What one registry wants to see for pulling from one repository. Safe for several threads."""

    def __init__(self, registry: str, repository: str, login: str) -> None:
        self._registry = registry
        self._repository = repository
        self._login = f"Basic {login}" if login else ""
        self._header = ""
        self._guard = threading.Lock()

    def header(self) -> str:
        """Give what was let in last."""
        return self._header

    def renew(self, challenge: str, refused: str, read: Callable[[str, str], bytes]) -> bool:
        """Ask for another token, unless another thread has done so meanwhile; see `io.http.Permit`."""
        with self._guard:
            if self._header != refused:
                return True
            asked = read_challenge(challenge)
            if "bearer" in asked:
                self._header = f"Bearer {self._token(asked['bearer'], read)}"
                return True
            if "basic" in asked and self._login and refused != self._login:
                self._header = self._login
                return True
            return False

    def _token(self, asked: Mapping[str, str], read: Callable[[str, str], bytes]) -> str:
        realm = asked.get("realm", "")
        if not self._may_ask(realm):
            raise Failed("it names a token server that is no https address", again=False)
        query = {"scope": f"repository:{self._repository}:pull"}
        if "service" in asked:
            query["service"] = asked["service"]
        try:
            url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
            body = read(url, self._login)
        except Failed as error:
            raise Failed(f"its token server gives none: {error.why}", again=error.again) from None
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        given = answer if isinstance(answer, dict) else {}
        token = given.get("token") or given.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise Failed("its token server answers without a token", again=False)
        return token

    def _may_ask(self, realm: str) -> bool:
        try:
            server = urlsplit(realm)
        except ValueError:
            return False
        here = loopback(self._registry) and loopback(server.netloc)
        return bool(server.netloc) and (server.scheme == "https" or (server.scheme == "http" and here))


def read_challenge(header: str) -> dict[str, dict[str, str]]:
    """Take a `WWW-Authenticate` header apart (RFC 9110, 11.6.1): parameters by scheme, all in lower case."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for match in _CHALLENGE.finditer(header[:8192]):
        name, quoted, plain = match.groups()
        if quoted is None and plain is None:
            current = found.setdefault(name.lower(), {})
        else:
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else plain
            current.setdefault(name.lower(), value)
    return found
