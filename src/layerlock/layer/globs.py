"""The patterns of a layer's recipe (docs/recipes.md), for telling which files of a layer a rule means.

They are gitignore's without negation and escapes: `**` stands for any number of folders, a pattern without `/` for
that name anywhere, and a pattern that selects a folder for all that is in it. Assembly has refused bad ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache


def selected(path: str, patterns: Iterable[str]) -> bool:
    """Whether some pattern selects `path`, which is relative to the layer's top."""
    return any(_compiled(pattern).fullmatch(path) for pattern in patterns)


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    body = pattern.rstrip("/")
    parts = body.lstrip("/").split("/")
    if "/" not in body:
        parts = ["**", *parts]
    text = "".join(_part(part, last=index == len(parts) - 1) for index, part in enumerate(parts))
    return re.compile(text + ("/.*" if body != pattern else "(?:/.*)?"), re.DOTALL)


def _part(part: str, *, last: bool) -> str:
    if part == "**":
        return ".+" if last else "(?:[^/]+/)*"
    made = ""
    rest = part
    while rest:
        inside = re.match(r"\[(!?)(.[^]]*)\]", rest)
        if inside is not None:
            escaped = re.sub(r"([\\^\[&~|])", r"\\\1", inside[2])
            made += f"[{'^/' if inside[1] else ''}{escaped}]"
            rest = rest[inside.end() :]
            continue
        made += {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0]))
        rest = rest[1:]
    return made if last else made + "/"
