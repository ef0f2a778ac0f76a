"""Packages that state ranges: their pins are sources like any other, and are refused once they are another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlock.errors import InvalidRecipe, LayerlockError, StaleLock
from layerlock.io.repository import Repository
from layerlock.plan.requirements import outdated
from layerlock.plan.resolve import Plan, closure_of_layer, closure_of_package, plan_layer, plan_package
from tests.plan.conftest import CODE, pins_of
from tests.plan.test_goldens import change

RECIPE = """\
[package]
name = "ranges"
version = "1"
license = "MIT"

[requirements]
wants = ["wheel<2", "app"]
glibc = "2.26"
architecture = "x86_64"

[[requirements.without]]
name = "Heavy.One"
reason = "nothing calls it"

[build]
builder = "wheels"
environment = "root"
python = "3.11"
"""
WHEEL = "ba59926159d2aa256eb8739b8da7e2b574b960e1202c6d624cbe981cef996c91"
PINS = f"""\
[resolved]
python = "3.11"
architecture = "x86_64"
glibc = "2.26"
wants = ["wheel<2", "app"]
without = ["heavy-one"]
wheels = [
  {{ name = "app", version = "2", file = "pypi:app/app-2-py3-none-any.whl", sha256 = "{"a" * 64}", size = 7 }},
  {{ name = "wheel", version = "1", file = "pypi:wheel/wheel-1-py3-none-any.whl", sha256 = "{WHEEL}", size = 9 }},
]
"""
STATED = """\
[[sources]]
kind = "wheel"
name = "{name}"
urls = ["pypi:{name}/{name}-{version}-py3-none-any.whl"]
sha256 = "{sha256}"

