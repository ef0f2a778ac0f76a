"""Layers with less bytecode: what is planned, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlock.errors import InvalidRecipe
from layerlock.io.repository import Repository
from layerlock.model.derivation import GuestRun
from tests.plan.test_goldens import change, planned

DEMO = "layers/demo.toml"
RULE = '[[no_bytecode]]\npatterns = ["**/rare.py"]\nreason = "Seldom imported."\n\n'


def tree(folder: Path) -> GuestRun:
    """Plan the layer demo; what makes its tree."""
    action = planned(Repository(folder), "demo")["layer-demo-tree"].action
    assert isinstance(action, GuestRun)
    return action


def test_less_bytecode_is_made_by_a_script_of_its_own(folder: Path) -> None:
    assert tree(folder).entry == "assemble.py"
    change(folder, DEMO, "[budget]", f"{RULE}[budget]")
    lean = tree(folder)
    assert lean.entry == "assemble_lean.py"
    assert (lean.task["columns"], lean.task["no_bytecode"]) == (True, ["**/rare.py"])
    change(folder, DEMO, "unchecked-hash", "none")
    assert tree(folder).entry == "assemble.py"


def test_it_is_for_python_3_11_and_later(folder: Path) -> None:
    change(folder, DEMO, '"unchecked-hash"', '"unchecked-hash"\ncolumns = false')
    assert tree(folder).task["columns"] is False
    change(folder, "runtimes/python3.11.toml", 'python = "3.11"', 'python = "3.10"')
    with pytest.raises(InvalidRecipe, match=r"of Python 3\.11 and later") as caught:
        tree(folder)
    assert caught.value.location is not None
    assert caught.value.location.file == "recipes/layers/demo.toml"
    change(folder, DEMO, "columns = false\n", "")
    assert tree(folder).entry == "older_python.py"
