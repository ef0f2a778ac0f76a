"""Recipes that cannot be planned, and recipes that are based on others."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlock.errors import InvalidRecipe, UsageError
from layerlock.io.repository import Repository
from layerlock.model.recipe import GitSource, ScriptBuild
from layerlock.plan.resolve import closure_of_layer, closure_of_package
from tests.plan.test_goldens import change


def test_a_circle_of_packages_is_shown(folder: Path) -> None:
    text = (folder / "recipes/packages/own.toml").read_text()
    (folder / "recipes/packages/own.toml").write_text(
        text.replace('environment = "root"', 'environment = "root"\ninputs = ["hello"]')
    )
    change(folder, "packages/hello.toml", '["python", "tools"]', '["own"]')
    with pytest.raises(InvalidRecipe, match="hello -> own -> hello") as caught:
        closure_of_layer(Repository(folder), "demo")
    assert caught.value.location is not None
    assert (caught.value.location.file, caught.value.location.line) == ("recipes/packages/hello.toml", 17)


def test_a_circle_of_environments_is_shown(folder: Path) -> None:
    change(folder, "environments/root-floor.toml", 'base = "root"', 'base = "root-floor"')
    with pytest.raises(InvalidRecipe, match="root-floor -> root-floor"):
        closure_of_package(Repository(folder), "hello")


def test_an_unknown_package_is_answered_with_the_nearest(folder: Path) -> None:
    change(folder, "layers/demo.toml", '["hello", "own"]', '["helo", "own"]')
    with pytest.raises(InvalidRecipe, match="no package `helo`") as caught:
        closure_of_layer(Repository(folder), "demo")
    assert caught.value.hint == "did you mean `hello`?"


def test_an_unknown_layer_without_a_near_one_is_answered_with_all(recipes: Repository) -> None:
    with pytest.raises(UsageError) as caught:
        closure_of_layer(recipes, "zzz")
    assert caught.value.hint == "known: demo, demo-small, lower, upper"


def test_a_recipe_based_on_another_changes_only_what_it_names(recipes: Repository) -> None:
    plain, git = recipes.package("hello"), recipes.package("hello-git")
    assert isinstance(git.sources[0], GitSource)
    assert isinstance(git.build, ScriptBuild)
    assert git.build == plain.build
    assert git.patches == plain.patches
    assert (git.package.version, git.name) == ("1.0", "hello-git")


def test_a_layer_based_on_another_changes_only_what_it_names(recipes: Repository) -> None:
    whole, small = recipes.layer("demo"), recipes.layer("demo-small")
    assert (small.budget.unzipped, small.budget.zipped) == (5_000_000, 5_000_000)
    assert small.layer.bytecode == "none"
    assert small.layer.packages == whole.layer.packages
    assert small.prune == whole.prune


@pytest.mark.parametrize(
    ("base", "problem"), [("hello-git", "is based on itself"), ("nothing", "names an unknown package")]
)
def test_a_base_that_cannot_be(folder: Path, base: str, problem: str) -> None:
    change(folder, "packages/hello-git.toml", 'base = "hello"', f'base = "{base}"')
    with pytest.raises(InvalidRecipe, match=problem) as caught:
        Repository(folder).package("hello-git")
    assert str(caught.value.location) == "recipes/packages/hello-git.toml:5 (package.base)"


@pytest.mark.parametrize(
    ("old", "new", "place", "message"),
    [
        ("sha256 =", "sha265 =", "(sources[0].sha265)", "unknown key; did you mean `sha256`?"),
        ('"-Os"', "2", "(build.variables.CFLAGS)", "must be text, not a whole number"),
        (
            '"1 GiB"',
            '"1 Gib"',
            "(build.limits.memory)",
            "must be a size such as `90 MB` or `3 GiB`, not '1 Gib'",
        ),
        ('"hello"', '"Hello"', "(package.name)", "must be a name of [a-z0-9._-], not 'Hello'"),
        ('"hello/0001', '"../0001', "(patches[0].file)", "must be a relative path without `..`"),
    ],
)
def test_mistakes_are_told_with_their_place(
    folder: Path, old: str, new: str, place: str, message: str
) -> None:
    change(folder, "packages/hello.toml", old, new)
    with pytest.raises(InvalidRecipe) as caught:
        Repository(folder).package("hello")
    assert message in caught.value.message
    assert str(caught.value.location).startswith("recipes/packages/hello.toml:")
    assert str(caught.value.location).endswith(place)


def test_what_is_not_toml_is_told_with_its_line(folder: Path) -> None:
    change(folder, "packages/hello.toml", 'version = "1.0"', 'version = "1.0')
    with pytest.raises(InvalidRecipe, match="not TOML") as caught:
        Repository(folder).package("hello")
    assert caught.value.location is not None
    assert caught.value.location.line == 3
