"""A package that states ranges, from the index into a layer: resolved by `lock`, built, and refused once it changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlock.errors import StaleLock
from layerlock.io.lockfile import read_lock
from layerlock.model.lock import LockedFile
from layerlock.workflows.building import build_package
from layerlock.workflows.driver import Driver
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.planning import load_layer
from tests.build.conftest import Bench
from tests.sources.web import served_web
from tests.sources.wheels import Index

pytestmark = pytest.mark.sandbox

RECIPE = """\
[package]
name = "tiny-wheels"
version = "1"
license = "MIT"

[requirements]
wants = ["layerlock-tiny-app<2"]
glibc = "2.26"

[build]
builder = "wheels"
environment = "bullseye"
python = "3.9"
site = "python/lib/python3.9/site-packages"
"""
PINS = "recipes/packages/tiny-wheels.wheels.toml"
SITE = "python/lib/python3.9/site-packages"


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with served_web(tmp_path / "web") as web:
        made = Index(web)
        made.add("layerlock-tiny-app", "1.0", "layerlock-tiny-base>=1")
        made.add("layerlock-tiny-app", "2.0")
        made.add("layerlock-tiny-base", "1.0", tag="cp39-cp39-manylinux_2_26_x86_64")
        made.add("layerlock-tiny-base", "1.0", tag="cp39-cp39-manylinux_2_26_aarch64")
        yield made


def driver(bench: Bench, index: Index) -> Driver:
    return bench.driver(environment={**os.environ, "PIP_EXTRA_INDEX_URL": index.url})


def pinned(bench: Bench) -> dict[str, LockedFile]:
    lock = read_lock(bench.folder / "lockfiles" / "tiny.lock", "tiny")
    return {
        pin.key.partition("/")[2]: pin
        for pin in lock.sources
        if pin.key.startswith("tiny-wheels/") and isinstance(pin, LockedFile)
    }


def test_ranges_go_into_a_layer(bench: Bench, index: Index) -> None:
    (bench.folder / "recipes/packages/tiny-wheels.toml").write_text(RECIPE)
    bench.edit(
        "recipes/layers/tiny.toml",
        lambda text: text.replace('"tiny-module"]', '"tiny-module", "tiny-wheels"]'),
    )
    with pytest.raises(StaleLock, match="not pinned yet"):
        build_package(driver(bench, index), "tiny-wheels")
    changed = lock_layer(driver(bench, index), "tiny")
    assert {"tiny-wheels/layerlock-tiny-app", "tiny-wheels/layerlock-tiny-base"} <= {*changed.added}
    base = pinned(bench)["layerlock-tiny-base"]
    assert base.urls == (
        "pypi:layerlock-tiny-base/layerlock_tiny_base-1.0-cp39-cp39-manylinux_2_26_x86_64.whl",
    )
    text = (bench.folder / PINS).read_text()
    assert base.sha256 in text
    assert f"size = {base.size}" in text
    _, path = build_package(driver(bench, index), "tiny-wheels")
    assert (path / SITE / "layerlock_tiny_app.py").read_text() == "VERSION = '1.0'\n"
    assert (path / SITE / "layerlock_tiny_base.py").is_file()

    # Nothing changed: nobody is asked, and nothing is written.
    asked = len(index.web.asked)
    assert not lock_layer(driver(bench, index), "tiny").changed
    assert len(index.web.asked) == asked

    bench.edit("recipes/packages/tiny-wheels.toml", lambda text: text.replace("app<2", "app<3"))
    with pytest.raises(StaleLock, match="were pinned for another `wants`"):
        load_layer(driver(bench, index), "tiny")
    # The pin that fits stays; who wants to move says so, and what nothing needs any more goes.
    changed = lock_layer(driver(bench, index), "tiny")
    assert not changed.changed
    changed = lock_layer(driver(bench, index), "tiny", frozenset({"tiny-wheels/layerlock-tiny-app"}))
    assert changed.moved == ("tiny-wheels/layerlock-tiny-app",)
    assert changed.removed == ("tiny-wheels/layerlock-tiny-base",)
    assert [*pinned(bench)] == ["layerlock-tiny-app"]
    load_layer(driver(bench, index), "tiny")
