"""Layers that are used with others, and layers for another processor: what is planned, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layerlock.errors import InvalidRecipe, LayerlockError, LayersOverlap
from layerlock.io.repository import Repository
from layerlock.model.derivation import GuestRun
from layerlock.plan.layers import OLDER_PYTHON
from layerlock.plan.resolve import Plan, closure_of_layer, plan_layer
from layerlock.plan.stack import beneath
from tests.plan.conftest import CODE, pins_of
from tests.plan.test_goldens import change, planned


def task_of(plan: Plan, name: str) -> Any:
    """Give what a derivation's guest script is told."""
    action = plan[name].action
    assert isinstance(action, GuestRun)
    return action.task


def mounts(plan: Plan, name: str) -> dict[str, str | None]:
    """Give what a derivation sees where."""
    return {item.name: item.mount for item in plan[name].inputs}


def another(folder: Path, name: str, **keys: str) -> None:
    """Write a layer like `upper`, with some keys otherwise."""
    text, _, _ = (folder / "recipes/layers/upper.toml").read_text().partition("\n[[smoke]]")
    keys = {"name": f'"{name}"', **keys}
    lines = [line for line in text.splitlines() if line.split(" = ")[0] not in keys]
    start = lines.index("[layer]") + 1
    lines[start:start] = [f"{key} = {value}" for key, value in keys.items()]
    (folder / f"recipes/layers/{name}.toml").write_text("\n".join(lines))


def test_bytecode_for_an_older_python_is_assembled_apart(folder: Path) -> None:
    """And only that; guest code of a past revision, which lacks the script, is planned as it was."""
    change(folder, "layers/lower.toml", "loaded_before =", 'bytecode = "unchecked-hash"\nloaded_before =')
    entries = {}
    for name, code in (("now", CODE), ("then", {k: v for k, v in CODE.items() if k != OLDER_PYTHON})):
        repository = Repository(folder)
        pins = pins_of(closure_of_layer(repository, "upper"), repository)
        plan = plan_layer(repository, "upper", code, pins)
        for layer in ("lower", "upper"):
            action = plan[f"layer-{layer}-tree"].action
            assert isinstance(action, GuestRun)
            assert {file.name for file in action.guest} >= {action.entry, "bytecode.py"}
            entries[name, layer] = action.entry
    assert entries == {
        ("now", "lower"): "older_python.py",
        ("now", "upper"): "assemble.py",
        ("then", "lower"): "assemble.py",
        ("then", "upper"): "assemble.py",
    }


def test_a_layer_sees_what_stands_beneath_it(recipes: Repository) -> None:
    plan = planned(recipes, "upper")
    assert [d.name for d in plan.derivations][-5:] == [
        "layer-lower-tree",
        "layer-upper-tree",
        "layer-upper-zip",
        "layer-upper-merged",
        "layer-upper-smoke",
    ]
    assert task_of(plan, "layer-upper-tree")["beneath"] == [
        {"name": "lower", "path": "/deps/layer-lower-tree"}
    ]
    assert mounts(plan, "layer-upper-tree")["layer-lower-tree"] == "/deps/layer-lower-tree"
    assert mounts(plan, "layer-upper-smoke")["layer-upper-merged"] == "/opt"
    assert "layer-upper-tree" not in mounts(plan, "layer-upper-smoke")


def test_a_change_beneath_moves_what_stands_on_it(folder: Path, recipes: Repository) -> None:
    before = planned(recipes, "upper").planned
    change(folder, "packages/mended-arm64.toml", "cp -r", "cp -a")
    after = planned(Repository(folder), "upper").planned
    assert {name for name in before if before[name] != after[name]} == {
        "mended-arm64",
        "layer-lower-tree",
        "layer-upper-tree",
        "layer-upper-zip",
        "layer-upper-merged",
        "layer-upper-smoke",
    }


def test_a_layer_of_another_processor_is_assembled_here_and_tried_by_an_emulator(recipes: Repository) -> None:
    plan = planned(recipes, "lower")
    tree, smoke = plan["layer-lower-tree"], plan["layer-lower-smoke"]
    assert (tree.system, smoke.system) == ("x86_64-linux", "aarch64-linux")
    task = task_of(plan, "layer-lower-tree")
    assert (task["architecture"], task["strip_program"]) == ("arm64", "aarch64-linux-gnu-strip")
    assert task["loaded_before"] == ["libsome.so.1"]
    assert "beneath" not in task
    assert isinstance(smoke.action, GuestRun)
    emulator = "/deps/emulator/bin/emulate"
    assert smoke.action.command == (emulator, "/var/lang/bin/python3.9", "-s", "-E", "-B")
    assert smoke.action.task["runtime"]["launcher"] == [emulator]  # type: ignore[call-overload,index]
    assert smoke.action.task["tests"][0]["timeout"] == 300  # type: ignore[call-overload,index]
    # The root has its own Python: the package is for assembling.
    assert mounts(plan, "layer-lower-smoke") == {
        "environment-root-arm64": None,
        "emulator": "/deps/emulator",
        "layer-lower-tree": "/opt",
    }
    assert mounts(plan, "layer-lower-tree")["python"] == "/var/lang"


def test_layers_come_in_the_order_of_functions_each_once(folder: Path) -> None:
    another(folder, "other", **{"with": '["lower"]', "packages": "[]"})
    another(folder, "top", **{"with": '["lower", "other"]', "packages": "[]"})
    recipes = Repository(folder)
    assert [layer.name for layer in beneath(recipes.layer("top"), recipes)] == ["lower", "other"]


@pytest.mark.parametrize(
    ("keys", "expected", "says"),
    [
        ({"with": '["lwer"]'}, InvalidRecipe, "no layer `lwer`"),
        ({"with": '["wrong"]'}, InvalidRecipe, "in a circle: wrong -> wrong"),
        (
            {"with": '["demo"]'},
            InvalidRecipe,
            "is for python3.9, and `demo`, which it is used with, for python3.11",
        ),
        (
            {"architecture": '"x86_64"'},
            InvalidRecipe,
            "for x86_64, and `lower`, which it is used with, for arm64",
        ),
        (
            {"packages": '["own", "mended-arm64"]'},
            LayersOverlap,
            "the layers lower and wrong both hold the package `mended-arm64`",
        ),
        (
            {"packages": '["wheel-arm64"]'},
            LayersOverlap,
            "both hold some-thing, from the wheel some_thing-1-cp39-cp39-manylinux2014_aarch64",
        ),
        ({"with": '["lower", "one", "two"]'}, InvalidRecipe, "has at most 3"),
    ],
)
def test_what_cannot_be_used_together(
    folder: Path, keys: dict[str, str], expected: type[LayerlockError], says: str
) -> None:
    for name in ("one", "two"):
        another(folder, name, **{"with": "[]", "packages": "[]"})
    another(folder, "wrong", **keys)
    with pytest.raises(expected) as caught:
        closure_of_layer(Repository(folder), "wrong")
    assert says in caught.value.message
    assert caught.value.location is not None
    assert caught.value.location.file == "recipes/layers/wrong.toml"
    assert caught.value.location.line is not None


def test_a_processor_without_a_stand_in_is_refused(folder: Path) -> None:
    change(folder, "layers/demo.toml", 'environment = "root"', 'environment = "root"\narchitecture = "arm64"')
    with pytest.raises(
        InvalidRecipe, match=r"nothing stands in for the runtime `python3\.11` on arm64"
    ) as caught:
        closure_of_layer(Repository(folder), "demo")
    assert caught.value.hint == "add a row of `[[stand_ins]]` to recipes/runtimes/python3.11.toml"
