"""Tables added to a recipe: everything else stays as it was written."""

from __future__ import annotations

import pytest

from layerlock.errors import InvalidRecipe
from layerlock.io.edits import with_tables

TABLE = '# Saves much.\n[[prune]]\nname = "new"\npatterns = ["b/**"]\n'
OLD = '[[prune]]\nname = "old"\npatterns = ["a/**"]\n'
HEAD = '# A recipe.\n[layer]\nname = "x" # so called\n'
SMOKE = '# It is tried.\n[[smoke]]\nname = "s"\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((HEAD, OLD, SMOKE), (HEAD, OLD, TABLE, SMOKE)),
        ((HEAD, SMOKE), (HEAD, TABLE, SMOKE)),
        ((HEAD, OLD), (HEAD, OLD, TABLE)),
        ((HEAD,), (HEAD, TABLE)),
        ((SMOKE, OLD, HEAD), (SMOKE, OLD, TABLE, HEAD)),
    ],
    ids=["between", "before-others", "after-its-own", "at-the-end", "wherever-they-are"],
)
def test_tables_go_after_those_that_are_there(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    assert with_tables("\n".join(before), "prune", [TABLE], ("smoke",), "x.toml") == "\n".join(after)


def test_a_document_of_another_form_is_left_alone() -> None:
    """Where the rules are written as one list, a table after it would not be of the list."""
    with pytest.raises(InvalidRecipe, match="tables cannot be added"):
        with_tables('prune = [{ name = "old" }]\n' + HEAD, "prune", [TABLE], (), "x.toml")
