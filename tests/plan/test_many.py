"""Many layers in one plan: each derivation once, with the hashes that it has alone, in time linear in their number."""

from __future__ import annotations

import gc
import time
from dataclasses import replace

import pytest

from layerlock.errors import InvalidRecipe
from layerlock.io.repository import Repository
from layerlock.model.recipe import About, PackageRecipe, ScriptBuild
from layerlock.plan.resolve import closure_of_layer, plan_layer, plan_layers, plan_package
from tests.plan.conftest import pins_of
from tools import synthetic


def test_layers_planned_together_are_those_planned_alone(recipes: Repository) -> None:
    names = recipes.targets()
    pins = {
        key: pin for name in names for key, pin in pins_of(closure_of_layer(recipes, name), recipes).items()
    }
    alone: dict[str, str] = {}
    for name in names:
        alone |= plan_layer(recipes, name, synthetic.CODE, pins).planned
    plan = plan_layers(recipes, names, synthetic.CODE, pins)
    assert plan.planned == alone
    assert [derivation.name for derivation in plan.derivations] == list(plan.planned)
    seen: set[str] = set()
    for derivation in plan.derivations:
        assert {item.name for item in derivation.inputs} <= seen
        seen.add(derivation.name)


def test_recipes_that_nobody_wrote_plan_to_as_many_derivations_as_were_asked_for() -> None:
    for count in (100, 625):
        made = synthetic.recipes(count)
        assert len(plan_layers(made, made.layers, synthetic.CODE, {}).derivations) == count
    assert synthetic.recipes(100) == synthetic.recipes(100)
    assert synthetic.recipes(100, seed=1) != synthetic.recipes(100)


def test_four_times_as_many_derivations_take_four_times_as_long() -> None:
    """Of this thread's time on a processor, the best of several runs: another program may run meanwhile.

    The collector of garbage is held back, whose share is set by whatever else the process has in memory.
    """

    def seconds(made: synthetic.Synthetic) -> float:
        began = time.thread_time()
        plan_layers(made, made.layers, synthetic.CODE, {})
        return time.thread_time() - began

    quarter, whole = synthetic.recipes(1250), synthetic.recipes(5000)
    gc.disable()
    try:
        rounds = [(seconds(quarter), seconds(whole)) for _ in range(3)]
    finally:
        gc.enable()
    ratio = min(four for _, four in rounds) / min(one for one, _ in rounds)
    assert ratio < 8, f"{ratio:.2f} times as long; quadratic would be 16"


def linked(names: list[str], first: tuple[str, ...]) -> dict[str, PackageRecipe]:
    """Make packages that each need the one before; `first` is what the first one needs."""
    return {
        name: PackageRecipe(
            package=About(name=name, version="1", license="MIT"),
            build=ScriptBuild(environment="build", inputs=(before,) if before else first, script=":"),
        )
        for before, name in zip(("", *names), names, strict=False)
    }


def test_a_chain_of_thousands_is_no_deeper_than_any_other() -> None:
    names = [f"link{index}" for index in range(3000)]
    made = replace(synthetic.recipes(100), packages=linked(names, ()))
    plan = plan_package(made, names[-1], synthetic.CODE, {})
    assert [derivation.name for derivation in plan.derivations] == ["environment-build", *names]
    looped = replace(made, packages=linked(names, (names[-1],)))
    with pytest.raises(InvalidRecipe, match="in a circle: link2999 -> link2998 -> "):
        plan_package(looped, names[-1], synthetic.CODE, {})