"""


@pytest.fixture
def repository(folder: Path) -> Path:
    packages = folder / "recipes" / "packages"
    (packages / "ranges.toml").write_text(RECIPE)
    (packages / "ranges.wheels.toml").write_text(PINS)
    change(folder, "layers/demo.toml", '["hello", "own"]', '["hello", "own", "ranges"]')
    return folder


def planned(folder: Path, name: str = "ranges") -> Plan:
    recipes = Repository(folder)
    return plan_package(recipes, name, CODE, pins_of(closure_of_package(recipes, name), recipes))


def planned_layer(folder: Path) -> Plan:
    recipes = Repository(folder)
    return plan_layer(recipes, "demo", CODE, pins_of(closure_of_layer(recipes, "demo"), recipes))


def refused(folder: Path, kind: type[LayerlockError]) -> LayerlockError:
    with pytest.raises(kind) as caught:
        planned_layer(folder)
    return caught.value


def test_wheels_that_were_found_are_planned_as_stated_ones_are(repository: Path) -> None:
    before = planned(repository).planned["ranges"]
    packages = repository / "recipes" / "packages"
    (packages / "ranges.wheels.toml").unlink()
    head, _, rest = RECIPE.partition("[requirements]")
    stated = STATED.format(name="app", version=2, sha256="a" * 64)
    stated += STATED.format(name="wheel", version=1, sha256=WHEEL)
    (packages / "ranges.toml").write_text(f"{head}{stated}[build]{rest.partition('[build]')[2]}")
    assert planned(repository).planned["ranges"] == before


def test_what_they_were_asked_for_by_is_not_hashed(repository: Path) -> None:
    before = planned(repository).planned["ranges"]
    for file in ("packages/ranges.toml", "packages/ranges.wheels.toml"):
        change(repository, file, '"wheel<2"', '"wheel<3"')
        change(repository, file, '"2.26"', '"2.17"')
    assert planned(repository).planned["ranges"] == before
    change(repository, "packages/ranges.wheels.toml", "a" * 64, "b" * 64)
    assert planned(repository).planned["ranges"] != before


def test_the_pins_are_no_package(repository: Path) -> None:
    assert "ranges" in Repository(repository).names("packages")
    assert "ranges.wheels" not in Repository(repository).names("packages")


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('"app"]', '"app>1"]', "wants"),
        ('"2.26"', '"2.17"', "glibc"),
        ("Heavy.One", "other", "without"),
        ("Heavy.One", "heavy-one", ""),
        ("nothing calls it", "it is heavy", ""),
    ],
)
def test_pins_of_other_requirements_are_stale(repository: Path, old: str, new: str, part: str) -> None:
    change(repository, "packages/ranges.toml", old, new)
    recipes = Repository(repository)
    if not part:
        assert outdated(recipes.package("ranges"), recipes) is None
        planned_layer(repository)
        return
    error = refused(repository, StaleLock)
    assert error.message == f"the wheels of `ranges` were pinned for another `{part}`"
    assert "layerlock resolve ranges" in error.hint
    assert str(error.location).startswith("recipes/packages/ranges.toml:6")


def test_wheels_that_are_not_pinned_yet(repository: Path) -> None:
    (repository / "recipes" / "packages" / "ranges.wheels.toml").unlink()
    assert refused(repository, StaleLock).message == "the wheels of `ranges` are not pinned yet"


@pytest.mark.parametrize(
    ("file", "old", "new", "says", "path"),
    [
        ("ranges.toml", '"x86_64"', '"arm64"', "for arm64; the layer is for x86_64", "requirements.architecture"),
        ("ranges.toml", '"2.26"', '"2.28"', "for glibc 2.28; the runtime has 2.26", "requirements.glibc"),
        ("ranges.toml", 'python = "3.11"', 'python = "3.9"', "for Python 3.9; the runtime has 3.11", "build.python"),
        ("ranges.toml", '["wheel<2", "app"]', "[]", "state neither `wants` nor `pylock`", "requirements"),
        ("ranges.toml", "glibc =", 'pylock = "x/pylock.toml"\nglibc =', "state both", "requirements"),
        ("ranges.toml", 'wants = ["wheel<2", "app"]', 'pylock = "x.toml"', "there is no file", "requirements.pylock"),
        ("ranges.toml", '"2.26"', '"2"', "must be a version of the C library", "requirements.glibc"),
        ("ranges.toml", 'builder = "wheels"', 'script = "true"', "", "build.python"),
        ("ranges.wheels.toml", "pypi:app/", "https://x.invalid/", "a wheel of an index", "resolved.wheels[0].file"),
        ("ranges.wheels.toml", "pypi:app/", "pypi:app/../", "must be a wheel of an index", "resolved.wheels[0].file"),
    ],
)  # fmt: skip
def test_requirements_that_do_not_fit(
    repository: Path, file: str, old: str, new: str, says: str, path: str
) -> None:
    change(repository, f"packages/{file}", old, new)
    error = refused(repository, InvalidRecipe)
    assert says in error.message
    assert error.location is not None
    assert error.location.path == path


def test_a_source_that_is_stated_and_found_is_refused(repository: Path) -> None:
    path = repository / "recipes" / "packages" / "ranges.toml"
    path.write_text(path.read_text() + "\n" + STATED.format(name="app", version=1, sha256="c" * 64))
    error = refused(repository, InvalidRecipe)
    assert "`app` is a source of `ranges` and is among the wheels found for it" in error.message


def test_pins_without_requirements_are_refused(repository: Path) -> None:
    packages = repository / "recipes" / "packages"
    (packages / "tools.wheels.toml").write_text(PINS)
    assert "remove recipes/packages/tools.wheels.toml" in refused(repository, InvalidRecipe).hint


def test_a_wheel_that_was_found_has_its_line_in_the_pins(repository: Path) -> None:
    recipes = Repository(repository)
    recipes.package("ranges")
    assert str(recipes.locate("packages", "ranges", "sources[1]")) == (
        "recipes/packages/ranges.wheels.toml:9 (resolved.wheels[1])"
    )


def test_memory_of_a_job_is_not_hashed(repository: Path) -> None:
    before = planned(repository)
    path = repository / "recipes" / "packages" / "ranges.toml"
    path.write_text(path.read_text() + '\n[build.limits]\nmemory_per_job = "1 GiB"\n')
    after = planned(repository)
    assert after.planned == before.planned
    assert after["ranges"].needs.memory_per_job == 1 << 30
