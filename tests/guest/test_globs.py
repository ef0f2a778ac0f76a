"""The pattern language of prune and keep rules."""

from __future__ import annotations

import pytest
from globs import BadPattern, matches


@pytest.mark.parametrize(
    ("pattern", "path", "selected"),
    [
        ("tests/", "a/b/tests/x.py", True),
        ("tests/", "a/tests", False),
        ("tests", "a/tests", True),
        ("tests", "a/mytests/x", False),
        ("*.pyi", "a/b/c.pyi", True),
        ("*.pyi", "c.pyi", True),
        ("*.pyi", "a.pyi/b", True),
        ("lib/*.a", "lib/x.a", True),
        ("lib/*.a", "lib/sub/x.a", False),
        ("lib/*.a", "other/lib/x.a", False),
        ("/lib", "lib/x", True),
        ("/lib", "a/lib/x", False),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("a/**", "a/x/y", True),
        ("a/**", "a", False),
        ("**/a/*.py", "q/a/z.py", True),
        ("lib[0-9].so", "x/lib7.so", True),
        ("lib[!0-9].so", "x/lib7.so", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("a+b(c).py", "a+b(c).py", True),
    ],
)
def test_pattern(pattern: str, path: str, selected: bool) -> None:
    assert matches(path, [pattern]) is selected


@pytest.mark.parametrize("pattern", ["", "/", "!a", "a\\b", "../a", "a//b", "a**/b", "[a", "./a"])
def test_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(BadPattern):
        matches("a", [pattern])
