"""Advisories: reading them from dumps and from a server, and judging versions by them."""

from __future__ import annotations

import json
import random
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layerlock.audit import advisories
from layerlock.audit.advisories import Dump, Service, Wanted
from layerlock.audit.osv import read_advisory
from layerlock.audit.versions import includes, ordering
from layerlock.errors import BadAdvisories, FetchError
from layerlock.io.answers import Patience
from layerlock.io.http import Fetcher
from tests.audit.records import (
    EVER,
    Record,
    answer,
    debian,
    generic,
    pypi,
    record,
    serve,
    write_folder,
    write_zip,
)
from tests.io.servers import Handler, Server, serving

NUMPY = Wanted(ecosystem="PyPI", name="numpy", purl="pkg:pypi/numpy", version="1.24.2")
WEBP = Wanted(
    ecosystem="PyPI", name="opencv-python-headless", purl="pkg:pypi/opencv-python-headless", version="4.7"
)
GCC = Wanted(ecosystem="Debian:11", name="gcc-10", purl="pkg:deb/debian/gcc-10", version="10.2.1-6")
LIBPNG = Wanted(ecosystem="", name="libpng", purl="pkg:generic/libpng", version="1.6.37")
ALL = (GCC, LIBPNG, NUMPY, WEBP)

RECORDS = (
    record("DEBIAN-CVE-2099-3", debian("gcc-10", EVER), upstream=["CVE-2099-3"]),
    record("GHSA-aaaa-bbbb-cccc", pypi("numpy", EVER, {"fixed": "1.25"})),
    record("OSV-2099-1", generic("libpng", EVER)),
    record("OTHER-1", pypi("numpy-financial", EVER), details="numpy is mentioned here, and no more"),
    record("PYSEC-2099-1", pypi("OpenCV_Python.Headless", EVER)),
)


def held(
    version: str, *events: Record, kind: str = "ECOSYSTEM", ecosystem: str = "PyPI", **more: Any
) -> bool:
    """Say whether a version is affected by an entry of these events."""
    entry = {
        "package": {"ecosystem": ecosystem, "name": "x"},
        "ranges": [{"type": kind, "events": [*events]}],
        **more,
    }
    (affected,) = read_advisory(record("X-1", entry), "test").affected
    return includes(affected, version, ecosystem)


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([EVER], ["0", "1.0.dev1", "99"], []),
        ([EVER, {"fixed": "1.2"}], ["1.1", "1.2rc1", "1.2.dev0"], ["1.2", "1.2.0", "1.2.post1", "1.10"]),
        ([EVER, {"last_affected": "1.2"}], ["1.2", "1.2.0"], ["1.2.1", "1.2.post1"]),
        ([{"introduced": "1.0"}, {"fixed": "1.2"}], ["1.0", "1.1"], ["0.9", "1.0rc1", "1.2"]),
        (
            [{"introduced": "2.0"}, {"fixed": "2.1"}, EVER, {"fixed": "1.5"}],
            ["1.4", "2.0", "2.0.9"],
            ["1.5", "1.9", "2.1"],
        ),
        ([EVER, {"fixed": "1.0"}, {"introduced": "1.0"}], ["0.9", "1.0", "2"], []),
        ([EVER, {"limit": "2.0"}], ["1.0"], ["2.0", "3.0"]),
        ([EVER, {"limit": "1.0"}, {"limit": "3.0"}], ["2.0"], ["3.0"]),
        ([{"introduced": "not a version"}, {"fixed": "1.0"}], ["0.5"], ["1.0"]),
        ([], [], ["1.0"]),
    ],
)
def test_ranges_of_the_python_index(events: list[Record], inside: list[str], outside: list[str]) -> None:
    for shuffled in (events, events[::-1]):
        assert [v for v in inside if not held(v, *shuffled)] == []
        assert [v for v in outside if held(v, *shuffled)] == []


def test_ranges_of_debian() -> None:
    events = (EVER, {"fixed": "10.2.1-6+deb11u1"})
    for version, inside in (("10.2.1-6", True), ("10.2.1-6+deb11u1~rc1", True), ("10.2.1-6+deb11u1", False)):
        assert held(version, *events, ecosystem="Debian:11") is inside
    assert held("2:1.0-1", EVER, {"fixed": "1:9.0-1"}, ecosystem="Debian:11") is False
    assert held("1.0~beta-1", EVER, {"fixed": "1.0-1"}, ecosystem="Debian:11") is True


