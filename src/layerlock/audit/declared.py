"""The licence that a package's metadata declares, as SPDX has it, where it says so without leaving a choice."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final

import tomli

from layerlock.audit.expressions import problem

_CLASSIFIER: Final = "License :: "


def declared(
    expression: str, text: str, classifiers: tuple[str, ...], terms: tuple[str, ...] = ()
) -> str | None:
    """Give the SPDX expression of what metadata says; None where it says nothing, or what several licences go by.

    Args:
        expression: its `License-Expression` (PEP 639), which is SPDX's by definition.
        text: its `License`, free text: an expression, a usual name, or the whole licence.
        classifiers: its classifiers, of which those of licences count.
        terms: the texts of its licence files, which tell one BSD licence from the other.
    """
    if expression and problem(expression) is None:
        return expression
    stated = " ".join(text.split())
    if stated and problem(stated) is None:
        return stated
    names = _names()
    if stated.casefold() in names["texts"]:
        return names["texts"][stated.casefold()]
    said = [each.rpartition(" :: ")[2].casefold() for each in classifiers if each.startswith(_CLASSIFIER)]
    if said == ["bsd license"]:
        return _bsd(" ".join(terms))
    known = {names["classifiers"].get(each) for each in said if each != "osi approved"}
    return known.pop() if len(known) == 1 else None


def _bsd(terms: str) -> str | None:
    """Tell the BSD licences apart by their words: the third clause is on the use of names."""
    words = " ".join(terms.casefold().split())
    if words.count("redistribution and use in source and binary forms") != 1:
        return None
    return "BSD-3-Clause" if "endorse or promote products" in words else "BSD-2-Clause"


@cache
def _names() -> dict[str, dict[str, str]]:
    text = files("layerlock").joinpath("data/licence-names.toml").read_text(encoding="utf-8")
    names: dict[str, Any] = tomli.loads(text)
    return names
