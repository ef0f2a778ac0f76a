"""Everything that a target needs, as derivations in build order with their planned hashes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from layerlock.errors import InvalidRecipe, UsageError
from layerlock.model.derivation import Derivation
from layerlock.model.function import FunctionLayer
from layerlock.model.layer import LayerRecipe
from layerlock.model.lock import LockedFile, LockedSource
from layerlock.model.recipe import Deb, EnvironmentRecipe, PackageRecipe, ScriptBuild, Source
from layerlock.model.recipes import GuestCode, Recipes
from layerlock.plan import functions, images, layers, packages, requirements, stack, wheels

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Derivations in build order (inputs first), and their planned hashes by name."""

    derivations: tuple[Derivation, ...]
    planned: Mapping[str, str]
    _by_name: Mapping[str, Derivation] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {each.name: each for each in self.derivations})

    def __getitem__(self, name: str) -> Derivation:
        """Find a derivation by its name."""
        return self._by_name[name]

    def needed_for(self, targets: Iterable[str]) -> frozenset[str]:
        """Give the names of some targets and of everything that they need."""
        found: set[str] = set()
        waiting = list(targets)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += (item.name for item in self._by_name[name].inputs)
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

    def image_layers(self, recipes: Recipes) -> tuple[tuple[EnvironmentRecipe, int, LockedFile], ...]:
        """Give every layer of an image with its place in the recipe.

        Raises:
            InvalidRecipe, StaleLock: an image is not pinned.
        """
        return tuple(
            (e, index, pin)
            for e in self.environments
            for index, pin in enumerate(images.layer_pins(e, recipes))
        )


def closure_of_layer(recipes: Recipes, layer: str) -> Closure:
    """Gather the recipes that a layer needs, those of its runtime's stand-in and smoke tests among them.

    Raises:
        InvalidRecipe: a recipe does not follow the format, or recipes need each other in a circle.
    """
    recipe = recipes.layer(layer)
    walk = _Walk(recipes)
    runtime = walk.known(recipes.runtime, recipe.layer.runtime, ("layers", layer, "layer.runtime")).runtime
    for below in stack.beneath(recipe, recipes):
        walk.environment(below.layer.environment, ("layers", below.name, "layer.environment"))
        walk.held(below)
    walk.environment(recipe.layer.environment, ("layers", layer, "layer.environment"))
    stand_in = layers.stand_in_of(recipe, recipes)
    walk.environment(stand_in.environment, ("runtimes", runtime.name, "runtime.environment"))
    for name in (runtime.package, stand_in.package, stand_in.emulator):
        if name is not None:
            walk.package(name, ("runtimes", runtime.name, "runtime.package"))
    walk.held(recipe)
    for name in recipe.smoke_tools.packages:
        walk.package(name, ("layers", layer, "smoke_tools.packages"))
    wheels.check_wheels(recipe, (*recipe.layer.packages, *recipe.smoke_tools.packages), recipes)
    for name in recipe.layer.packages:
        requirements.check_layer(recipe, recipes.runtime(runtime.name), recipes.package(name), recipes)
    return walk.closure()


def closure_of_package(recipes: Recipes, name: str) -> Closure:
    """Gather the recipes that a package needs."""
    walk = _Walk(recipes)
    walk.package(name, None)
    return walk.closure()


class Planner:
    """Plans layers, functions and packages of one folder of recipes: what several of them need is worked out once.

    Pins that several of them have must be the same for all.
    """

    def __init__(self, recipes: Recipes, code: GuestCode) -> None:
        self._recipes = recipes
        self._code = code
        self._made: dict[str, Derivation] = {}
        self._planned: dict[str, str] = {}

    def layer(self, layer: str, pins: Mapping[str, LockedSource]) -> Plan:
        """Plan a layer or a function: its tree, its zip and its smoke tests, with all that they need."""
        recipes, code = self._recipes, self._code
        recipe = recipes.layer(layer)
        below = self._closure(closure_of_layer(recipes, layer), pins)
        trees = [layers.tree(other, recipes, code) for other in stack.beneath(recipe, recipes)]
        if isinstance(recipe, FunctionLayer):
            own = functions.derivations(recipe, recipes, code)
        else:
            own = layers.derivations(recipe, recipes, code)
        return self._plan((*below, *map(self._hashed, trees), *map(self._hashed, own)))

    def package(self, name: str, pins: Mapping[str, LockedSource]) -> Plan:
        """Plan one package with all that it needs."""
        return self._plan(self._closure(closure_of_package(self._recipes, name), pins))

    def _closure(self, closure: Closure, pins: Mapping[str, LockedSource]) -> tuple[Derivation, ...]:
        recipes, code = self._recipes, self._code
        return (
            *(
                self._made.get(packages.environment_name(recipe.name))
                or self._hashed(packages.environment(recipe, recipes))
                for recipe in closure.environments
            ),
            *(
                self._made.get(recipe.name) or self._hashed(packages.package(recipe, recipes, code, pins))
                for recipe in closure.packages
            ),
        )

    def _hashed(self, derivation: Derivation) -> Derivation:
        """Give a derivation whose inputs have planned hashes its own, unless it has one."""
        if derivation.name not in self._made:
            self._planned[derivation.name] = derivation.hash(self._planned)
            self._made[derivation.name] = derivation
        return self._made[derivation.name]

    def _plan(self, derivations: tuple[Derivation, ...]) -> Plan:
        return Plan(
            derivations=derivations, planned={each.name: self._planned[each.name] for each in derivations}
        )