# In the order of Semantic Versioning 2.0.0, section 11.
PRECEDENCE = (
    "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
    "1.0.0", "1.0.9", "1.0.10", "1.2", "2.0.0",
)  # fmt: skip


def test_semantic_versions() -> None:
    key = ordering("SEMVER", "")
    assert key is not None
    shuffled = random.Random(7).sample(PRECEDENCE, len(PRECEDENCE))
    assert sorted(shuffled, key=key) == list(PRECEDENCE)
    assert key("v1.2.3+build.5") == key("1.2.3")
    assert held("1.6.37", EVER, {"fixed": "1.6.51"}, kind="SEMVER", ecosystem="OSS-Fuzz")


def test_what_cannot_be_ordered_holds_for_the_versions_it_lists() -> None:
    for kind, ecosystem in (("GIT", "PyPI"), ("ECOSYSTEM", "Alpine:v3.19")):
        assert not held("1.0", EVER, kind=kind, ecosystem=ecosystem)
        assert held("1.0", EVER, kind=kind, ecosystem=ecosystem, versions=["0.9", "1.0"])
    assert held("1.0", kind="GIT", ecosystem="OSS-Fuzz", versions=["v1.0"])


def ids(found: tuple[Any, ...]) -> list[str]:
    """Name records."""
    return [advisory.id for advisory in found]


EXPECTED = ["DEBIAN-CVE-2099-3", "GHSA-aaaa-bbbb-cccc", "OSV-2099-1", "PYSEC-2099-1"]


def test_a_folder_and_a_zip(tmp_path: Path) -> None:
    assert ids(Dump(write_folder(tmp_path / "folder", *RECORDS)).about(ALL)) == EXPECTED
    write_zip(tmp_path / "osv/PyPI/all.zip", *RECORDS[1:])
    assert ids(Dump(tmp_path / "osv/PyPI/all.zip").about(ALL)) == EXPECTED[1:]
    write_zip(tmp_path / "osv/Debian/all.zip", RECORDS[0])
    assert ids(Dump(tmp_path / "osv").about(ALL)) == EXPECTED
    assert ids(Dump(tmp_path / "osv").about([NUMPY])) == ["GHSA-aaaa-bbbb-cccc"]


def test_a_large_dump_is_read_quickly(tmp_path: Path) -> None:
    """Twenty thousand records, as many as the Python index has: those of other packages are not parsed."""
    many = (record(f"X-{n}", pypi(f"project-{n}", EVER), details="z" * 2000) for n in range(20_000))
    path = write_zip(tmp_path / "all.zip", *many, *RECORDS)
    begun = time.monotonic()
    assert ids(Dump(path).about(ALL)) == EXPECTED
    assert time.monotonic() - begun < 20


def other(**changes: Any) -> Record:
    """Change a record."""
    return {**RECORDS[1], **changes}


BAD_RECORDS: dict[str, tuple[Any, str]] = {
    "no id": (other(id=None), "`id` is missing"),
    "an id that is a path": (other(id="../../etc"), "`id` is no identifier"),
    "no date": (other(modified=3), "`modified` is no text"),
    "aliases": (other(aliases=[1]), "`aliases` holds something that is no text"),
    "affected": (other(affected={"package": "numpy"}), "`affected` is no array"),
    "an entry": (other(affected=["numpy"]), "an entry of `affected` is no object"),
    "ranges": (other(affected=[{"package": {"name": "numpy"}, "ranges": 1}]), "`ranges` is no array"),
    "an event": (other(affected=[pypi("numpy", {"introdcued": "0"})]), "no event 'introdcued'"),
    "a version": (other(affected=[pypi("numpy", {"introduced": "9" * 300})]), "no text, or too long"),
    "versions": (other(affected=[pypi("numpy", versions=[1])]), "`versions` holds something that is no text"),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_malformed_records(tmp_path: Path, name: str) -> None:
    document, said = BAD_RECORDS[name]
    (tmp_path / "bad.json").write_text(json.dumps(document))
    with pytest.raises(BadAdvisories, match=said) as raised:
        Dump(tmp_path).about(ALL)
    assert "bad.json" in raised.value.message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "or cut short"),
        (b"<html>", "or cut short"),
        (json.dumps(RECORDS[1]).encode()[:-20], "or cut short"),
        (b'{"id": "numpy", "x": }', "is not JSON"),
        (b'{"id": "numpy", "x": ' + b"[" * 200_000 + b"]}", "nested too deeply"),
    ],
)
def test_files_that_are_no_records(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.raises(BadAdvisories, match=said):
        Dump(tmp_path).about(ALL)


def test_dumps_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(BadAdvisories, match="there is no"):
        Dump(tmp_path / "nowhere").about(ALL)
    with pytest.raises(BadAdvisories, match="holds no OSV records"):
        Dump(tmp_path).about(ALL)
    whole = write_zip(tmp_path / "a.zip", *RECORDS).read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadAdvisories, match="is a damaged zip"):
        Dump(tmp_path / "a.zip").about(ALL)
    (tmp_path / "a.zip").write_bytes(whole[:60] + b"\xff\xff\xff" + whole[63:])
    with pytest.raises(BadAdvisories, match="is a damaged zip"):
        Dump(tmp_path / "a.zip").about(ALL)


