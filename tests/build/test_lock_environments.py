"""Debian packages of an environment that nobody pinned: `lock` pins them, and nothing is built without."""

from __future__ import annotations

import pytest

from layerlock.errors import Offline, StaleLock
from layerlock.io.lockfile import read_lock
from layerlock.workflows.building import build_package
from layerlock.workflows.locking import lock_layer

from .conftest import Bench

PINS = "recipes/environments/few.debs.toml"


@pytest.fixture
def few(bench: Bench) -> Bench:
    """The small repository with an environment of one package that has nothing to depend on, which the layer needs."""
    (bench.folder / "recipes/environments/few.toml").write_text(
        "[environment]\n"
        'name = "few"\nsummary = "A list of ports"\nsuite = "bullseye"\nsnapshot = "20250815T000000Z"\n'
        'packages = ["netbase"]\n'
    )
    (bench.folder / "recipes/packages/ports.toml").write_text(
        '[package]\nname = "ports"\nversion = "1"\nlicense = "MIT"\n\n'
        '[build]\nenvironment = "few"\nscript = "cp /etc/services /out/"\n'
    )
    bench.edit(
        "recipes/layers/tiny.toml", lambda text: text.replace('packages = ["', 'packages = ["ports", "')
    )
    return bench


def test_lock_pins_an_environment_that_has_no_pins(few: Bench) -> None:
    changed = lock_layer(few.driver(), "tiny")
    assert "few/netbase" in changed.added
    pins = few.folder / PINS
    assert 'name = "netbase"' in pins.read_text()
    lock = read_lock(few.folder / "lockfiles" / "tiny.lock", "tiny")
    assert any(source.key == "few/netbase" for source in lock.sources)
    # What is pinned stays as it is, without a look at the index.
    before = pins.stat().st_mtime_ns
    assert not lock_layer(few.driver(offline=True), "tiny").changed
    assert pins.stat().st_mtime_ns == before


def test_without_a_network_lock_says_what_it_wanted(few: Bench) -> None:
    with pytest.raises(Offline, match="bullseye has to be fetched for the new pins of `few`"):
        lock_layer(few.driver(offline=True), "tiny")
    assert not (few.folder / PINS).exists()
    assert not (few.folder / "lockfiles" / "tiny.lock").exists()


def test_nothing_is_built_in_an_empty_root(few: Bench) -> None:
    """The root would be empty, and the build would end with a shell that is not found."""
    with pytest.raises(StaleLock, match="the Debian packages of `few` are not pinned yet") as caught:
        build_package(few.driver(), "ports")
    assert caught.value.location is not None
    assert caught.value.location.file == "recipes/environments/few.toml"
    assert PINS in caught.value.hint
