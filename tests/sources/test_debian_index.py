"""A signed Debian mirror on loopback: pins from it, and pins held against it."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from layerlock.errors import FetchError, HashMismatch, InvalidRecipe, Offline, Unverified
from layerlock.events import Event, Noted, silent
from layerlock.io.http import Fetcher
from layerlock.model.recipe import AboutEnvironment, Deb, EnvironmentRecipe
from layerlock.sources.apt_sources import AptSource
from layerlock.sources.debian_index import Index, fetch_index, vouch, write_debs
from layerlock.sources.fetch import Reach
from layerlock.sources.origins import Origins
from layerlock.sources.pip_configuration import PipConfiguration
from tests.sources.debian import STANZAS, Key, publish
from tests.sources.web import Web

ABOUT = AboutEnvironment(name="bullseye", suite="bullseye", packages=("base",))
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


def index(
    web: Web, key: Key, fetcher: Fetcher, events: list[Event], about: AboutEnvironment = ABOUT
) -> Index:
    apt = (AptSource(address=f"{web.url}/debian", suites=("bullseye",), components=("main",)),)
    origins = Origins(pip=PipConfiguration(indexes=()), apt=apt, snapshot_address=f"{web.url}/snapshot")
    return fetch_index(
        about, origins=origins, fetcher=fetcher, emit=events.append, now=NOW, keyring=key.keyring
    )


def test_pins_from_a_signed_index(web: Web, key: Key, fetcher: Fetcher, events: list[Event]) -> None:
    publish(web, key)
    found = index(web, key, fetcher, events)
    debs = found.closure(("base",), without=("gawk",))
    assert [deb.name for deb in debs] == ["base", "libc6", "libone"]
    assert debs[0].path == "debian:debian/pool/main/b/base/base_1.0-1_amd64.deb"
    assert found.vouch(debs).complete
    assert found.signed.signed_by == key.fingerprint
    assert (found.signed.archive, found.signed.suite, found.signed.date) == (
        "debian",
        "bullseye",
        "2025-08-09T09:16:30Z",
    )


def test_lists_are_taken_by_hash_where_the_mirror_has_them_so(
    web: Web, key: Key, fetcher: Fetcher, events: list[Event]
) -> None:
    publish(web, key, by_hash=True)
    assert "base" in index(web, key, fetcher, events).packages.by_name
    assert any("/by-hash/SHA256/" in path for path in web.asked)


def test_an_index_past_its_date_is_a_note(web: Web, key: Key, fetcher: Fetcher, events: list[Event]) -> None:
    publish(web, key, more="Valid-Until: Sat, 16 Aug 2025 09:16:30 UTC\n")
    index(web, key, fetcher, events)
    assert [event.message for event in events if isinstance(event, Noted)] == [
        "the index was meant to be replaced by 2025-08-16"
    ]


def test_an_unsigned_or_strangely_signed_index_is_refused(
    web: Web, key: Key, fetcher: Fetcher, events: list[Event]
) -> None:
    publish(web, Key())
    with pytest.raises(Unverified):
        index(web, key, fetcher, events)
    assert web.asked == ["/debian/dists/bullseye/InRelease"]


def test_a_list_that_is_not_the_signed_one(web: Web, key: Key, fetcher: Fetcher, events: list[Event]) -> None:
    publish(web, key)
    path = "debian/dists/bullseye/main/binary-amd64/Packages.xz"
    data = (web.folder / path).read_bytes()
    web.put(path, data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(HashMismatch):
        index(web, key, fetcher, events)


def test_a_missing_mirror_is_not_named(web: Web, key: Key, fetcher: Fetcher, events: list[Event]) -> None:
    about = replace(ABOUT, snapshot="20250815T000000Z")
    with pytest.raises(FetchError) as caught:
        index(web, key, fetcher, events, about)
    assert "127.0.0.1" not in str(caught.value)
    assert "the snapshot of 20250815T000000Z" in caught.value.message
    assert web.asked[-1] == "/snapshot/archive/debian/20250815T000000Z/dists/bullseye/InRelease"


def test_the_snapshot_serves_where_the_mirror_has_moved_on(
    web: Web, key: Key, fetcher: Fetcher, events: list[Event]
) -> None:
    publish(web, key)
    kept = web.folder / "snapshot/archive/debian/20250815T000000Z"
    kept.parent.mkdir(parents=True)
    (web.folder / "debian").rename(kept)
    found = index(web, key, fetcher, events, replace(ABOUT, snapshot="20250815T000000Z"))
    assert "base" in found.packages.by_name


def test_pins_that_the_index_does_not_vouch_for(
    web: Web, key: Key, fetcher: Fetcher, events: list[Event]
) -> None:
    publish(web, key)
    before = index(web, key, fetcher, events).closure(("base",))
    publish(
        web, key, stanzas=STANZAS.replace("2:1.0-1+b2", "2:1.0-2").replace("Package: gawk", "Package: bawk")
    )
    found = index(web, key, fetcher, events)
    vouched = found.vouch(before)
    assert [deb.name for deb in vouched.missing] == ["gawk"]
    assert [(old.version, new.version) for old, new in vouched.different] == [("2:1.0-1+b2", "2:1.0-2")]
    with pytest.raises(Unverified, match="gawk"):
        found.confirm(before, frozenset(), silent, "bullseye")
    noted: list[Event] = []
    found.confirm(before, frozenset(deb.sha256 for deb in before), noted.append, "bullseye")
    assert [event.message for event in noted if isinstance(event, Noted)] == [
        "gawk 5.1 stays pinned; the index no longer lists it",
        "libone 2:1.0-1+b2 stays pinned; the index lists 2:1.0-2",
    ]


def test_new_pins_are_vouched_for(
    web: Web, key: Key, reach: Callable[..., Reach], events: list[Event]
) -> None:
    publish(web, key)
    apt = (AptSource(address=f"{web.url}/debian", suites=("bullseye",), components=("main",)),)
    origins = Origins(pip=PipConfiguration(indexes=()), apt=apt, snapshot_address=None)
    means = replace(reach(), origins=origins)
    environment = EnvironmentRecipe(environment=ABOUT)
    debs = fetch_index(
        ABOUT, origins=origins, fetcher=means.fetcher, emit=silent, now=NOW, keyring=key.keyring
    ).closure(("base",))
    signed = vouch(environment, debs, means, events.append, keyring=key.keyring)
    assert signed.signed_by == key.fingerprint
    changed = (replace(debs[0], sha256="0" * 64), *debs[1:])
    with pytest.raises(Unverified, match="not what the signed index of debian bullseye says"):
        vouch(environment, changed, means, silent, keyring=key.keyring)
    with pytest.raises(Unverified, match="not signed by a trusted key"):
        vouch(environment, debs, means, silent)
    with pytest.raises(Offline):
        vouch(environment, debs, reach(offline=True), silent, keyring=key.keyring)


def test_a_root_that_is_not_in_the_index(web: Web, key: Key, fetcher: Fetcher, events: list[Event]) -> None:
    publish(web, key)
    with pytest.raises(InvalidRecipe, match="no package `nothing`"):
        index(web, key, fetcher, events).closure(("nothing",))


def test_pins_are_written_one_a_line(tmp_path: Path) -> None:
    debs = [
        Deb(name=name, version="1:2~3+b1", path=f"debian:debian/pool/{name}.deb", sha256="0" * 64, size=5)
        for name in ("zlib1g", "bash")
    ]
    path = tmp_path / "bullseye.debs.toml"
    write_debs(path, debs, origin="Generated from the index of bullseye (main, amd64).")
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[0] == "# Generated from the index of bullseye (main, amd64)."
    assert tomllib.loads(text) == {"debs": [asdict(deb) for deb in reversed(debs)]}
    assert len(text.splitlines()) == 6
