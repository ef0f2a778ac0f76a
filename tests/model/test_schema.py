"""The JSON Schema says of a document what `decode` says of it; what is committed is current."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli
from jsonschema import Draft202012Validator

from layerlock.io.documents import read_table
from layerlock.model.decode import DecodeError, decode
from layerlock.model.schema import DOCUMENTS, schema
from tools import reference

ROOT = Path(__file__).parents[2]
REPOSITORIES = (ROOT, ROOT / "tests/plan/repository", ROOT / "tests/workbench")


def documents(kind: str) -> Iterator[Path]:
    """Give every document of a kind in the repository and in the tests' own ones."""
    for root in REPOSITORIES:
        if kind == "lock":
            yield from sorted((root / "lockfiles").glob("*.lock"))
        elif kind == "published":
            yield ROOT / "tests/publish/published.toml"
        elif kind in ("caches", "licences"):
            yield from (root / "recipes").glob(f"{kind}.toml")
        else:
            found = sorted((root / "recipes" / f"{kind}s").glob("*.toml"))
            pins = (".debs.toml", ".image.toml", ".wheels.toml")
            yield from (path for path in found if not path.name.endswith(pins))


def in_json(table: dict[str, Any]) -> Any:
    """Give a TOML table as JSON has it: dates become text."""
    return json.loads(json.dumps(table, default=lambda date: date.isoformat()))


def problems(kind: str, table: dict[str, Any]) -> list[str]:
    """Give what a schema finds wrong."""
    return [
        f"{e.json_path}: {e.message}" for e in Draft202012Validator(schema(kind)).iter_errors(in_json(table))
    ]


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_schemas_are_schemas(kind: str) -> None:
    Draft202012Validator.check_schema(schema(kind))


def test_what_is_generated_is_current() -> None:
    stale = [
        str(path) for path, text in reference.generated() if not path.is_file() or path.read_text() != text
    ]
    assert stale == [], "if the change is meant, run: ./nox -s schema"


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_every_document_here_fits(kind: str) -> None:
    found = {str(path): problems(kind, tomli.loads(path.read_text())) for path in documents(kind)}
    assert all(not wrong for wrong in found.values()), found
    assert found or kind == "lock"


@pytest.mark.parametrize(("kind", "form"), [("environment", "debs"), ("package", "wheels")])
def test_pins_fit_their_recipe(kind: str, form: str) -> None:
    pinned = sorted((ROOT / f"recipes/{kind}s").glob(f"*.{form}.toml"))
    for pins in pinned:
        recipe = pins.with_name(pins.name.replace(f".{form}", ""))
        table = read_table(recipe, recipe.name) | read_table(pins, pins.name)
        assert problems(kind, table) == []
    assert pinned


def whole(kind: str) -> dict[str, Any]:
    """Give a document of a kind that is based on no other."""
    names = {"package": "hello", "layer": "demo", "environment": "root", "runtime": "python3.11"}
    return tomli.loads((ROOT / f"tests/plan/repository/recipes/{kind}s/{names[kind]}.toml").read_text())


def spoilt(table: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give a document with one mistake, once for every place that can hold one."""

    def places(value: object, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
        entries: list[tuple[str | int, object]] = []
        if isinstance(value, dict):
            entries = list(value.items())
        elif isinstance(value, list):
            entries = list(enumerate(value))
        for key, inner in entries:
            yield (*path, key)
            yield from places(inner, (*path, key))

    def at(copied: Any, path: tuple[str | int, ...]) -> Any:
        for step in path:
            copied = copied[step]
        return copied

    for path in places(table, ()):
        for wrong in (3.5, {"no-such-key": 1}):
            made = copy.deepcopy(table)
            at(made, path[:-1])[path[-1]] = wrong
            yield f"{path} = {wrong}", made
        made = copy.deepcopy(table)
        del at(made, path[:-1])[path[-1]]
        yield f"{path} left out", made
        if isinstance(at(table, path), dict):
            made = copy.deepcopy(table)
            at(made, path)["no-such-key"] = 1
            yield f"{path} with another key", made


@pytest.mark.parametrize("kind", ["package", "layer", "environment", "runtime"])
def test_schema_and_decoder_agree_on_mistakes(kind: str) -> None:
    seen = {True: 0, False: 0}
    for what, table in spoilt(whole(kind)):
        try:
            decode(DOCUMENTS[kind], table)
            fits = True
        except DecodeError:
            fits = False
        assert (problems(kind, table) == []) == fits, what
        seen[fits] += 1
    assert seen[True] > 3
    assert seen[False] > 10


def test_a_change_of_another_recipe_may_leave_keys_out() -> None:
    assert problems("package", {"package": {"name": "a", "base": "b"}}) == []
    assert problems("package", {"package": {"name": "a", "base": "b"}, "build": {"inputs": ["c"]}}) == []
    assert problems("package", {"package": {"name": "a"}}) != []
    assert problems("package", {"package": {"name": "a", "base": "b"}, "build": {"input": ["c"]}}) != []
    # Arrays are replaced whole, so what stands in them must be whole.
    assert problems("package", {"package": {"name": "a", "base": "b"}, "sources": [{"kind": "git"}]}) != []
