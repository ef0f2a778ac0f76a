"""From what a recipe says to where the bytes are: `pypi:` and `debian:` names into addresses, one at a time.

A registry is named in a recipe, its address is the host's affair: pip's configuration for `pypi:`, apt's sources for
`debian:`, then Debian's snapshot service at the moments that environments state. Nothing is asked of the network
before the caller has tried what came earlier, and nothing at all for plain addresses.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import tomli

from layerlock.errors import InvalidRecipe
from layerlock.io.http import Permit
from layerlock.io.reasons import redact
from layerlock.model.decode import IMAGE_REFERENCE
from layerlock.model.image import Reference, read_reference
from layerlock.sources.apt_sources import AptSource, mirrors, read_apt_sources
from layerlock.sources.oci_tokens import Permits, base_url, read_credentials
from layerlock.sources.pip_configuration import PipConfiguration, read_pip_configuration

if TYPE_CHECKING:
    import requests
    from pypi_simple import ProjectPage

TIMEOUT = (15.0, 60.0)
"""Seconds to connect, and between two pieces of an index page."""

LONGEST = 180.0
"""Seconds that an index page may take in all: an index that drips would keep every other bound."""

_PYPI = re.compile(r"pypi:([A-Za-z0-9][A-Za-z0-9._-]*)/([A-Za-z0-9][A-Za-z0-9._+!~-]*)")
_DEBIAN = re.compile(r"debian:([a-z0-9][a-z0-9-]*)((?!.*/\.\.?(?:/|$))(?:/[A-Za-z0-9._+~:%-]+)+)")
_OCI = re.compile(rf"oci:(?=[^@]*@)({IMAGE_REFERENCE})")
_WEB = re.compile(r"https?://[^\s/]+/\S*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A place where the bytes may be had.

    `shown` is what messages call it: for a registry's file the name in the recipe, never its address. A local index
    or folder gives a `file` instead of a `url`. `permit` is what a registry of images wants to see.
    """

    shown: str
    url: str
    file: Path | None = None
    permit: Permit | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A place that turned out to have nothing; `found` is the sha256 that an index states instead of the pinned one."""

    shown: str
    reason: str
    found: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveRoot:
    """The top folder of a Debian archive, the one that holds `dists` and `pool`."""

    shown: str
    url: str


def check_url(url: str) -> None:
    """Refuse what is not an address that a recipe may state.

    Raises:
        InvalidRecipe: it is neither http, https, `pypi:PROJECT/FILENAME`, `debian:ARCHIVE/PATH` nor
            `oci:REGISTRY/REPOSITORY@sha256:DIGEST`.
    """
    if url.startswith("pypi:"):
        fits, form = _PYPI.fullmatch(url), "`pypi:PROJECT/FILENAME`"
    elif url.startswith("debian:"):
        fits, form = _DEBIAN.fullmatch(url), "`debian:ARCHIVE/PATH`"
    elif url.startswith("oci:"):
        fits, form = _OCI.fullmatch(url), "`oci:REGISTRY/REPOSITORY@sha256:DIGEST`"
    else:
        fits, form = _WEB.fullmatch(url), "an address that begins with https://"
    if not fits:
        raise InvalidRecipe(
            f"`{url}` is not {form}",
            hint="files come from https addresses, from `pypi:PROJECT/FILENAME` or from `debian:ARCHIVE/PATH`",
        )


def filename(urls: tuple[str, ...]) -> str:
    """Give the file name that the first address ends in, made safe for a store."""
    first = urls[0].partition(":")[2] if urls[0].startswith(("pypi:", "debian:")) else urlsplit(urls[0]).path
    name = re.sub(r"[^A-Za-z0-9._+~-]", "-", unquote(first.rstrip("/").rpartition("/")[2])).lstrip(".-")
    return name[-120:] or "file"


class Origins:
    """Finds files by the names that recipes use. Safe to share between threads."""

    def __init__(
        self,
        *,
        pip: PipConfiguration,
        apt: tuple[AptSource, ...],
        snapshot_address: str | None,
        snapshots: tuple[str, ...] = (),
        permits: Permits | None = None,
    ) -> None:
        self._permits = permits or Permits({})
        self._pip = pip
        self._apt = apt
        self._snapshot_address = snapshot_address
        self._snapshots = snapshots
        self._pages: dict[tuple[str | None, str], ProjectPage | str] = {}
        self._own = threading.local()

    @property
    def certificates(self) -> str | None:
        """The file of certificate authorities that pip is told to trust, which then holds for the registries' files."""
        return self._pip.certificates

    @classmethod
    def of_host(
        cls, variables: Mapping[str, str], *, snapshots: tuple[str, ...] = (), root: Path = Path("/")
    ) -> Origins:
        """Read what this host says of indexes and archives.

        Args:
            variables: the environment; only the command line reads it.
            snapshots: the moments that the environments of the lock at hand state, the likeliest first.
            root: the folder below which the system's files stand.
        """
        return cls(
            pip=read_pip_configuration(variables, root=root),
            apt=read_apt_sources(root),
            snapshot_address=snapshot_address(),
            snapshots=snapshots,
            permits=Permits(read_credentials(variables)),
        )

    def at(self, *snapshots: str) -> Origins:
        """Give the same origins with other moments for the snapshot service."""
        return Origins(
            pip=self._pip,
            apt=self._apt,
            snapshot_address=self._snapshot_address,
            snapshots=snapshots,
            permits=self._permits,
        )

    def resolve(self, url: str, sha256: str) -> Iterator[Address | Refusal]:
        """Give the places of a file one after the other; an index is asked when its turn comes.

        Raises:
            InvalidRecipe: the address has none of the known forms.
        """
        check_url(url)
        if found := _PYPI.fullmatch(url):
            yield from self._pypi(url, found[1], found[2], sha256)
        elif found := _DEBIAN.fullmatch(url):
            roots = self.archive_roots(found[1])
            for root in roots:
                yield Address(
                    shown=url if len(roots) == 1 else f"{url} ({root.shown})", url=f"{root.url}{found[2]}"
                )
            if not roots:
                yield Refusal(
                    shown=url,
                    reason="apt of this host has no such archive, and no snapshot's moment is stated",
                )
        elif url.startswith("oci:"):
            reference = read_reference(url.removeprefix("oci:"))
            yield Address(
                shown=url,
                url=f"{base_url(reference.registry)}/{reference.repository}/blobs/{reference.digest}",
                permit=self.permit(reference),
            )
        else:
            yield Address(shown=url, url=url)

    def permit(self, reference: Reference) -> Permit:
        """Give what the registry of an image wants to see for pulling from its repository."""
        return self._permits.of(reference.registry, reference.repository)

    def listed(self, project: str) -> tuple[ProjectPage | str, ...]:
        """Give each index's page of a project, or the reason why there is none."""
        return tuple(self._page(index, project) for index in self._pip.indexes)

    def local_files(self) -> tuple[Path, ...]:
        """Give the files in the folders of pip's `find-links`, sorted within each folder."""
        folders = [found for place in self._pip.places if (found := _folder(place)) is not None]
        return tuple(path for folder in folders for path in sorted(folder.glob("*")) if path.is_file())

    def metadata(self, project: str, name: str) -> tuple[Address, str | None] | None:
        """Give the place of a wheel's metadata beside it (PEP 658), and its sha256 where the index states one.

        None where the first index that lists the wheel does not have it.
        """
        for index in self._pip.indexes:
            page = self._page(index, project)
            for package in () if isinstance(page, str) else page.packages:
                if package.filename == name:
                    if not package.has_metadata:
                        return None
                    sha256 = (package.metadata_digests or {}).get("sha256")
                    local = _local(package.metadata_url)
                    address = Address(
                        shown=f"the metadata of pypi:{project}/{name}",
                        url="" if local else _with_credentials(package.metadata_url, index),
                        file=local,
                    )
                    return address, sha256.lower() if sha256 else None
        return None

    def url(self, project: str, name: str) -> str | None:
        """Give the address of a file, without credentials, at the first index that lists it; None where none does."""
        for index in self._pip.indexes:
            page = self._page(index, project)
            for package in () if isinstance(page, str) else page.packages:
                if package.filename == name:
                    return redact(package.url.partition("#")[0])
        return None

    def archive_roots(self, archive: str) -> tuple[ArchiveRoot, ...]:
        """Give the places of a Debian archive: this host's mirrors, then the snapshot service."""
        found = mirrors(self._apt, archive)
        several = len(found) > 1
        own = [
            ArchiveRoot(shown=f"apt's mirror {number}" if several else "apt's mirror", url=address)
            for number, address in enumerate(found, start=1)
        ]
        if self._snapshot_address is None:
            return tuple(own)
        base = self._snapshot_address.rstrip("/")
        kept = [
            ArchiveRoot(shown=f"the snapshot of {moment}", url=f"{base}/archive/{archive}/{moment}")
            for moment in dict.fromkeys(self._snapshots)
        ]
        return (*own, *kept)

    def _pypi(self, url: str, project: str, name: str, sha256: str) -> Iterator[Address | Refusal]:
        for place in self._pip.places:
            yield from self._in_place(url, place, name)
        for number, index in enumerate(self._pip.indexes, start=1):
            shown = (
                url if len(self._pip.indexes) == 1 else f"{url} (index {number} of {len(self._pip.indexes)})"
            )
            page = self._page(index, project)
            if isinstance(page, str):
                yield Refusal(shown=shown, reason=page)
            else:
                yield self._on_page(shown, page, index, name, sha256)
        if not self._pip.indexes:
            yield Refusal(shown=url, reason="pip is configured to use no index")

    def _in_place(self, url: str, place: str, name: str) -> Iterator[Address]:
        """Look for a file in a folder of pip's `find-links`. Pages of links are not read: indexes are for that."""
        folder = _folder(place)
        if folder is not None and (folder / name).is_file():
            yield Address(shown=f"{url} (pip's find-links)", url="", file=folder / name)

    def _on_page(
        self, shown: str, page: ProjectPage, index: str | None, name: str, sha256: str
    ) -> Address | Refusal:
        stated: str | None = None
        for package in page.packages:
            if package.filename != name:
                continue
            stated = package.digests.get("sha256")
            # An index that states another hash need not be asked for the bytes.
            if stated is not None and stated.lower() != sha256:
                continue
            local = _local(package.url)
            return Address(
                shown=shown, url="" if local else _with_credentials(package.url, index), file=local
            )
        if stated is not None:
            return Refusal(shown=shown, reason=f"the index states the sha256 {stated}", found=stated.lower())
        return Refusal(shown=shown, reason="the index does not list this file")

    def _page(self, index: str | None, project: str) -> ProjectPage | str:
        """Give an index's page of a project, or the reason why there is none."""
        known = self._pages.get((index, project))
        if known is None:
            known = self._read_page(index, project)
            if not isinstance(known, str) or known == NO_PROJECT:
                self._pages[index, project] = known
        return known

    def _read_page(self, index: str | None, project: str) -> ProjectPage | str:
        # Imported here because a build whose sources are all in the store needs neither.
        import pypi_simple  # noqa: PLC0415
        import requests  # noqa: PLC0415

        folder = _local(index) if index is not None else None
        if folder is not None:
            return _local_page(folder, project)
        client = pypi_simple.PyPISimple(index or pypi_simple.PYPI_SIMPLE_ENDPOINT, session=self._session())
        try:
            page = _in_time(lambda: client.get_project_page(project, timeout=TIMEOUT))
        except pypi_simple.NoSuchProjectError:
            return NO_PROJECT
        except requests.HTTPError as error:
            return f"the index answers HTTP {error.response.status_code}"
        except requests.Timeout:
            return _LATE
        except requests.exceptions.SSLError:
            return "the index's certificate is not trusted"
        except requests.exceptions.InvalidSchema:
            return "the index redirects from https to http, which is refused"
        except requests.RequestException:
            # The text of these errors holds the address.
            return "the index cannot be reached"
        except (pypi_simple.UnsupportedContentTypeError, pypi_simple.UnsupportedRepoVersionError, ValueError):
            return "the index does not answer with a page of the simple API"
        if page is None:
            # Its session hangs with it; the next page gets another.
            del self._own.session
            return _LATE
        return page

    def _session(self) -> requests.Session:
        import requests  # noqa: PLC0415

        session: requests.Session | None = getattr(self._own, "session", None)
        if session is None:
            session = self._own.session = requests.Session()
            session.hooks["response"].append(_no_downgrade)
            if self.certificates:
                # REQUESTS_CA_BUNDLE outranks it: requests looks there first.
                session.verify = self.certificates
        return session


