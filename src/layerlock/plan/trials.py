"""Derivations that try a layer: its smoke tests over what is assembled already, with files left out or packages empty.

They are derivations like all others, so that the store remembers what came of each: the same tree, the same tests and
the same paths left out are never tried twice. No lock names them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from layerlock.model.derivation import Derivation, GuestRun
from layerlock.model.digest import Canonical
from layerlock.model.layer import LayerRecipe
from layerlock.model.recipes import GuestCode, Recipes
from layerlock.plan import layers
from layerlock.plan.guestcode import files_of

OPT = "/opt"
_NO_LIMIT = 1 << 50
"""Bytes. A layer that is to shrink may well be too large for Lambda."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What is tried: without which paths of the layer, with which packages empty, and whether to watch."""

    without: tuple[str, ...] = ()
    stubs: tuple[str, ...] = ()
    trace: bool = False


def whole(recipe: LayerRecipe, recipes: Recipes, code: GuestCode) -> Derivation | None:
    """Describe what stands at `/opt` in trials of a layer that is used with others; None for one that is used alone."""
    merged = layers.merged(recipe, recipes, code)
    if merged is None or not isinstance(merged.action, GuestRun):
        return None
    task: dict[str, Canonical] = {**merged.action.task, "limit": _NO_LIMIT}
    return replace(merged, name=f"layer-{recipe.name}-whole", action=replace(merged.action, task=task))


def trial(recipe: LayerRecipe, recipes: Recipes, code: GuestCode, tried: Trial) -> Derivation:
    """Describe a run of the smoke tests whose outcome, good or bad, is its output."""
    smoke = layers.smoke(recipe, recipes, code)
    action = smoke.action
    assert isinstance(action, GuestRun)  # noqa: S101 -- smoke tests are never anything else
    task: dict[str, Canonical] = dict(action.task)
    if tried.stubs:
        task["stubs"] = list(tried.stubs)
    if tried.trace:
        task["trace"] = True
    below = whole(recipe, recipes, code)
    inputs = [
        replace(item, name=item.name if below is None else below.name, without=tuple(sorted(tried.without)))
        if item.mount == OPT
        else item
        for item in smoke.inputs
    ]
    return replace(
        smoke,
        name=f"layer-{recipe.name}-trial",
        action=replace(action, entry="trial.py", guest=files_of("trial.py", code), task=task),
        inputs=tuple(inputs),
    )
