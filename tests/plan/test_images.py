"""Environments made from images: pinned or refused, and what of them is hashed."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlock.errors import InvalidRecipe, LayerlockError, StaleLock
from layerlock.io.repository import Repository
from layerlock.model.derivation import GuestRun
from layerlock.model.image import Reference, read_reference
from layerlock.model.lock import VERSION, Lock, LockedFile
from layerlock.plan.fit import check_sources
from layerlock.plan.images import lacks_pins
from layerlock.plan.resolve import Plan, closure_of_package, plan_package
from tests.plan.conftest import CODE, pins_of
from tests.plan.test_goldens import change

IMAGE = "environments/image.toml"
PINS = "environments/image.image.toml"
DIGEST = "sha256:" + "a" * 64
STATED = 'image = "registry.example.org/build/root:1"'


def planned(folder: Path) -> Plan:
    recipes = Repository(folder)
    return plan_package(recipes, "in-image", CODE, pins_of(closure_of_package(recipes, "in-image"), recipes))


def refused(folder: Path) -> LayerlockError:
    with pytest.raises(LayerlockError) as caught:
        planned(folder)
    assert caught.value.location is not None
    assert caught.value.location.file == "recipes/environments/image.toml"
    return caught.value


def test_guest_scripts_run_on_the_python_that_the_image_has(folder: Path) -> None:
    action = planned(folder)["in-image"].action
    assert isinstance(action, GuestRun)
    assert action.command == ("/opt/python/bin/python3", "-s", "-E", "-B")


def test_the_layers_their_order_and_the_links_are_hashed_and_names_are_not(folder: Path) -> None:
    before = planned(folder)["environment-image"].hash({})
    pins = folder / "recipes" / PINS
    text = pins.read_text()
    change(folder, IMAGE, "registry.example.org", "other.example.org")
    change(folder, PINS, "registry.example.org", "other.example.org")
    change(folder, PINS, "a" * 64, "c" * 64)
    assert planned(folder)["environment-image"].hash({}) == before
    lines = text.split("\n")
    first = next(index for index, line in enumerate(lines) if "digest" in line)
    lines[first], lines[first + 1] = lines[first + 1], lines[first]
    pins.write_text("\n".join(lines).replace("registry.example.org", "other.example.org"))
    swapped = planned(folder)["environment-image"].hash({})
    change(folder, IMAGE, '"gawk"', '"mawk"')
    assert len({before, swapped, planned(folder)["environment-image"].hash({})}) == 3


def test_a_tag_without_pins_is_refused(folder: Path) -> None:
    (folder / "recipes" / PINS).unlink()
    error = refused(folder)
    assert isinstance(error, InvalidRecipe)
    assert (
        "`registry.example.org/build/root:1` of the environment `image` is not pinned by digest"
        in error.message
    )
    assert "--upgrade image" in error.hint
    assert not lacks_pins(Repository(folder).environment("image"))


@pytest.mark.parametrize(
    "said", [f"registry.example.org/build/root@{DIGEST}", f"localhost:5000/x:1@{DIGEST}"]
)
def test_a_digest_whose_layers_are_not_pinned_yet_is_for_lock(folder: Path, said: str) -> None:
    change(folder, IMAGE, STATED, f'image = "{said}"')
    error = refused(folder)
    assert isinstance(error, StaleLock)
    assert "not pinned yet" in error.message
    assert lacks_pins(Repository(folder).environment("image"))
    (folder / "recipes" / PINS).unlink()
    assert isinstance(refused(folder), StaleLock)


def test_pins_of_another_image_are_refused(folder: Path) -> None:
    change(folder, IMAGE, "root:1", "root:2")
    error = refused(folder)
    assert isinstance(error, StaleLock)
    assert "has pins of `registry.example.org/build/root:1`" in error.message


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (STATED, f'{STATED}\nbase = "root"', "has `image` and `base`; it is made from one of them"),
        (STATED, f'{STATED}\npackages = ["bash"]', "has `image` and `packages`"),
        (STATED, 'packages = ["bash"]', "has pins of what it is not made from"),
        ("[links]", '[floor]\nglibc = "2.26"\nlibraries = []\n[links]', "has an image and a floor"),
        ("registry.example.org/build/root:1", "ubuntu:22.04", "must be an image with its registry"),
        ("registry.example.org/build/root:1", "example.org/Upper", "must be an image with its registry"),
        ("root:1", "root@sha256:abc", "must be an image with its registry"),
        ("/opt/python/bin/python3", "python3", "must be an absolute path"),
    ],
)
def test_what_does_not_fit_together_is_refused(folder: Path, old: str, new: str, problem: str) -> None:
    change(folder, IMAGE, old, new)
    error = refused(folder)
    assert isinstance(error, InvalidRecipe)
    assert problem in error.message


def test_a_layer_that_moved_is_named(folder: Path) -> None:
    recipes = Repository(folder)
    closure = closure_of_package(recipes, "in-image")
    pins = pins_of(closure, recipes)
    second = pins["image/layer-002"]
    assert isinstance(second, LockedFile)
    assert second.urls == (f"oci:registry.example.org/build/root@sha256:{'2' * 64}",)
    lock = Lock(version=VERSION, layer="demo", sources=tuple(pins.values()))
    assert check_sources(lock, closure, recipes) == pins
    change(folder, PINS, "2" * 64, "5" * 64)
    changed = Repository(folder)
    with pytest.raises(StaleLock, match="`urls` of the source `image/layer-002` differs"):
        check_sources(lock, closure_of_package(changed, "in-image"), changed)


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        ("quay.io/pypa/many", "quay.io", "pypa/many", None, None),
        ("localhost:5000/a/b/c:v1", "localhost:5000", "a/b/c", "v1", None),
        (f"quay.io/x:1@{DIGEST}", "quay.io", "x", "1", DIGEST),
        (f"a:1/x@{DIGEST}", "a:1", "x", None, DIGEST),
    ],
)
def test_references_are_taken_apart(
    text: str, registry: str, repository: str, tag: str | None, digest: str | None
) -> None:
    found = read_reference(text)
    assert found == Reference(registry=registry, repository=repository, tag=tag, digest=digest)
    assert str(found) == text
