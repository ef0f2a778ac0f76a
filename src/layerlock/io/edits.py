"""Changing a few values of a recipe, with its comments and layout left as they are."""

from __future__ import annotations

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
