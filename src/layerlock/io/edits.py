"""Changing a few values of a recipe, or adding tables to it, with its comments and layout left as they are."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import tomlkit
import tomlkit.exceptions

from layerlock.errors import InvalidRecipe, Location

Steps = tuple[str | int, ...]
"""The way to a value: `("sources", 0, "sha256")`."""


def edited(text: str, values: Mapping[Steps, str | Sequence[str]], shown: str) -> str:
    """Give the text of a TOML document with some values replaced; a list is changed item by item.

    Raises:
        InvalidRecipe: it is not TOML, or has no such value; `shown` is what messages call it.
    """
    try:
        document: Any = tomlkit.parse(text)
    except tomlkit.exceptions.TOMLKitError as error:
        raise InvalidRecipe(f"not TOML: {error}", location=Location(file=shown)) from None
    for steps, value in values.items():
        place = document
        try:
            for step in steps[:-1]:
                place = place[step]
            present = place[steps[-1]]
        except (KeyError, IndexError):
            dotted = ".".join(map(str, steps))
            raise InvalidRecipe(f"there is no `{dotted}` to change", location=Location(file=shown)) from None
        if isinstance(value, str):
            place[steps[-1]] = value
            continue
        for index, item in enumerate(value):
            if index < len(present):
                present[index] = item
            else:
                present.append(item)
        del present[len(value) :]
    return tomlkit.dumps(document)


def with_tables(text: str, key: str, tables: Sequence[str], before: Sequence[str], shown: str) -> str:
    """Give the text of a TOML document with tables `[[key]]` added, comments of theirs included, after those it has.

    Where it has none they go before the first of the keys `before` that it has, else to its end.

    Raises:
        InvalidRecipe: the result would not be the document with these tables; `shown` is what messages call it.
    """
    lines = text.rstrip("\n").split("\n")
    heads = [
        (number, found[1].partition(".")[0])
        for number, line in enumerate(lines)
        if (found := re.match(r"\[{1,2}([A-Za-z_.-]+)\]", line))
    ]
    mine = [index for index, (_, name) in enumerate(heads) if name == key]
    after = heads[mine[-1] + 1 :] if mine else [head for head in heads if head[1] in before]
    place = after[0][0] if after else len(lines)
    # A comment right above a table is that table's.
    while place and after and lines[place - 1].startswith("#"):
        place -= 1
    added = [line for table in tables for line in (*table.rstrip("\n").split("\n"), "")]
    head, tail = "\n".join(lines[:place]).rstrip("\n"), "\n".join(lines[place:])
    made = "\n".join((head, "", *added, tail)).rstrip("\n") + "\n"
    wanted = tomllib.loads(text)
    wanted[key] = [*wanted.get(key, ()), *(row for table in tables for row in tomllib.loads(table)[key])]
    try:
        found_again = tomllib.loads(made)
    except tomllib.TOMLDecodeError as error:
        raise InvalidRecipe(f"tables cannot be added: {error}", location=Location(file=shown)) from None
    if found_again != wanted:
        raise InvalidRecipe(
            f"`[[{key}]]` tables cannot be added where those it has stand", location=Location(file=shown)
        )
    return made
