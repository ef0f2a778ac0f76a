"""Layers whose objects are laid out for the runtime's memory pages: what is planned, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlock.errors import InvalidRecipe
from layerlock.io.repository import Repository
from layerlock.model.derivation import GuestRun
from tests.plan.test_goldens import change, planned

DEMO = "layers/demo.toml"


def test_it_is_a_script_of_its_own(folder: Path) -> None:
    change(folder, DEMO, '"unchecked-hash"', '"none"\nmax_page_size = 4096')
    action = planned(Repository(folder), "demo")["layer-demo-tree"].action
    assert isinstance(action, GuestRun)
    assert (action.entry, action.task["max_page_size"]) == ("assemble_paged.py", 4096)
    assert "pages.py" in {file.name for file in action.guest}


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ('"none"\nmax_page_size = 2048', "no processor has memory pages of 2048 bytes"),
        ('"none"\nmax_page_size = 12288', "no processor has memory pages of 12288 bytes"),
        ('"unchecked-hash"\nmax_page_size = 4096', "`max_page_size` is for layers without bytecode"),
    ],
)
def test_what_cannot_be_is_said(folder: Path, keys: str, why: str) -> None:
    change(folder, DEMO, '"unchecked-hash"', keys)
    with pytest.raises(InvalidRecipe, match=why) as caught:
        planned(Repository(folder), "demo")
    assert str(caught.value.location).startswith("recipes/layers/demo.toml")
