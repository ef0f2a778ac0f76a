"""`layerlock invoke` as far as it goes without a build: what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run

FUNCTION = """\
[function]
name = "greet"
summary = "A function for tests"
runtime = "python3.11"
environment = "small"
handler = "app.handler"
packages = ["library"]
"""


@pytest.fixture
def greet(repository: Path) -> Path:
    """Write the recipe of a function, and some files to send it."""
    folder = repository / "recipes" / "functions"
    folder.mkdir()
    (folder / "greet.toml").write_text(FUNCTION)
    (repository / "broken.json").write_text("{")
    (repository / "event.json").write_text("{}")
    return repository


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gret", "x.jpg"), "error: there is no function `gret`\nhint: functions: greet\n"),
        (("library", "x.jpg"), "error: there is no function `library`\n"),
        (("greet",), "error: name one of an IMAGE and an --event\n"),
        (("greet", "x.jpg", "--event", "event.json"), "error: name one of an IMAGE and an --event\n"),
        (("greet", "nowhere.jpg"), "nowhere.jpg cannot be read: No such file or directory\n"),
        (("greet", "--event", "broken.json"), "error: broken.json is no JSON: "),
        (("greet", "--event", "event.json", "--times", "0"), "error: --times is at least 1\n"),
    ],
)
def test_mistakes(layerlock: Run, greet: Path, arguments: tuple[str, ...], said: str) -> None:
    done = layerlock("invoke", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_function_needs_its_lock(layerlock: Run, greet: Path) -> None:
    done = layerlock("invoke", "greet", "--event", "event.json")
    assert done.returncode == 4
    assert "lockfiles/greet.lock" in done.stderr


def test_functions_are_listed(layerlock: Run, greet: Path) -> None:
    said = layerlock("show").stdout
    assert "functions:\n" in said
    assert "A function for tests (no lock yet)" in said


@pytest.mark.parametrize("handler", ["app", "app.", ".handler", "../app.handler", "app.1x"])
def test_what_is_no_handler(layerlock: Run, greet: Path, handler: str) -> None:
    recipe = greet / "recipes/functions/greet.toml"
    recipe.write_text(FUNCTION.replace("app.handler", handler))
    done = layerlock("lock", "greet")
    assert done.returncode == 3
    assert "function.handler" in done.stderr
