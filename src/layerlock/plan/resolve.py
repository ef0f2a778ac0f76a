"""Everything that a target needs, as derivations in build order with their planned hashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from layerlock.errors import InvalidRecipe
from layerlock.model.derivation import Derivation
from layerlock.model.lock import LockedSource
from layerlock.model.recipe import Deb, EnvironmentRecipe, PackageRecipe, ScriptBuild, Source
from layerlock.model.recipes import GuestCode, Recipes
from layerlock.plan import layers, packages


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Derivations in build order (inputs first), and their planned hashes by name."""

    derivations: tuple[Derivation, ...]
    planned: Mapping[str, str]

    def __getitem__(self, name: str) -> Derivation:
        """Find a derivation by its name."""
        return next(derivation for derivation in self.derivations if derivation.name == name)

    def needed_for(self, targets: Iterable[str]) -> frozenset[str]:
        """Give the names of some targets and of everything that they need."""
        by_name = {derivation.name: derivation for derivation in self.derivations}
        found: set[str] = set()
        waiting = list(targets)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += (item.name for item in by_name[name].inputs)
        return frozenset(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Closure:
    """The recipes that a target needs: environments and packages, inputs first."""

    environments: tuple[EnvironmentRecipe, ...]
    packages: tuple[PackageRecipe, ...]

    def sources(self) -> tuple[tuple[PackageRecipe, int, Source], ...]:
        """Give every source of a package with its place in the recipe."""
        return tuple((p, index, source) for p in self.packages for index, source in enumerate(p.sources))

    def debs(self) -> tuple[tuple[EnvironmentRecipe, int, Deb], ...]:
        """Give every pinned Debian package with its place in the recipe."""
        return tuple((e, index, deb) for e in self.environments for index, deb in enumerate(e.debs))


def closure_of_layer(recipes: Recipes, layer: str) -> Closure:
    """Gather the recipes that a layer needs, those of its runtime's stand-in and smoke tests among them.

    Raises:
        InvalidRecipe: a recipe does not follow the format, or recipes need each other in a circle.
    """
    recipe = recipes.layer(layer)
    runtime = recipes.runtime(recipe.layer.runtime).runtime
    return _closure(
        recipes,
        (recipe.layer.environment, runtime.environment),
        (runtime.package, *recipe.layer.tools, *recipe.layer.packages, *recipe.smoke_tools.packages),
    )


def closure_of_package(recipes: Recipes, name: str) -> Closure:
    """Gather the recipes that a package needs."""
    return _closure(recipes, (), (name,))


def plan_layer(
    recipes: Recipes, layer: str, code: GuestCode, pins: Mapping[str, LockedSource]
) -> Plan:
    """Plan a layer: its tree, its zip and its smoke tests, with all that they need."""
    recipe = recipes.layer(layer)
    below = _derivations(recipes, closure_of_layer(recipes, layer), code, pins)
    top = (
        layers.tree(recipe, recipes, code),
        layers.archive(recipe, recipes, code),
        layers.smoke(recipe, recipes, code),
    )
    return _plan((*below, *top))


def plan_package(
    recipes: Recipes, name: str, code: GuestCode, pins: Mapping[str, LockedSource]
) -> Plan:
    """Plan one package with all that it needs."""
    return _plan(_derivations(recipes, closure_of_package(recipes, name), code, pins))


def _plan(derivations: tuple[Derivation, ...]) -> Plan:
    planned: dict[str, str] = {}
    for derivation in derivations:
        planned[derivation.name] = derivation.hash(planned)
    return Plan(derivations=derivations, planned=planned)


def _derivations(
    recipes: Recipes, closure: Closure, code: GuestCode, pins: Mapping[str, LockedSource]
) -> tuple[Derivation, ...]:
    return (
        *(packages.environment(recipe) for recipe in closure.environments),
        *(packages.package(recipe, recipes, code, pins) for recipe in closure.packages),
    )


def _closure(recipes: Recipes, environments: Iterable[str], names: Iterable[str]) -> Closure:
    found_environments: dict[str, EnvironmentRecipe] = {}
    found_packages: dict[str, PackageRecipe] = {}

    def add_environment(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise InvalidRecipe(
                f"environments are made from each other in a circle: {_circle(path, name)}",
                location=recipes.locate("environments", name, "environment.base"),
            )
        recipe = recipes.environment(name)
        if recipe.environment.base is not None:
            add_environment(recipe.environment.base, (*path, name))
        found_environments.setdefault(name, recipe)

    def add_package(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            raise InvalidRecipe(
                f"packages need each other in a circle: {_circle(path, name)}",
                location=recipes.locate("packages", name, "build.inputs"),
            )
        if name in found_packages:
            return
        recipe = recipes.package(name)
        add_environment(recipe.build.environment, ())
        for needed in recipe.build.inputs if isinstance(recipe.build, ScriptBuild) else ():
            add_package(needed, (*path, name))
        found_packages[name] = recipe

    for name in environments:
        add_environment(name, ())
    for name in names:
        add_package(name, ())
    return Closure(environments=tuple(found_environments.values()), packages=tuple(found_packages.values()))


def _circle(path: tuple[str, ...], name: str) -> str:
    return " -> ".join((*path[path.index(name) :], name))