def plan_layer(recipes: Recipes, layer: str, code: GuestCode, pins: Mapping[str, LockedSource]) -> Plan:
    """Plan a layer or a function: its tree, its zip and its smoke tests, with all that they need."""
    return Planner(recipes, code).layer(layer, pins)


def plan_layers(
    recipes: Recipes, names: Iterable[str], code: GuestCode, pins: Mapping[str, LockedSource]
) -> Plan:
    """Plan several layers and functions as one: each derivation is in it once."""
    planner = Planner(recipes, code)
    return together(planner.layer(name, pins) for name in names)


def plan_package(recipes: Recipes, name: str, code: GuestCode, pins: Mapping[str, LockedSource]) -> Plan:
    """Plan one package with all that it needs."""
    return Planner(recipes, code).package(name, pins)


def together(plans: Iterable[Plan]) -> Plan:
    """Lay plans of one planner together: each derivation is there once, after its inputs."""
    derivations: dict[str, Derivation] = {}
    planned: dict[str, str] = {}
    for plan in plans:
        derivations |= plan._by_name
        planned |= plan.planned
    return Plan(derivations=tuple(derivations.values()), planned=planned)


Mention = tuple[str, str, str]
"""Where a recipe names another one: kind and name of the recipe, and the dotted key."""


class _Walk:
    """A walk over recipes along what they need, inputs before what needs them."""

    def __init__(self, recipes: Recipes) -> None:
        self._recipes = recipes
        self._environments: dict[str, EnvironmentRecipe] = {}
        self._packages: dict[str, PackageRecipe] = {}

    def closure(self) -> Closure:
        """Give what was found."""
        return Closure(
            environments=tuple(self._environments.values()), packages=tuple(self._packages.values())
        )

    def environment(self, name: str, said: Mention | None, path: tuple[str, ...] = ()) -> None:
        """Add an environment, after the one that it is made from."""
        if name in self._environments:
            return
        if name in path:
            raise InvalidRecipe(
                f"environments are made from each other in a circle: {_circle(path, name)}",
                location=self._recipes.locate("environments", name, "environment.base"),
            )
        recipe = self.known(self._recipes.environment, name, said)
        images.check_origin(recipe, self._recipes)
        base = recipe.environment.base
        if base is not None:
            self.environment(base, ("environments", name, "environment.base"), (*path, name))
        self._environments[name] = recipe

    def package(self, name: str, said: Mention | None) -> None:
        """Add a package, after its environment and its inputs, however long the chain of them is."""
        path: dict[str, tuple[PackageRecipe, Iterator[str]]] = {}
        self._enter(name, said, path)
        while path:
            last = next(reversed(path))
            recipe, inputs = path[last]
            needed = next(inputs, None)
            if needed is None:
                del path[last]
                self._packages[last] = recipe
            else:
                self._enter(needed, ("packages", last, "build.inputs"), path)

    def _enter(
        self, name: str, said: Mention | None, path: dict[str, tuple[PackageRecipe, Iterator[str]]]
    ) -> None:
        """Go down into a package that was not seen; `path` are those above it, with what is left of their inputs."""
        if name in path:
            raise InvalidRecipe(
                f"packages need each other in a circle: {_circle(tuple(path), name)}",
                location=self._recipes.locate("packages", name, "build.inputs"),
            )
        if name not in self._packages:
            recipe = self.known(self._recipes.package, name, said)
            self.environment(recipe.build.environment, ("packages", name, "build.environment"))
            build = recipe.build
            path[name] = recipe, iter(build.inputs if isinstance(build, ScriptBuild) else ())

    def held(self, layer: LayerRecipe) -> None:
        """Add what a layer is assembled from and with, but for its environment."""
        about = layer.layer
        for dotted, names in (("layer.tools", about.tools), ("layer.packages", about.packages)):
            for name in names:
                self.package(name, ("layers", layer.name, dotted))

    def known(self, ask: Callable[[str], T], name: str, said: Mention | None) -> T:
        """Read a recipe; one that is named in a recipe and does not exist is that recipe's mistake.

        Raises:
            InvalidRecipe: there is none, and a recipe names it.
            UsageError: there is none, and the command line named it.
        """
        try:
            return ask(name)
        except UsageError as error:
            if said is None:
                raise
            location = self._recipes.locate(*said)
            raise InvalidRecipe(error.message, hint=error.hint, location=location) from None


def _circle(path: tuple[str, ...], name: str) -> str:
    return " -> ".join((*path[path.index(name) :], name))
