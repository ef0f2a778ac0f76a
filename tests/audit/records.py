"""Records in OSV's format, and ways to serve them."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from tests.io.servers import Handler, Server

Record = dict[str, Any]


def record(name: str, *affected: Record, **more: Any) -> Record:
    """Make a record."""
    return {
        "schema_version": "1.6.7",
        "id": name,
        "modified": "2026-01-01T00:00:00Z",
        "affected": [*affected],
        **more,
    }


def pypi(name: str, *events: Record, **more: Any) -> Record:
    """Make an entry about a project of the Python index."""
    package = {"ecosystem": "PyPI", "name": name, "purl": f"pkg:pypi/{name}"}
    return {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": [*events]}], **more}


def debian(source: str, *events: Record, release: str = "11") -> Record:
    """Make an entry about a source package of Debian."""
    package = {
        "ecosystem": f"Debian:{release}",
        "name": source,
        "purl": f"pkg:deb/debian/{source}?arch=source",
    }
    return {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": [*events]}]}


def generic(name: str, *events: Record, versions: Iterable[str] = ()) -> Record:
    """Make an entry about a library by package URL, as OSS-Fuzz has them."""
    package = {"ecosystem": "OSS-Fuzz", "name": name, "purl": f"pkg:generic/{name}"}
    return {"package": package, "ranges": [{"type": "SEMVER", "events": [*events]}], "versions": [*versions]}


EVER: Record = {"introduced": "0"}


def write_folder(folder: Path, *records: Record) -> Path:
    """Write a dump as a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for each in records:
        (folder / f"{each['id']}.json").write_text(json.dumps(each))
    return folder


def write_zip(path: Path, *records: Record) -> Path:
    """Write a dump as OSV publishes it: one zip an ecosystem."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for each in records:
            archive.writestr(f"{each['id']}.json", json.dumps(each))
    return path


def serve(server: Server, records: Iterable[Record], *, page: int = 1000) -> None:
    """Answer as OSV's API does: ids by query, in pages, and records by id."""
    known = {each["id"]: each for each in records}

    def batch(handler: Handler) -> None:
        length = int(handler.headers["Content-Length"])
        queries = json.loads(handler.rfile.read(length))["queries"]
        results = []
        for query in queries:
            ids = [n for n in sorted(known) if any(_asked(e, query["package"]) for e in known[n]["affected"])]
            start = int(query.get("page_token", "0"))
            result: Record = {"vulns": [{"id": n, "modified": "x"} for n in ids[start : start + page]]}
            if start + page < len(ids):
                result["next_page_token"] = str(start + page)
            results.append(result if ids else {})
        handler.give(json.dumps({"results": results}).encode())

    server.answers["/v1/querybatch"] = batch
    for name, each in known.items():
        server.answers[f"/v1/vulns/{name}"] = answer(each)


def answer(value: object) -> Callable[[Handler], None]:
    """Answer with a value as JSON."""
    return lambda handler: handler.give(json.dumps(value).encode())


def _asked(entry: Record, package: Record) -> bool:
    return all(entry["package"].get(key) == value for key, value in package.items())
