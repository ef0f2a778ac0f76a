"""Documents into records: what is accepted, and how each mistake is told."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from layerlock.model.decode import (
    AbsolutePath,
    Bytes,
    DecodeError,
    Name,
    RelativePath,
    Seconds,
    Sha256,
    TreeHash,
    Variable,
    decode,
    item,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cat:
    """A cat."""

    kind: Literal["cat"] = item("What it is.", default="cat")
    lives: int = item("How many.", default=9)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dog:
    """A dog."""

    kind: Literal["dog"] = item("What it is.")
    tricks: tuple[str, ...] = item("What it can do.", default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class House:
    """Everything that a document may hold."""

    name: Name = item("A name.")
    pets: tuple[Cat | Dog, ...] = item("A tagged union.", default=())
    guard: Cat | Dog = item("One of a union.", default=Cat())
    size: Bytes | None = item("A quantity.", default=None)
    rest: Seconds = item("Another.", default=60)
    colours: Mapping[Variable, str] = item("A table.", default={})
    built: datetime.date | None = item("A date.", default=None)
    warm: bool = item("A yes or no.", default=False)
    from_: str = item("A key that is a Python keyword.", default="")
    notes: Mapping[str, Any] = item("Anything.", default={})
    style: Literal["brick", "wood"] = item("A choice.", default="brick")


def test_a_whole_document() -> None:
    house = decode(
        House,
        {
            "name": "home",
            "pets": [{"lives": 7}, {"kind": "dog", "tricks": ["sit", "sit"]}],
            "guard": {"kind": "dog"},
            "size": "3 GiB",
            "rest": "2h",
            "colours": {"DOOR": "red"},
            "built": datetime.date(1980, 1, 1),
            "warm": True,
            "from": "brick",
            "notes": {"any": [1, {"thing": 2}]},
            "style": "wood",
        },
    )
    assert house == House(
        name="home",
        pets=(Cat(lives=7), Dog(kind="dog", tricks=("sit", "sit"))),
        guard=Dog(kind="dog"),
        size=3 << 30,
        rest=7200,
        colours={"DOOR": "red"},
        built=datetime.date(1980, 1, 1),
        warm=True,
        from_="brick",
        notes={"any": [1, {"thing": 2}]},
        style="wood",
    )


def test_defaults_stand_for_what_is_left_out() -> None:
    assert decode(House, {"name": "home"}) == House(name="home")


@pytest.mark.parametrize(
    ("change", "path", "problem"),
    [
        ({"nmae": "x"}, "nmae", "unknown key; did you mean `name`?"),
        ({"zzz": 1}, "zzz", "unknown key; known keys: built, colours, from, guard, name, notes, pets"),
        ({"from_": ""}, "from_", "unknown key; did you mean `from`?"),
        ({"name": 3}, "name", "must be a name of [a-z0-9._-], not a whole number"),
        ({"name": "Up"}, "name", "must be a name of [a-z0-9._-], not 'Up'"),
        ({"name": "a\n"}, "name", "must be a name of [a-z0-9._-], not 'a\\n'"),
        ({"pets": {}}, "pets", "must be an array, not a table"),
        ({"pets": [{}, {"kind": "cow"}]}, "pets[1].kind", "must be one of 'cat', 'dog', not 'cow'"),
        ({"pets": [{}, "dog"]}, "pets[1]", "must be a table, not text"),
        ({"pets": [{"lives": True}]}, "pets[0].lives", "must be a whole number, not true or false"),
        ({"pets": [{"kind": "dog", "tricks": [1]}]}, "pets[0].tricks[0]", "must be text, not a whole number"),
        ({"pets": [{"lifes": 1}]}, "pets[0].lifes", "unknown key; did you mean `lives`?"),
        ({"size": 90}, "size", "must be a size such as `90 MB` or `3 GiB`, not 90"),
        ({"size": "90 mb"}, "size", "must be a size such as `90 MB` or `3 GiB`, not '90 mb'"),
        ({"size": "-1 MB"}, "size", "must be a size such as `90 MB` or `3 GiB`, not '-1 MB'"),
        ({"rest": "1.5 h"}, "rest", "must be a duration such as `30 min`, not '1.5 h'"),
        ({"colours": {"a-b": ""}}, "colours.a-b", "must be a variable's name, not 'a-b'"),
        ({"colours": {"A": 1}}, "colours.A", "must be text, not a whole number"),
        ({"colours": []}, "colours", "must be a table, not an array"),
        ({"built": "1980-01-01"}, "built", "must be a date, not text"),
        ({"warm": 1}, "warm", "must be true or false, not a whole number"),
        ({"style": "straw"}, "style", "must be one of 'brick', 'wood', not 'straw'"),
        ({"style": ["brick"]}, "style", "must be one of 'brick', 'wood', not ['brick']"),
    ],
)
def test_mistakes_are_told_with_their_path(change: dict[str, object], path: str, problem: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode(House, {"name": "home"} | change)
    assert caught.value.path == path
    assert caught.value.problem.startswith(problem)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(DecodeError, match="the key `name` is missing"):
        decode(House, {})


def test_a_missing_tag_is_named() -> None:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Kennel:
        dog: Dog = item("A dog.")

    with pytest.raises(DecodeError, match="the key `kind` is missing") as caught:
        decode(Kennel, {"dog": {}})
    assert caught.value.path == "dog"


def test_a_document_that_is_no_table_is_refused() -> None:
    with pytest.raises(DecodeError, match="must be a table, not an array"):
        decode(House, [])


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """One field of each rule for text."""

    relative: RelativePath = item("A path.", default="a")
    absolute: AbsolutePath = item("A path.", default="/a")
    sha256: Sha256 = item("A hash.", default="0" * 64)
    tree: TreeHash = item("A hash.", default="sha256-" + "A" * 43 + "=")


@pytest.mark.parametrize("path", ["a", "a/b-1.c", "..a/b", ".a"])
def test_relative_paths(path: str) -> None:
    assert decode(Rules, {"relative": path}).relative == path


@pytest.mark.parametrize(
    "path",
    ["", "/a", "a/", "a//b", "..", ".", "a/..", "../a", "a/../b", "a/./b", "a b", "a\n", "a;b", "a\\b"],
)
def test_paths_that_could_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(DecodeError, match="must be a relative path"):
        decode(Rules, {"relative": path})


@pytest.mark.parametrize("path", ["", "a", "/", "/a/", "/a/../b", "/..", "/a/.", "//a"])
def test_absolute_paths_that_could_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(DecodeError, match="must be an absolute path"):
        decode(Rules, {"absolute": path})


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "0" * 63},
        {"sha256": "0" * 65},
        {"sha256": "A" * 64},
        {"tree": "sha256-AAAA="},
        {"tree": "0" * 64},
    ],
)
def test_hashes_of_another_form_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(DecodeError):
        decode(Rules, change)
