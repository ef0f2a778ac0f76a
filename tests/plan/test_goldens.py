"""The planned hashes of a small repository, which stand beside its recipes.

A planned hash that changes orphans every lock that was ever written: it is a decision, not an accident.
"""

from __future__ import annotations

import os
from pathlib import Path

from layerlock.io.repository import Repository
from layerlock.plan.resolve import Plan, closure_of_layer, closure_of_package, plan_layer, plan_package
from tests.plan.conftest import CODE, HERE, pins_of

GOLDENS = HERE / "repository" / "goldens"
UPDATE = "LAYERLOCK_UPDATE_SNAPSHOTS=1 pytest tests/plan"


def planned(recipes: Repository, layer: str) -> Plan:
    """Plan a layer of the repository."""
    return plan_layer(recipes, layer, CODE, pins_of(closure_of_layer(recipes, layer), recipes))


def test_planned_hashes_are_the_golden_ones(recipes: Repository) -> None:
    hashes: dict[str, str] = {}
    for layer in recipes.targets():
        hashes |= planned(recipes, layer).planned
    for package in ("hello-git", "in-image"):
        pins = pins_of(closure_of_package(recipes, package), recipes)
        hashes |= plan_package(recipes, package, CODE, pins).planned
    text = "".join(f"{name} {hashes[name]}\n" for name in sorted(hashes))
    if os.environ.get("LAYERLOCK_UPDATE_SNAPSHOTS"):
        GOLDENS.write_text(text)
    assert text == GOLDENS.read_text(), f"this orphans every lock; if it is meant, run: {UPDATE}"


def test_order_is_inputs_first(recipes: Repository) -> None:
    plan = planned(recipes, "demo")
    seen: set[str] = set()
    for derivation in plan.derivations:
        assert {item.name for item in derivation.inputs} <= seen
        seen.add(derivation.name)
    assert [d.name for d in plan.derivations][-3:] == [
        "layer-demo-tree",
        "layer-demo-zip",
        "layer-demo-smoke",
    ]


def change(folder: Path, file: str, old: str, new: str) -> None:
    """Change a recipe."""
    path = folder / "recipes" / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def moved(folder: Path, before: Plan) -> set[str]:
    """Name the derivations of the layer demo whose planned hash is another one now."""
    after = planned(Repository(folder), "demo")
    return {name for name in before.planned if after.planned[name] != before.planned[name]}


LAYER = {"layer-demo-tree", "layer-demo-zip", "layer-demo-smoke"}


def test_a_change_moves_what_depends_on_it(folder: Path, recipes: Repository) -> None:
    before = planned(recipes, "demo")
    change(folder, "packages/hello.toml", "-Os", "-O2")
    assert moved(folder, before) == {"hello", *LAYER}


def test_addresses_limits_and_summaries_move_nothing(folder: Path, recipes: Repository) -> None:
    before = planned(recipes, "demo")
    change(folder, "packages/hello.toml", "https://mirror.example.org", "https://other.example.org")
    change(folder, "packages/hello.toml", "1 GiB", "2 GiB")
    change(folder, "packages/hello.toml", 'license = "MIT"', 'license = "MIT"\nsummary = "Says hello"')
    change(folder, "layers/demo.toml", "A layer that says hello", "Another summary")
    assert moved(folder, before) == set()


def test_the_order_of_flags_counts_and_that_of_inputs_does_not(folder: Path, recipes: Repository) -> None:
    before = planned(recipes, "demo")
    change(folder, "packages/hello.toml", '["python", "tools"]', '["tools", "python"]')
    assert moved(folder, before) == set()
    change(folder, "packages/hello.toml", '"-Os"', '"-Os -g"')
    first = planned(Repository(folder), "demo").planned["hello"]
    change(folder, "packages/hello.toml", '"-Os -g"', '"-g -Os"')
    assert planned(Repository(folder), "demo").planned["hello"] != first


def test_the_layer_below_shares_its_packages_with_the_one_based_on_it(recipes: Repository) -> None:
    whole, small = planned(recipes, "demo"), planned(recipes, "demo-small")
    common = whole.planned.keys() & small.planned.keys()
    assert {"hello", "own", "python", "tools"} <= common
    assert all(whole.planned[name] == small.planned[name] for name in common)


def test_resolved_hash_depends_on_what_inputs_came_out_as(recipes: Repository) -> None:
    plan = planned(recipes, "demo")
    hello = plan["hello"]
    outputs = {item.name: f"sha256-{index}" for index, item in enumerate(hello.inputs)}
    assert hello.hash(outputs) != hello.hash(plan.planned)
    assert hello.hash(outputs) == hello.hash(dict(reversed(outputs.items())))
    assert hello.hash(outputs) != hello.hash(outputs | {"tools": "sha256-other"})


def test_needed_for_names_a_target_and_all_below_it(recipes: Repository) -> None:
    plan = planned(recipes, "demo")
    assert plan.needed_for(["tools"]) == {"tools", "environment-root"}
