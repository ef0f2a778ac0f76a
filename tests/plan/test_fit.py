"""Recipes held against a lock: what differs is named, with the command that mends it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.errors import StaleLock
from layerlock.io.repository import Repository
from layerlock.model.derivation import GuestFile
from layerlock.model.lock import VERSION, Lock, LockedDerivation, LockedSource
from layerlock.plan.fit import check_plan, check_sources, parts
from layerlock.plan.resolve import closure_of_layer, plan_layer
from tests.plan.conftest import CODE, pins_of
from tests.plan.test_goldens import change

COMMAND = "nox -s lock -- demo"


@pytest.fixture
def lock(recipes: Repository) -> Lock:
    """Lock the layer demo as its recipes are."""
    pins = pins_of(closure_of_layer(recipes, "demo"), recipes)
    plan = plan_layer(recipes, "demo", CODE, pins)
    return Lock(
        version=VERSION,
        layer="demo",
        sources=tuple(pins.values()),
        derivations=tuple(
            LockedDerivation(name=d.name, planned=plan.planned[d.name], fields=parts(d, plan.planned))
            for d in plan.derivations
        ),
    )


def check(folder: Path, lock: Lock) -> None:
    """Hold the repository against the lock, as a build does."""
    recipes = Repository(folder)
    pins = check_sources(lock, closure_of_layer(recipes, "demo"), recipes)
    check_plan(lock, plan_layer(recipes, "demo", CODE, pins), recipes)


def test_an_unchanged_repository_fits(folder: Path, lock: Lock) -> None:
    check(folder, lock)


@pytest.mark.parametrize(
    ("file", "old", "new", "message", "place"),
    [
        (
            "packages/hello.toml",
            "https://example.org/",
            "https://example.com/",
            "`urls` of the source `hello/hello` differs",
            "recipes/packages/hello.toml:8 (sources[0].urls)",
        ),
        (
            "packages/hello.toml",
            'sha256 = "2c',
            'sha256 = "3c',
            "`sha256` of the source `hello/hello` differs",
            "recipes/packages/hello.toml:9 (sources[0].sha256)",
        ),
        (
            "packages/own.toml",
            'path = "code"',
            'path = "other"',
            "`path` of the source `own/own` differs",
            "recipes/packages/own.toml:8 (sources[0].path)",
        ),
        (
            "packages/python.toml",
            "[[sources]]",
            '[[sources]]\nname = "cpython"',
            "the source `python/cpython` is not in the lock",
            "recipes/packages/python.toml:7 (sources[0])",
        ),
        (
            "packages/hello.toml",
            "make install",
            "make all install",
            "`build.script` of `hello` differs",
            "recipes/packages/hello.toml:18 (build.script)",
        ),
        (
            "packages/hello.toml",
            "-Os",
            "-O2",
            "`build.variables` of `hello` differs",
            "recipes/packages/hello.toml:20 (build.variables)",
        ),
        (
            "environments/root-floor.toml",
            "2.26",
            "2.27",
            "`links or floor` of `environment-root-floor` differs",
            "recipes/environments/root-floor.toml",
        ),
        (
            "layers/demo.toml",
            '"**/tests/**"',
            '"**/test/**"',
            "`prune` of `layer-demo-tree` differs",
            "recipes/layers/demo.toml:14 (prune)",
        ),
    ],
)
def test_what_differs_is_named(  # one table of cases reads better than eight tests
    folder: Path, lock: Lock, file: str, old: str, new: str, message: str, place: str
) -> None:
    change(folder, file, old, new)
    with pytest.raises(StaleLock) as caught:
        check(folder, lock)
    assert message in caught.value.message
    assert str(caught.value.location).startswith(place)
    assert COMMAND in caught.value.hint


def test_changed_guest_code_is_named(recipes: Repository, lock: Lock) -> None:
    pins = pins_of(closure_of_layer(recipes, "demo"), recipes)
    plan = plan_layer(
        recipes, "demo", CODE | {"build.py": (GuestFile(name="build.py", sha256="1" * 64),)}, pins
    )
    with pytest.raises(StaleLock, match="`the guest code` of"):
        check_plan(lock, plan, recipes)


def test_a_moved_debian_package_is_named(folder: Path, lock: Lock) -> None:
    change(folder, "environments/root.debs.toml", "bash_5.1-2_amd64", "bash_5.1-3_amd64")
    with pytest.raises(StaleLock, match="`path` of the source `root/bash` differs"):
        check(folder, lock)


def test_a_source_that_became_another_kind_is_named(folder: Path, lock: Lock) -> None:
    def turned(pin: LockedSource) -> LockedSource:
        return replace(lock.sources[0], key=pin.key) if pin.key == "own/own" else pin

    other = replace(lock, sources=tuple(turned(pin) for pin in lock.sources))
    with pytest.raises(StaleLock, match="`kind` of the source `own/own` differs"):
        check(folder, other)
