"""Names of registries into addresses, by real pages of a real server."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlock.errors import InvalidRecipe
from layerlock.sources.apt_sources import AptSource
from layerlock.sources.origins import Address, Origins, Refusal, check_url, filename, snapshot_address
from layerlock.sources.pip_configuration import PipConfiguration
from tests.sources.web import Web, served_web

WHEEL = "one_thing-1.0-py3-none-any.whl"
BYTES = b"a wheel"
SHA256 = hashlib.sha256(BYTES).hexdigest()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    with served_web(tmp_path / "web") as web:
        web.project("one-thing", {WHEEL: BYTES})
        web.project("other", {"other-2.0.tar.gz": b"other"}, stated={"other-2.0.tar.gz": ""})
        yield web


def origins(*indexes: str | None, places: tuple[str, ...] = (), snapshots: tuple[str, ...] = ()) -> Origins:
    return Origins(
        pip=PipConfiguration(indexes=indexes, places=places),
        apt=(),
        snapshot_address="https://snapshot.test",
        snapshots=snapshots,
    )


def test_a_plain_address_is_itself() -> None:
    url = "https://host/path/x-1.tar.gz"
    assert list(origins().resolve(url, SHA256)) == [Address(shown=url, url=url)]


def test_a_file_of_an_index(web: Web) -> None:
    found = origins(f"{web.url}/simple/")
    url = f"pypi:one-thing/{WHEEL}"
    (address,) = found.resolve(url, SHA256)
    assert isinstance(address, Address)
    assert address.shown == url
    assert address.url.startswith(f"{web.url}/files/{WHEEL}")
    # The page is asked for once, and the project's name is normalised.
    assert len(list(found.resolve(f"pypi:one-thing/{WHEEL}", SHA256))) == 1
    assert web.asked == ["/simple/one-thing/"]
    (unhashed,) = found.resolve("pypi:Other/other-2.0.tar.gz", SHA256)
    assert isinstance(unhashed, Address)


def test_nothing_is_asked_before_its_turn(web: Web) -> None:
    steps = origins(f"{web.url}/simple", f"{web.url}/second").resolve(f"pypi:one-thing/{WHEEL}", SHA256)
    assert web.asked == []
    next(steps)
    assert web.asked == ["/simple/one-thing/"]


def test_an_index_that_states_another_hash_is_not_asked_for_the_bytes(web: Web) -> None:
    (refusal,) = origins(f"{web.url}/simple").resolve(f"pypi:one-thing/{WHEEL}", "0" * 64)
    assert isinstance(refusal, Refusal)
    assert refusal.found == SHA256


def test_why_an_index_has_nothing_is_said_without_its_address(web: Web) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        found = origins(f"{web.url}/simple", nobody, f"{web.url}/files")
        steps = list(found.resolve("pypi:one-thing/one_thing-9.whl", SHA256))
        missing = list(found.resolve("pypi:nothing/x-1.whl", SHA256))
    assert [step.reason for step in steps if isinstance(step, Refusal)] == [
        "the index does not list this file",
        "the index cannot be reached",
        "the index has no such project",
    ]
    assert len(missing) == 3
    for step in (*steps, *missing):
        assert isinstance(step, Refusal)
        assert "127.0.0.1" not in step.shown + step.reason
        assert step.shown.startswith("pypi:")


def test_local_indexes_and_folders(web: Web, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / WHEEL).write_bytes(BYTES)
    found = origins((web.folder / "simple").as_uri(), places=(str(folder), folder.as_uri(), "https://page/x"))
    steps = list(found.resolve(f"pypi:one_thing/{WHEEL}", SHA256))
    assert [step.file.resolve() for step in steps if isinstance(step, Address) and step.file] == [
        folder / WHEEL,
        folder / WHEEL,
        web.folder / "files" / WHEEL,
    ]
    assert web.asked == []


def test_credentials_of_an_index_go_to_its_own_host_only(web: Web) -> None:
    index = web.url.replace("//", "//user:secret@") + "/simple"
    (address,) = origins(index).resolve(f"pypi:one-thing/{WHEEL}", SHA256)
    assert isinstance(address, Address)
    assert address.url.startswith(web.url.replace("//", "//user:secret@"))
    assert "secret" not in address.shown
    web.put("simple/away/index.html", f'<a href="http://elsewhere.test/{WHEEL}">{WHEEL}</a>'.encode())
    (away,) = origins(index).resolve(f"pypi:away/{WHEEL}", SHA256)
    assert isinstance(away, Address)
    assert away.url == f"http://elsewhere.test/{WHEEL}"


def test_debian_files_come_from_apts_mirrors_then_from_the_snapshot() -> None:
    apt = (AptSource(address="http://mirror.test/debian/", suites=("bookworm",), components=("main",)),)
    found = Origins(
        pip=PipConfiguration(),
        apt=apt,
        snapshot_address="https://snapshot.test/",
        snapshots=("20250815T000000Z",),
    )
    steps = list(found.resolve("debian:debian/pool/main/b/bash/bash_5.1-2+deb11u1_amd64.deb", SHA256))
    assert [step.url for step in steps if isinstance(step, Address)] == [
        "http://mirror.test/debian/pool/main/b/bash/bash_5.1-2+deb11u1_amd64.deb",
        "https://snapshot.test/archive/debian/20250815T000000Z/pool/main/b/bash/bash_5.1-2+deb11u1_amd64.deb",
    ]
    assert not any("mirror.test" in step.shown for step in steps)
    only = found.at("20260101T000000Z").archive_roots("debian-security")
    assert [root.url for root in only] == ["https://snapshot.test/archive/debian-security/20260101T000000Z"]


def test_debian_files_without_any_place() -> None:
    (refusal,) = origins().resolve("debian:debian/pool/x.deb", SHA256)
    assert isinstance(refusal, Refusal)
    assert "no snapshot" in refusal.reason


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/x",
        "file:///etc/passwd",
        "pypi:numpy",
        "pypi:numpy/../x",
        "pypi:a/b/c.whl",
        "debian:debian",
        "debian:debian/../x",
        "debian:debian/pool/../../x",
        "debian:De/x",
        "oci:quay.io/pypa/image",
        "oci:quay.io/pypa/image:tag",
        "oci:image@sha256:" + "0" * 64,
        "oci:quay.io/../image@sha256:" + "0" * 64,
        "oci:user@quay.io/image@sha256:" + "0" * 64,
        "https://",
        "https://host/a b",
        "/etc/passwd",
        "",
    ],
)
def test_addresses_that_no_recipe_may_state(url: str) -> None:
    with pytest.raises(InvalidRecipe):
        check_url(url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/a/x-1.0.tar.gz?raw=1#top", "x-1.0.tar.gz"),
        ("pypi:numpy/numpy-1.24.2.tar.gz", "numpy-1.24.2.tar.gz"),
        ("debian:debian/pool/g/g++_1%3a2_amd64.deb", "g++_1-2_amd64.deb"),
        ("oci:host:5000/a/image@sha256:00", "image-sha256-00"),
        ("https://host/", "file"),
        ("https://host/..%2f..%2fetc", "etc"),
    ],
)
def test_file_names_are_fit_for_a_store(url: str, expected: str) -> None:
    assert filename((url,)) == expected


def test_the_snapshot_service_has_its_address_in_the_data() -> None:
    assert snapshot_address().startswith("https://")
