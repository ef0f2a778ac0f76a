"""Layers that are used together: in which order, and that no two of them bring the same thing."""

from __future__ import annotations

from collections.abc import Iterator

from layerlock.errors import InvalidRecipe, LayersOverlap, UsageError
from layerlock.model.function import FunctionLayer
from layerlock.model.layer import LayerRecipe
from layerlock.model.recipe import PackageRecipe
from layerlock.model.recipes import Recipes
from layerlock.plan.wheels import projects


def beneath(recipe: LayerRecipe, recipes: Recipes) -> tuple[LayerRecipe, ...]:
    """Give the layers that a layer is used with, those that they are used with among them, in Lambda's order.

    Raises:
        InvalidRecipe: a layer does not exist, is for another runtime or processor, stands above itself, or there are
            more layers than a function may have.
        LayersOverlap: two of the layers name the same package, or packages with the same Python distribution.
    """
    found: dict[str, LayerRecipe] = {}
    _gather(recipe, recipes, (recipe.name,), found)
    stack = (*found.values(), recipe)
    if len(stack) > 1:
        _check_count(recipe, stack, recipes)
        _check_contents(stack, recipes)
    return stack[:-1]


def _gather(
    recipe: LayerRecipe, recipes: Recipes, path: tuple[str, ...], found: dict[str, LayerRecipe]
) -> None:
    for index, name in enumerate(recipe.layer.with_):
        location = recipes.locate("layers", recipe.name, f"layer.with[{index}]")
        if name in path:
            circle = " -> ".join((*path[path.index(name) :], name))
            raise InvalidRecipe(f"layers are used with each other in a circle: {circle}", location=location)
        try:
            other = recipes.layer(name)
        except UsageError as error:
            raise InvalidRecipe(error.message, hint=error.hint, location=location) from None
        for key in ("runtime", "architecture"):
            theirs, ours = getattr(other.layer, key), getattr(recipe.layer, key)
            if theirs != ours:
                raise InvalidRecipe(
                    f"the layer `{recipe.name}` is for {ours}, and `{name}`, which it is used with, for {theirs}",
                    hint="one function has one runtime and one processor",
                    location=location,
                )
        _gather(other, recipes, (*path, name), found)
        found.setdefault(name, other)


def _check_count(recipe: LayerRecipe, stack: tuple[LayerRecipe, ...], recipes: Recipes) -> None:
    limit = recipes.runtime(recipe.layer.runtime).limits.layers
    counted = len(stack) - isinstance(recipe, FunctionLayer)
    if counted > limit:
        names = ", ".join(layer.name for layer in stack)
        raise InvalidRecipe(
            f"`{recipe.name}` is used with {len(stack) - 1} other layers ({names}); a function has at most {limit}",
            hint="make one layer of some of them",
            location=recipes.locate("layers", recipe.name, "layer.with"),
        )


def _check_contents(stack: tuple[LayerRecipe, ...], recipes: Recipes) -> None:
    """Refuse what can be known to be in two layers before anything is built; the rest is seen when they are merged."""
    owners: dict[str, tuple[LayerRecipe, str]] = {}
    for layer in stack:
        mine: dict[str, str] = {}
        for name in layer.layer.packages:
            mine |= dict(_holds(recipes.package(name), recipes))
        for what, shown in mine.items():
            if what in owners:
                other, other_shown = owners[what]
                raise LayersOverlap(
                    f"the layers {other.name} and {layer.name} both hold {other_shown}"
                    + (f" ({shown})" if shown != other_shown else ""),
                    hint=f"leave it out of {layer.name}: what {other.name} holds is there for it too",
                    location=recipes.locate("layers", layer.name, "layer.packages"),
                )
        owners |= {what: (layer, shown) for what, shown in mine.items()}


def _holds(package: PackageRecipe, recipes: Recipes) -> Iterator[tuple[str, str]]:
    yield f"package {package.name}", f"the package `{package.name}`"
    for project, wheel in projects(package, recipes):
        yield f"distribution {project}", f"{project}, from the wheel {wheel}"
