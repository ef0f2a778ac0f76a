"""The driver's reading of patterns against the one of assembly, which is another program's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlock.layer.globs import selected

GUEST = Path(__file__).parents[2] / "src" / "layerlock" / "guest"
if str(GUEST) not in sys.path:
    sys.path.append(str(GUEST))

import globs  # noqa: E402 - guest code, by its plain name

PART = st.text(alphabet="ab*?[]!.-", min_size=1, max_size=4)
PATTERN = st.lists(PART | st.just("**"), min_size=1, max_size=4).map("/".join)
PATH = st.lists(st.text(alphabet="ab.-!", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


@given(PATTERN, PATH)
def test_both_select_the_same(pattern: str, path: str) -> None:
    """For every pattern that assembly takes."""
    try:
        expected = globs.matches(path, [pattern])
    except (globs.BadPattern, ValueError):
        return
    assert selected(path, [pattern]) == expected


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**/tests/**", "a/tests/b.py", True),
        ("tests/", "a/tests/b.py", True),
        ("tests/", "a/tests", False),
        ("lib/libatlas.so.3", "lib/libatlas.so.3", True),
        ("/lib/*.so", "x/lib/a.so", False),
        ("*.[ch]", "include/a.h", True),
        ("*.[!ch]", "include/a.h", False),
    ],
)
def test_patterns_as_recipes_have_them(pattern: str, path: str, expected: bool) -> None:
    """Anchored where a slash says so, anywhere else at any depth."""
    assert selected(path, [pattern]) is expected
    assert globs.matches(path, [pattern]) is expected