NO_PROJECT = "the index has no such project"
_LATE = "the index does not answer in time"


def _in_time(read: Callable[[], ProjectPage]) -> ProjectPage | None:
    """Read a page in a thread that is left behind, and None given, where that takes too long in all."""
    found: list[ProjectPage | BaseException] = []

    def work() -> None:
        try:
            found.append(read())
        except BaseException as error:  # handed to the thread that waits
            found.append(error)

    thread = threading.Thread(target=work, name="page", daemon=True)
    thread.start()
    thread.join(LONGEST)
    if not found:
        return None
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _no_downgrade(response: requests.Response, **_: object) -> None:
    """Refuse a redirect from https to http before it is followed."""
    target = urljoin(response.url, response.headers.get("Location", ""))
    if response.is_redirect and response.url.startswith("https:") and not target.startswith("https:"):
        from requests.exceptions import InvalidSchema  # noqa: PLC0415

        raise InvalidSchema("a redirect from https to http")


def snapshot_address() -> str:
    """Give the address of Debian's snapshot service, from the driver's data."""
    data = tomli.loads(files("layerlock").joinpath("data/origins.toml").read_text(encoding="utf-8"))
    address: str = data["snapshot"]["address"]
    return address


def _folder(place: str) -> Path | None:
    """Give the folder that an entry of pip's `find-links` stands for; None for the address of a page."""
    folder = _local(place)
    if folder is None and not re.match(r"[a-z+]+://", place):
        folder = Path(place).expanduser()
    return folder


def _local(address: str) -> Path | None:
    """Give the path that a `file:` address stands for."""
    if not address.startswith("file:"):
        return None
    return Path(unquote(urlsplit(address).path))


def _local_page(index: Path, project: str) -> ProjectPage | str:
    from pypi_simple import ProjectPage  # noqa: PLC0415

    page = index / re.sub(r"[-_.]+", "-", project).lower() / "index.html"
    try:
        return ProjectPage.from_html(project, page.read_bytes(), base_url=page.as_uri())
    except OSError:
        return NO_PROJECT


def _with_credentials(url: str, index: str | None) -> str:
    """Carry an index's credentials over to its files, on the same host and port only, as pip does."""
    if index is None:
        return url
    theirs, ours = urlsplit(index), urlsplit(url)
    user, at, host = theirs.netloc.rpartition("@")
    if not at or "@" in ours.netloc or (ours.scheme, ours.netloc) != (theirs.scheme, host):
        return url
    return urlunsplit(ours._replace(netloc=f"{user}@{host}"))
