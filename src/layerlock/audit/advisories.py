"""Where advisories are looked up: a downloaded dump in OSV's published form, or OSV's API."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Protocol

from layerlock.audit.osv import IDENTIFIER, Advisory, read_advisory
from layerlock.audit.sbom import json_object
from layerlock.errors import BadAdvisories
from layerlock.io.together import together

LARGEST: Final = 32 << 20
"""Bytes of one record; the largest that OSV publishes has a few."""
MOST: Final = 64 << 30
"""Bytes of all records of a dump, unpacked."""
_BATCH: Final = 1000
_PAGES: Final = 100
_AT_ONCE: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Wanted:
    """What is asked about: a package by OSV's ecosystem and name, or by package URL without a version."""

    ecosystem: str
    name: str
    purl: str
    version: str


class Advisories(Protocol):
    """A database of vulnerabilities."""

    def about(self, wanted: Sequence[Wanted]) -> tuple[Advisory, ...]:
        """Give every record that may speak of any of these, sorted by id.

        Raises:
            BadAdvisories: the database is malformed, or too large to be one.
            FetchError: it does not answer.
        """


class Reader(Protocol):
    """What asks a server."""

    def read(self, url: str, *, limit: int) -> bytes:
        """Return what `url` gives, at most `limit` bytes."""

    def post(self, url: str, body: bytes, *, limit: int) -> bytes:
        """Post JSON, and return what `url` gives."""


class Dump:
    """A folder or zip of JSON files, one record each, as OSV publishes them (`PyPI/all.zip`, `Debian/all.zip`)."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def about(self, wanted: Sequence[Wanted]) -> tuple[Advisory, ...]:
        """Read every record that mentions one of the names."""
        mentioned = _mentions(wanted)
        found: dict[str, Advisory] = {}
        seen = total = 0
        for shown, data in self._records():
            seen += 1
            total += len(data)
            if total > MOST:
                raise BadAdvisories(f"{self._path} unpacks to more than {MOST >> 30} GiB")
            stripped = data.strip()
            # Most records are of other packages: they are not parsed, only seen to be whole.
            if not (stripped.startswith(b"{") and stripped.endswith(b"}") and b'"id"' in stripped):
                raise BadAdvisories(
                    f"{shown} is no OSV record, or cut short", hint="download the database anew"
                )
            if mentioned.search(data):
                advisory = read_advisory(json_object(data, shown), shown)
                found[advisory.id] = advisory
        if not seen:
            raise BadAdvisories(
                f"{self._path} holds no OSV records",
                hint="a database is a folder or zip of JSON files, such as OSV's PyPI/all.zip",
            )
        return tuple(found[name] for name in sorted(found))

    def _records(self) -> Iterator[tuple[str, bytes]]:
        if self._path.is_file():
            yield from _of_zip(self._path)
        elif self._path.is_dir():
            for path in sorted(self._path.rglob("*")):
                if path.suffix == ".json" and path.is_file():
                    with path.open("rb") as file:
                        yield str(path), _bounded(file, str(path))
                elif path.suffix == ".zip" and path.is_file():
                    yield from _of_zip(path)
        else:
            raise BadAdvisories(f"there is no {self._path}")


class Service:
    """OSV's API, version 1: `querybatch` for ids, `vulns/ID` for records."""

    def __init__(self, url: str, reader: Reader) -> None:
        self._url = url.rstrip("/")
        self._reader = reader

    def about(self, wanted: Sequence[Wanted]) -> tuple[Advisory, ...]:
        """Ask about everything at once, then for every record that was named."""
        ids: set[str] = set()
        for start in range(0, len(wanted), _BATCH):
            ids |= self._ids([_query(each) for each in wanted[start : start + _BATCH]])
        works = [lambda name=name: self._record(name) for name in sorted(ids)]
        return tuple(together(works, most=_AT_ONCE))

    def _ids(self, queries: list[dict[str, object]]) -> set[str]:
        found: set[str] = set()
        for _ in range(_PAGES):
            body = json.dumps({"queries": queries}).encode()
            url = f"{self._url}/v1/querybatch"
            answer = json_object(self._reader.post(url, body, limit=LARGEST), url).get("results")
            if not isinstance(answer, list) or len(answer) != len(queries):
                raise BadAdvisories(f"{url} does not answer every query")
            again = []
            for query, result in zip(queries, answer, strict=True):
                for each in _vulns(result, url):
                    found.add(each)
                token = result.get("next_page_token") if isinstance(result, dict) else None
                if isinstance(token, str) and token:
                    again.append({**query, "page_token": token})
            if not again:
                return found
            queries = again
        raise BadAdvisories(f"{self._url} has no end of pages")

    def _record(self, name: str) -> Advisory:
        url = f"{self._url}/v1/vulns/{name}"
        advisory = read_advisory(json_object(self._reader.read(url, limit=LARGEST), url), url)
        if advisory.id != name:
            raise BadAdvisories(f"{url} gives {advisory.id}")
        return advisory


def _query(wanted: Wanted) -> dict[str, object]:
    named = {"ecosystem": wanted.ecosystem, "name": wanted.name}
    return {"package": named if wanted.ecosystem else {"purl": wanted.purl}, "version": wanted.version}


def _vulns(result: object, url: str) -> Iterator[str]:
    vulns = result.get("vulns", []) if isinstance(result, dict) else None
    if not isinstance(vulns, list):
        raise BadAdvisories(f"{url} answers with something else than OSV's API")
    for vuln in vulns:
        name = vuln.get("id") if isinstance(vuln, dict) else None
        if not isinstance(name, str) or not IDENTIFIER.fullmatch(name):
            raise BadAdvisories(f"{url} names a vulnerability that has no proper id")
        yield name


def _mentions(wanted: Iterable[Wanted]) -> re.Pattern[bytes]:
    """Make what finds the records worth parsing: a name as it stands in `name` or at the end of a package URL.

    The Python index takes `-`, `_`, `.` and either case for the same; nothing is lost by doing so for all.
    """
    names = sorted({each.name for each in wanted} | {each.purl.rpartition("/")[2] for each in wanted} - {""})
    spelled = (re.sub(r"(?:\\?[-_.])+", "[-_.]+", re.escape(name)) for name in names)
    return re.compile(rf'["/](?:{"|".join(spelled)})["@?]'.encode(), re.IGNORECASE)


def _of_zip(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with closing(zipfile.ZipFile(path)) as archive:
            for entry in archive.infolist():
                if entry.filename.endswith(".json"):
                    shown = f"{path}/{entry.filename}"
                    with archive.open(entry) as file:
                        yield shown, _bounded(file, shown)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise BadAdvisories(f"{path} is a damaged zip: {error}", hint="download the database anew") from None


def _bounded(file: IO[bytes], shown: str) -> bytes:
    data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise BadAdvisories(f"{shown} has more than {LARGEST >> 20} MiB, too much for a record")
    return data
