r"""The one pattern language of prune and keep rules: gitignore's, without its surprises.

A pattern is matched against a path relative to the layer's root, with `/` between parts:

- `*` matches any characters but `/`, `?` one character but `/`, `[abc]`, `[a-z]` and `[!abc]` one of (not)
  those;
- `**` as a whole part matches any number of parts, none included: `a/**/b`, `**/tests`, `lib/**`;
- a pattern without `/` matches that name at any depth, as if written `**/NAME`;
- a pattern with a `/` at the start or in the middle is anchored at the root; a leading `/` is dropped;
- a trailing `/` makes it match directories only;
- a pattern that matches a directory matches everything below it.

Unlike gitignore there is no negation (`keep` does that) and no escape by backslash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from re import Pattern


class BadPattern(ValueError):
    """A pattern does not follow the language above."""


@cache
def compile_pattern(pattern: str) -> Pattern[str]:
    """The regular expression that matches a path selected by `pattern`, or anything below such a path.

    Raises BadPattern for an empty pattern, `.` or `..` parts, a backslash, a `!` in front, `**` beside other
    characters, or a bracket that is never closed.
    """
    body = pattern.rstrip("/")
    only_directory = body != pattern
    anchored = "/" in body
    parts = body.lstrip("/").split("/")
    if not body.lstrip("/") or pattern.startswith("!") or "\\" in pattern:
        raise BadPattern(f"not a pattern: {pattern!r}")
    if not anchored:
        parts = ["**", *parts]
    expression = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part in ("", ".", ".."):
            raise BadPattern(f"a part of the pattern is empty, '.' or '..': {pattern!r}")
        if part == "**":
            expression += ".+" if last else "(?:[^/]+/)*"
            continue
        if "**" in part:
            raise BadPattern(f"'**' stands beside other characters in a part: {pattern!r}")
        expression += _part(part, pattern) + ("" if last else "/")
    tail = "/.*" if only_directory else "(?:/.*)?"
    return re.compile(expression + tail, re.DOTALL)


def matches(path: str, patterns: Iterable[str]) -> bool:
    """Whether any pattern selects `path`, a path relative to the layer's root without a leading `/`."""
    return any(compile_pattern(pattern).fullmatch(path) for pattern in patterns)


def _part(part: str, pattern: str) -> str:
    expression, index = "", 0
    while index < len(part):
        character = part[index]
        if character == "*":
            expression += "[^/]*"
        elif character == "?":
            expression += "[^/]"
        elif character == "[":
            end = part.find("]", index + 2)
            if end < 0:
                raise BadPattern(f"'[' is never closed: {pattern!r}")
            inside = part[index + 1 : end]
            negated = inside.startswith("!")
            inside = re.sub(r"([\\^\[&~|])", r"\\\1", inside[1:] if negated else inside)
            expression += f"[{'^/' if negated else ''}{inside}]"
            index = end
        else:
            expression += re.escape(character)
        index += 1
    return expression
