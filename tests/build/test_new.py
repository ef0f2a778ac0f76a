"""Recipes started from an index on loopback: written, locked, built in the sandbox; or nothing at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlock.cli.reach import make_reach
from layerlock.cli.settings import Settings
from layerlock.errors import FetchError, LayerlockError, Unresolvable, UsageError
from layerlock.io.repository import Repository
from layerlock.workflows.building import build_layer
from layerlock.workflows.choosing import Wanted, build_environment, choose, compiling_python
from layerlock.workflows.driver import Driver
from layerlock.workflows.starting import Started, start
from tests.build.conftest import ROOT, Bench
from tests.sources.test_distributions import source_of
from tests.sources.web import served_web
from tests.sources.wheels import Index, metadata_of

pytestmark = pytest.mark.sandbox

SITE = "python/lib/python3.9/site-packages"
PYPROJECT = """\
[build-system]
requires = ["setuptools>=61,<70"]
build-backend = "setuptools.build_meta"

[project]
name = "layerlock-tiny-source"
version = "1.0"

[tool.setuptools]
py-modules = ["layerlock_tiny_source"]
"""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with served_web(tmp_path / "web") as web:
        made = Index(web)
        made.add("layerlock-tiny-pure", "1.0")
        made.add("layerlock-tiny-app", "1.0", "layerlock-tiny-pure>=1", "absent; extra == 'more'")
        made.add("layerlock-tiny-lost", "1.0", "layerlock-tiny-nowhere")
        metadata = metadata_of("layerlock-tiny-source", "1.0", ["layerlock-tiny-pure"]).decode().rstrip()
        data = source_of(
            {
                "PKG-INFO": f"{metadata}\nLicense: MIT\n\n",
                "pyproject.toml": PYPROJECT,
                "layerlock_tiny_source.py": "VALUE = 7\n",
                "layerlock_tiny_source.egg-info/top_level.txt": "layerlock_tiny_source\n",
            }
        )
        made.put("layerlock-tiny-source", "layerlock-tiny-source-1.0.tar.gz", data, sha256_of(data))
        yield made


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def driver(bench: Bench, index: Index) -> Driver:
    return bench.driver(environment={**os.environ, "PIP_EXTRA_INDEX_URL": index.url})


def started(bench: Bench, index: Index, wanted: Wanted) -> Started:
    environment = {**os.environ, "PIP_EXTRA_INDEX_URL": index.url}
    settings = Settings(repository=bench.folder, store=bench.store, environment=environment)
    return start(driver(bench, index), wanted, lambda: make_reach(settings))


def files_of(bench: Bench) -> set[str]:
    return {str(path.relative_to(bench.folder)) for path in bench.folder.rglob("*") if path.is_file()}


def test_a_wheel_of_pure_python_becomes_a_layer(bench: Bench, index: Index) -> None:
    before = files_of(bench)
    made = started(bench, index, Wanted(requirement="layerlock-tiny-pure==1.0"))
    assert (made.kind, made.certain, made.needs) == ("wheel", False, ())
    assert files_of(bench) - before == set(made.files)
    assert set(made.files) == {
        "recipes/packages/layerlock-tiny-pure.toml",
        "recipes/smoke/layerlock-tiny-pure.py",
        "recipes/layers/layerlock-tiny-pure.toml",
        "lockfiles/layerlock-tiny-pure.lock",
    }
    # A second time, and under a name that others have: nothing is overwritten.
    text = (bench.folder / made.files[0]).read_text()
    for wanted in (
        Wanted(requirement="layerlock-tiny-pure"),
        Wanted(requirement="layerlock-tiny-app", package="tiny-c"),
        Wanted(requirement="layerlock-tiny-app", package="tiny"),
        Wanted(requirement="layerlock-tiny-app", layer="hello"),
        Wanted(requirement="layerlock-tiny-app", package="../x"),
    ):
        with pytest.raises(UsageError):
            started(bench, index, wanted)
    assert (bench.folder / made.files[0]).read_text() == text
    assert files_of(bench) - before == set(made.files)


def test_another_version_of_what_is_there_has_a_name_of_its_own(bench: Bench, index: Index) -> None:
    """Asked for by `==`; the same version, and ranges, are refused as ever."""
    index.add("layerlock-tiny-pure", "1.1")
    first = started(bench, index, Wanted(requirement="layerlock-tiny-pure==1.0"))
    second = started(bench, index, Wanted(requirement="layerlock-tiny-pure==1.1"))
    assert (first.package, second.package) == ("layerlock-tiny-pure", "layerlock-tiny-pure-1.1")
    assert set(second.files) == {file.replace("-pure", "-pure-1.1") for file in first.files}
    for requirement in ("==1.0", "==1.1", "==1.*", ">=1.1", ""):
        with pytest.raises(UsageError, match="is there already"):
            started(bench, index, Wanted(requirement=f"layerlock-tiny-pure{requirement}"))
    assert driver(bench, index).repository.layer("layerlock-tiny-pure-1.1").layer.packages == (
        second.package,
    )


def test_a_source_is_built_by_what_it_names_and_goes_into_a_layer_that_is_there(
    bench: Bench, index: Index, tmp_path: Path
) -> None:
    # The first is a wheel, and brings the wheels that it needs.
    assert started(bench, index, Wanted(requirement="layerlock-tiny-app", layer="several")).layer == "several"
    app = driver(bench, index).repository.package("layerlock-tiny-app")
    assert [source.name for source in app.sources] == ["layerlock-tiny-app", "layerlock-tiny-pure"]
    made = started(bench, index, Wanted(requirement="layerlock-tiny-source", layer="several"))
    assert (made.kind, made.licence, made.certain) == ("source", "MIT", True)
    assert made.needs == ("layerlock-tiny-pure",)
    layer = driver(bench, index).repository.layer("several")
    assert layer.layer.packages == ("layerlock-tiny-app", "layerlock-tiny-source")
    assert [test.name for test in layer.smoke] == [
        "layerlock-tiny-app-imports",
        "layerlock-tiny-source-imports",
    ]
    tools = driver(bench, index).repository.package("layerlock-tiny-source-build-tools")
    assert {"setuptools", "build", "installer"} <= {source.name for source in tools.sources}
    assert tools.package.license == "Apache-2.0 AND (Apache-2.0 OR BSD-2-Clause) AND MIT"
    built = build_layer(driver(bench, index), "several", tmp_path / "dist")
    assert built.unzipped > 0


@pytest.mark.parametrize(
    ("requirement", "error"),
    [
        ("layerlock-tiny-lost", Unresolvable),  # found, and what it needs is not
        ("layerlock-tiny-absent", FetchError),
        ("layerlock-tiny-pure>9", Unresolvable),
    ],
)
def test_where_anything_fails_nothing_is_left(
    bench: Bench, index: Index, requirement: str, error: type[LayerlockError]
) -> None:
    before = files_of(bench)
    with pytest.raises(error):
        started(bench, index, Wanted(requirement=requirement, layer="tiny"))
    assert files_of(bench) == before


@pytest.mark.parametrize(
    ("runtime", "environment", "python"),
    [
        ("python3.11", ("bullseye-glibc2.26", "2.31"), "python"),
        ("python3.9", ("bullseye-glibc2.26", "2.31"), "python3.9-from-source"),
    ],
)
def test_what_sources_are_compiled_in(runtime: str, environment: tuple[str, str], python: str) -> None:
    """Of the repository's own recipes: the C library's floor is that of the runtime, and the Python has headers."""
    recipes = Repository(ROOT)
    chosen = choose(recipes, Wanted(requirement="x", runtime=runtime), "x", "x")
    assert build_environment(recipes, "", chosen) == environment
    assert compiling_python(recipes, chosen.runtime) == python


def test_what_cannot_be_chosen() -> None:
    recipes = Repository(ROOT)
    for wanted, layer in (
        (Wanted(requirement="x", architecture="arm64", only="source", runtime="python3.9"), "x"),
        (Wanted(requirement="x", runtime="python3.9"), "cv"),
        (Wanted(requirement="x", runtime="python1.5"), "x"),
    ):
        with pytest.raises(UsageError):
            choose(recipes, wanted, "x", layer)
    with pytest.raises(UsageError, match="no environment `nowhere`"):
        build_environment(recipes, "nowhere", choose(recipes, Wanted(requirement="x"), "x", "x"))
