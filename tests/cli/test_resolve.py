"""`layerlock resolve` and `layerlock pylock`, for real, against an index on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.sources.web import served_web
from tests.sources.wheels import Index

RECIPE = """\
[package]
name = "ranges"
version = "1"
license = "MIT"

[requirements]
wants = ["app>=1"]
glibc = "2.26"
architecture = "arm64"
without = [{ name = "heavy", reason = "nothing calls it" }]

[build]
builder = "wheels"
environment = "small"
python = "3.9"
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with served_web(tmp_path / "web") as web:
        made = Index(web)
        made.add("app", "1.0", "base<2", "heavy", tag="cp39-cp39-manylinux_2_17_aarch64")
        made.add("base", "1.0")
        made.add("base", "2.0")
        yield made


@pytest.fixture
def recipe(repository: Path) -> Path:
    path = repository / "recipes" / "packages" / "ranges.toml"
    path.write_text(RECIPE)
    return path


def test_resolve_keep_and_upgrade(layerlock: Run, index: Index, recipe: Path) -> None:
    done = layerlock("show", "ranges")
    assert done.returncode == 4
    assert "the wheels of `ranges` are not pinned yet" in done.stderr
    done = layerlock("resolve", "ranges", PIP_INDEX_URL=index.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "recipes/packages/ranges.wheels.toml: 2 wheels\n  added: app, base\n"
    pins = recipe.with_name("ranges.wheels.toml")
    text = pins.read_text()
    assert "127.0.0.1" not in text
    assert layerlock("show", "ranges").returncode == 0
    index.add("base", "1.5")
    asked = len(index.web.asked)
    done = layerlock("resolve", "ranges", PIP_INDEX_URL=index.url)
    assert done.stdout == "recipes/packages/ranges.wheels.toml: nothing changed (2 wheels)\n"
    assert len(index.web.asked) == asked
    done = layerlock("--json", "resolve", "ranges", "--upgrade", "base", PIP_INDEX_URL=index.url)
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["moved"] == [["base", "1.0", "1.5"]]
    assert not result["kept"]
    index.add("base", "1.6")
    done = layerlock("update", "ranges", PIP_INDEX_URL=index.url)
    assert "ranges/base: 1.5 -> 1.6" in done.stdout, done.stderr
    done = layerlock("update", "ranges", "--to", "3", PIP_INDEX_URL=index.url)
    assert done.returncode == 2
    assert "write `==3` into its requirements" in done.stderr


def test_a_conflict_has_its_place_and_leaves_the_pins_alone(
    layerlock: Run, index: Index, recipe: Path
) -> None:
    layerlock("resolve", "ranges", PIP_INDEX_URL=index.url)
    pins = recipe.with_name("ranges.wheels.toml")
    before = pins.read_text()
    recipe.write_text(RECIPE.replace('"app>=1"', '"app>=1", "base>=2"'))
    done = layerlock("resolve", "ranges", PIP_INDEX_URL=index.url)
    assert done.returncode == 35
    assert "conflicting requirements of `base`" in done.stderr
    assert "at recipes/packages/ranges.toml:7 (requirements.wants)" in done.stderr
    assert "the recipe wants app>=1 -> app 1.0 needs base<2" in done.stderr
    assert "the recipe wants base>=2" in done.stderr
    assert "127.0.0.1" not in done.stderr
    assert pins.read_text() == before
    # Until the recipe is as it was, or the pins are: what was pinned is another's.
    assert layerlock("show", "ranges").returncode == 4


def test_pylock_goes_round(layerlock: Run, index: Index, recipe: Path, tmp_path: Path) -> None:
    layerlock("resolve", "ranges", PIP_INDEX_URL=index.url)
    pins = recipe.with_name("ranges.wheels.toml")
    before = pins.read_text()
    printed = layerlock("pylock", "ranges", "--offline")
    assert printed.returncode == 0, printed.stderr
    assert "127.0.0.1" not in printed.stdout
    done = layerlock("pylock", "ranges", "--to", str(tmp_path / "out"), PIP_INDEX_URL=index.url)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "pylock.toml").read_text() == printed.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "app-1.0-cp39-cp39-manylinux_2_17_aarch64.whl",
        "base-1.0-py3-none-any.whl",
        "pylock.toml",
    ]
    addressed = layerlock(
        "pylock", "ranges", "--addresses", PIP_INDEX_URL=index.url.replace("//", "//user:secret@")
    )
    assert f'url = "{index.web.url}/files/base-1.0-py3-none-any.whl"' in addressed.stdout, addressed.stderr
    assert "secret" not in addressed.stdout

    folder = recipe.parents[1] / "pylocks"
    folder.mkdir()
    (folder / "pylock.toml").write_text(printed.stdout)
    recipe.write_text(RECIPE.replace('wants = ["app>=1"]', 'pylock = "pylocks/pylock.toml"'))
    done = layerlock("resolve", "ranges", PIP_INDEX_URL=index.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "recipes/packages/ranges.wheels.toml: nothing changed (2 wheels)\n"
    after = pins.read_text()
    assert [line for line in after.splitlines() if "sha256 =" in line] == [
        line for line in before.splitlines() if "sha256 =" in line
    ]
    (folder / "pylock.toml").write_text(printed.stdout + "\n")
    done = layerlock("show", "ranges")
    assert done.returncode == 4
    assert "were pinned for another `pylock`" in done.stderr
    (folder / "pylock.toml").write_text(printed.stdout.replace("created-by", "made-by"))
    done = layerlock("resolve", "ranges", PIP_INDEX_URL=index.url)
    assert done.returncode == 36
    assert "does not follow PEP 751: Missing required value" in done.stderr
    assert "at recipes/pylocks/pylock.toml (created-by)" in done.stderr


def test_what_has_no_ranges(layerlock: Run, repository: Path) -> None:
    done = layerlock("resolve", "librari")
    assert (done.returncode, "did you mean `library`?" in done.stderr) == (2, True)
    done = layerlock("resolve", "library")
    assert (done.returncode, "`library` has no requirements" in done.stderr) == (3, True)
    done = layerlock("pylock", "library")
    assert (done.returncode, "is not made from wheels" in done.stderr) == (2, True)
