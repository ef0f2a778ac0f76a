"""TOML files into records: parsing once, at the edge, with errors that name file, line and dotted path."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import tomli

from layerlock.errors import InvalidRecipe, Location
from layerlock.model.decode import DecodeError, decode

T = TypeVar("T")


def read_table(path: Path, shown: str) -> dict[str, Any]:
    """Parse a TOML file; `shown` is what messages call it.

    Raises:
        InvalidRecipe: the file is missing, not UTF-8 or not TOML.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise InvalidRecipe("there is no such file", location=Location(file=shown)) from None
    return parse_table(text, shown)


def parse_table(text: bytes, shown: str) -> dict[str, Any]:
    """Parse the text of a TOML file; `shown` is what messages call it.

    Raises:
        InvalidRecipe: it is not UTF-8 or not TOML.
    """
    try:
        # Line ends as TOML and text files have them, whichever system wrote the file.
        return tomli.loads(text.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n"))
    except UnicodeDecodeError:
        raise InvalidRecipe("the file is not UTF-8 text", location=Location(file=shown)) from None
    except tomli.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else None
        raise InvalidRecipe(f"not TOML: {error}", location=Location(file=shown, line=line)) from None


def read_record(cls: type[T], table: Mapping[str, Any], path: Path, shown: str) -> T:
    """Make a record of a parsed document that stands in `path`.

    Raises:
        InvalidRecipe: the document does not fit the record; the error names line and dotted path.
    """
    try:
        return decode(cls, table)
    except DecodeError as error:
        raise InvalidRecipe(error.problem, location=locate(path, shown, error.path)) from None


def locate(path: Path, shown: str, dotted: str) -> Location:
    """Find the line of a dotted path such as `sources[1].sha256`, as near as the text shows it."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    return Location(file=shown, line=_line(text.splitlines(), dotted), path=dotted)


def _line(lines: list[str], dotted: str) -> int | None:
    """Give the line of the longest leading part of the path that can be found.

    tomli keeps no positions, so headers and keys are looked for as text; a multi-line string that happens to
    hold something that looks like a header can mislead it, which costs a wrong line in a message and no more.
    """
    steps = [(found[1], found[2]) for found in re.finditer(r"([^.\[\]]+)|\[(\d+)\]", dotted)]
    header: list[str] = []
    best: int | None = None
    position = 0
    for index, (name, number) in enumerate(steps):
        if number:
            continue
        header.append(name)
        wanted = re.escape(".".join(header))
        following = steps[index + 1][1] if index + 1 < len(steps) else ""
        matches = [i for i, line in enumerate(lines) if re.match(rf"\s*\[\[?\s*{wanted}\s*\]\]?", line)]
        if matches:
            chosen = int(following or 0)
            position = matches[chosen] if chosen < len(matches) else matches[0]
            best = position + 1
            continue
        for i in range(position, len(lines)):
            if i > position and re.match(r"\s*\[", lines[i]) and best is not None:
                break
            if re.match(rf"""\s*["']?{re.escape(name)}["']?\s*=""", lines[i]):
                position, best = i, i + 1
                break
    return best