def test_a_record_that_unpacks_to_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X-1.json", bytes(advisories.LARGEST + 1))
    with pytest.raises(BadAdvisories, match="more than 32 MiB, too much for a record"):
        Dump(tmp_path / "a.zip").about(ALL)
    monkeypatch.setattr(advisories, "MOST", 100)
    with pytest.raises(BadAdvisories, match="unpacks to more than"):
        Dump(write_folder(tmp_path / "folder", *RECORDS)).about(ALL)


@pytest.fixture
def server() -> Iterator[Server]:
    """Run a server, which answers POST as it answers GET."""
    with serving() as running:
        yield running


PATIENCE = Patience(connect=2, read=2, answer=2, window=1, floor=1000, tries=1)


def service(server: Server) -> Service:
    """Give the API of a server, asked by whoever has little time."""
    return Service(server.url("/"), Fetcher(patience=PATIENCE))


def test_the_api(server: Server) -> None:
    serve(server, RECORDS)
    # By its own spelling of the name alone: a server knows the names that it has.
    assert ids(service(server).about(ALL)) == EXPECTED[:3]


def test_pages_are_turned(server: Server) -> None:
    many = [record(f"X-{n:03}", pypi("numpy", EVER)) for n in range(25)]
    serve(server, many, page=10)
    assert len(service(server).about(ALL)) == 25
    assert sum(path == "/v1/querybatch" for path, _ in server.requests) == 3


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "holds no JSON object"),
        ({"results": [{}]}, "does not answer every query"),
        ({"results": [[], {}, {}, {}]}, "something else than OSV's API"),
        ({"results": [{"vulns": [{"id": "../admin"}]}, {}, {}, {}]}, "has no proper id"),
        ({"results": [{"vulns": [{"id": "X-2"}]}, {}, {}, {}]}, "vulns/X-2 gives X-1"),
        ({"results": [{"next_page_token": "x"}, {}, {}, {}]}, "does not answer every query"),
    ],
)
def test_a_server_that_is_something_else(server: Server, value: object, said: str) -> None:
    server.answers["/v1/querybatch"] = answer(value)
    server.answers["/v1/vulns/X-2"] = answer(record("X-1"))
    with pytest.raises(BadAdvisories, match=said):
        service(server).about(ALL)


def test_a_server_without_an_end_of_pages(server: Server) -> None:
    server.answers["/v1/querybatch"] = answer({"results": [{"next_page_token": "x"}]})
    with pytest.raises(BadAdvisories, match="no end of pages"):
        service(server).about([NUMPY])


def hang(handler: Handler) -> None:
    """Say nothing until the test is over."""
    handler.server.over.wait(30)


def test_servers_that_fail_or_hang(server: Server) -> None:
    with pytest.raises(FetchError, match="404"):
        service(server).about(ALL)
    server.answers["/v1/querybatch"] = hang
    begun = time.monotonic()
    with pytest.raises(FetchError, match=r"no data in time|no answer in time"):
        service(server).about(ALL)
    assert time.monotonic() - begun < 10
