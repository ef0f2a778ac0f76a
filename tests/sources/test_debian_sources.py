"""Debian's source packages: what a .deb says it was built from, and where its source is, by a signed index."""

from __future__ import annotations

import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.errors import FetchError, HashMismatch, Offline, UnsafeArchive, Unverified
from layerlock.events import Event, FetchRetried, Noted, silent
from layerlock.model.lock import LockedFile
from layerlock.model.ports import SourceStore
from layerlock.model.recipe import AboutEnvironment
from layerlock.sources.apt_sources import AptSource
from layerlock.sources.deb_control import source_of
from layerlock.sources.debian_sources import find_sources
from layerlock.sources.fetch import Reach, fetch
from layerlock.sources.origins import Origins
from layerlock.sources.pip_configuration import PipConfiguration
from tests.sources.debian import Key, release_text
from tests.sources.web import Web

MOMENT = "20250815T000000Z"
ABOUT = AboutEnvironment(name="bullseye", suite="bullseye", snapshot=MOMENT)
FILES = {
    "one_1.0.orig.tar.gz": b"upstream",
    "one_1.0-2.dsc": b"description",
    "one_1.0-2.debian.tar.xz": b"packaging",
}


def deb(path: Path, control: str, *, member: str = "control.tar.xz") -> Path:
    """Make a .deb with nothing but a control file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as tar:
        row = tarfile.TarInfo("./control")
        row.size = len(control.encode())
        tar.addfile(row, io.BytesIO(control.encode()))
    parts = ((b"debian-binary", b"2.0\n"), (member.encode(), data.getvalue()))
    written = b"!<arch>\n"
    for name, body in parts:
        written += b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, b"100644", len(body)) + body
        written += b"\n" * (len(body) % 2)
    path.write_bytes(written)
    return path


@pytest.mark.parametrize(
    ("more", "source"),
    [
        ("", ("one", "1.0-2")),
        ("Source: other\n", ("other", "1.0-2")),
        ("Source: one (1.0-1)\n", ("one", "1.0-1")),
        ("Source: other (1:3~rc1-1)\n", ("other", "1:3~rc1-1")),
    ],
)
def test_a_binary_names_its_source(tmp_path: Path, more: str, source: tuple[str, str]) -> None:
    text = f"Package: one\n{more}Version: 1.0-2\nDescription: x\n Source: not this\n"
    assert source_of(deb(tmp_path / "one.deb", text)) == source


def test_what_is_no_deb(tmp_path: Path) -> None:
    (tmp_path / "text.deb").write_bytes(b"hello")
    whole = deb(tmp_path / "whole.deb", "Package: one\nVersion: 1\n").read_bytes()
    (tmp_path / "cut.deb").write_bytes(whole[:150])
    for path in (
        tmp_path / "text.deb",
        tmp_path / "cut.deb",
        deb(tmp_path / "data.deb", "Package: one\nVersion: 1\n", member="data.tar.xz"),
        deb(tmp_path / "nameless.deb", "Version: 1\n"),
    ):
        with pytest.raises(UnsafeArchive):
            source_of(path)


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


def publish(
    web: Web, key: Key, root: str, version: str = "1.0-2", *, name: str = "one", files: bool = True
) -> None:
    """Put a suite with one source package, among others, at `root`."""
    rows = "".join(f" {hashlib.sha256(d).hexdigest()} {len(d)} {n}\n" for n, d in FILES.items())
    stanzas = [
        f"Package: {name}\nFormat: 3.0 (quilt)\nVersion: {v}\nFiles:\n 0 1 x\n"
        f"Checksums-Sha256:\n{rows}Directory: pool/main/o/one\n"
        for v in ("0.9-1", version)
    ]
    text = "\n".join([*stanzas, "Package: two\nVersion: 1.0-2\nDirectory: pool/main/t/two\n"])
    packed = lzma.compress(text.encode())
    listed = {"main/source/Sources": text.encode(), "main/source/Sources.xz": packed}
    web.put(f"{root}/dists/bullseye/InRelease", key.sign(release_text(listed)))
    web.put(f"{root}/dists/bullseye/main/source/Sources.xz", packed)
    for file, data in FILES.items() if files else ():
        web.put(f"{root}/pool/main/o/one/{file}", data)


@pytest.fixture
def means(web: Web, reach: Callable[..., Reach]) -> Reach:
    """Reach one mirror, then the snapshot service, both on loopback."""
    apt = (AptSource(address=f"{web.url}/debian", suites=("bullseye",), components=("main",)),)
    origins = Origins(
        pip=PipConfiguration(indexes=()), apt=apt, snapshot_address=f"{web.url}/snapshot", snapshots=(MOMENT,)
    )
    return replace(reach(), origins=origins)


def test_a_source_package_by_the_signed_index(web: Web, key: Key, means: Reach, store: SourceStore) -> None:
    publish(web, key, "debian")
    (found,) = find_sources(ABOUT, {("one", "1.0-2")}, means, silent, keyring=key.keyring)
    assert (found.name, found.version) == ("one", "1.0-2")
    assert {
        pin.urls[0].rpartition("/")[2]: fetch(pin, store, means, silent).read_bytes() for pin in found.files
    } == FILES
    assert not any("snapshot" in path for path in web.asked)
    with pytest.raises(Offline):
        find_sources(ABOUT, {("one", "1.0-2")}, replace(means, offline=True), silent, keyring=key.keyring)
    assert find_sources(ABOUT, (), means, silent) == ()


def test_a_version_that_the_suite_forgot_is_found_at_the_snapshot(
    web: Web, key: Key, means: Reach, store: SourceStore, events: list[Event]
) -> None:
    """The index and the files: the mirror first, the snapshot of the stated moment last."""
    publish(web, key, "debian", "1.0-3", files=False)
    publish(web, key, f"snapshot/archive/debian/{MOMENT}")
    (found,) = find_sources(ABOUT, {("one", "1.0-2")}, means, silent, keyring=key.keyring)
    web.asked.clear()
    path = fetch(found.files[0], store, means, events.append)
    assert path.read_bytes() == b"packaging"
    name = "pool/main/o/one/one_1.0-2.debian.tar.xz"
    assert web.asked == [f"/debian/{name}", f"/snapshot/archive/debian/{MOMENT}/{name}"]
    assert [event.reason for event in events if isinstance(event, FetchRetried)] == [
        "the server answers 404 File not found"
    ]
    with pytest.raises(FetchError, match=r"no index of sources lists one 1\.0-9"):
        find_sources(ABOUT, {("one", "1.0-9")}, means, silent, keyring=key.keyring)


def test_a_mirror_with_other_bytes_does_not_hide_the_snapshot(
    web: Web, means: Reach, store: SourceStore
) -> None:
    pin = LockedFile(
        kind="file",
        key="bullseye/one",
        urls=("debian:debian/pool/one.deb",),
        sha256=hashlib.sha256(b"right").hexdigest(),
        size=5,
    )
    web.put("debian/pool/one.deb", b"wrong")
    web.put(f"snapshot/archive/debian/{MOMENT}/pool/one.deb", b"wrong")
    with pytest.raises(HashMismatch):
        fetch(pin, store, means, silent)
    web.put(f"snapshot/archive/debian/{MOMENT}/pool/one.deb", b"right")
    assert fetch(pin, store, means, silent).read_bytes() == b"right"


def test_an_index_of_sources_must_be_signed(web: Web, key: Key, means: Reach) -> None:
    publish(web, Key(), "debian")
    with pytest.raises(Unverified):
        find_sources(ABOUT, {("one", "1.0-2")}, means, silent, keyring=key.keyring)
    publish(web, key, "debian")
    path = "debian/dists/bullseye/main/source/Sources.xz"
    data = (web.folder / path).read_bytes()
    web.put(path, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(HashMismatch):
        find_sources(ABOUT, {("one", "1.0-2")}, means, silent, keyring=key.keyring)


def test_an_index_without_sources(web: Web, key: Key, means: Reach, events: list[Event]) -> None:
    text = release_text({}, more="Valid-Until: Sat, 16 Aug 2025 09:16:30 UTC\n")
    web.put("debian/dists/bullseye/InRelease", key.sign(text))
    with pytest.raises(Unverified, match="main/source/Sources"):
        find_sources(ABOUT, {("one", "1.0-2")}, means, events.append, keyring=key.keyring)
    assert any(isinstance(event, Noted) for event in events)
