"""Wheels that were found for a package's requirements: as sources, and whether they are still those to take."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import NamedTuple

from layerlock.errors import InvalidRecipe, Location, StaleLock
from layerlock.model.layer import LayerRecipe
from layerlock.model.recipe import PackageRecipe, WheelsBuild, WheelSource
from layerlock.model.recipes import Recipes
from layerlock.model.requirements import Architecture, PinnedWheel, Requirements
from layerlock.model.runtime import RuntimeRecipe


class Asked(NamedTuple):
    """What wheels are looked for: `pylock` is the sha256 of the file that is read, `without` is sorted."""

    python: str
    architecture: Architecture
    glibc: str
    wants: tuple[str, ...]
    pylock: str | None
    without: tuple[str, ...]


def normalised(project: str) -> str:
    """Give a project's name as the simple API spells it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", project).lower()


def source_of(wheel: PinnedWheel) -> WheelSource:
    """Give a wheel that was found as a recipe would state it."""
    return WheelSource(kind="wheel", name=wheel.name, urls=(wheel.file,), sha256=wheel.sha256)


def with_wheels(recipe: PackageRecipe) -> PackageRecipe:
    """Add the wheels that were found to the sources that a recipe states itself."""
    if recipe.requirements is None or recipe.resolved is None:
        return recipe
    return replace(recipe, sources=(*recipe.sources, *map(source_of, recipe.resolved.wheels)))


def asked(recipe: PackageRecipe, recipes: Recipes) -> tuple[Requirements, Asked]:
    """Say what wheels a recipe asks for now, by its requirements.

    Raises:
        InvalidRecipe: the package is not made from wheels; or it asks for nothing, or for two things at once.
    """
    wanted, build = recipe.requirements, recipe.build
    if wanted is None or not isinstance(build, WheelsBuild):
        raise InvalidRecipe(
            f"`{recipe.name}` has requirements and is not made from wheels"
            if wanted is not None
            else f"`{recipe.name}` has no requirements",
            hint='[requirements] is for packages with `builder = "wheels"`',
            location=recipes.locate("packages", recipe.name, "requirements"),
        )
    if bool(wanted.wants) == (wanted.pylock is not None):
        raise InvalidRecipe(
            f"the requirements of `{recipe.name}` state "
            + ("both `wants` and `pylock`" if wanted.wants else "neither `wants` nor `pylock`"),
            hint="state one of them",
            location=recipes.locate("packages", recipe.name, "requirements"),
        )
    sha256 = None
    if wanted.pylock is not None:
        place = recipes.locate("packages", recipe.name, "requirements.pylock")
        _, sha256 = recipes.data(wanted.pylock, place)
    return wanted, Asked(
        python=build.python,
        architecture=wanted.architecture,
        glibc=wanted.glibc,
        wants=wanted.wants,
        pylock=sha256,
        without=tuple(sorted({normalised(left.name) for left in wanted.without})),
    )


def outdated(recipe: PackageRecipe, recipes: Recipes) -> str | None:
    """Say why the wheels of a package have to be looked for; None where they are there, or none are asked for.

    Raises:
        InvalidRecipe: as `asked`; or there are wheels and no requirements.
    """
    if recipe.requirements is None:
        if recipe.resolved is not None:
            raise InvalidRecipe(
                f"`{recipe.name}` has pins of requirements that it does not state",
                hint=f"remove recipes/packages/{recipe.name}.wheels.toml",
                location=recipes.locate("packages", recipe.name, "package.name"),
            )
        return None
    _, now = asked(recipe, recipes)
    if recipe.resolved is None:
        return f"the wheels of `{recipe.name}` are not pinned yet"
    for name, value in now._asdict().items():
        if getattr(recipe.resolved, name) != value:
            return f"the wheels of `{recipe.name}` were pinned for another `{name}`"
    return None


def check_wheels(recipe: PackageRecipe, recipes: Recipes) -> None:
    """Make sure that the wheels of a package are those that its requirements ask for.

    Raises:
        StaleLock: they are not; `lock` looks for them.
        InvalidRecipe: as `outdated`; or two sources of the package have one name.
    """
    why = outdated(recipe, recipes)
    if why is not None:
        raise StaleLock(
            why,
            hint=f"run: nox -s lock -- LAYER, or: layerlock resolve {recipe.name}",
            location=_place(recipe, recipes),
        )
    found = {wheel.name for wheel in recipe.resolved.wheels} if recipe.resolved is not None else set()
    own = recipe.sources[: len(recipe.sources) - len(found)]
    for index, source in enumerate(own):
        if source.name in found:
            raise InvalidRecipe(
                f"`{source.name}` is a source of `{recipe.name}` and is among the wheels found for it",
                hint=f"drop the source, or leave {source.name} out (`requirements.without`)",
                location=recipes.locate("packages", recipe.name, f"sources[{index}]"),
            )


def check_layer(layer: LayerRecipe, runtime: RuntimeRecipe, recipe: PackageRecipe, recipes: Recipes) -> None:
    """Make sure that a package of a layer asks for wheels that the layer's runtime can load.

    Raises:
        InvalidRecipe: Python or processor are others, or the C library is a newer one.
    """
    wanted, build = recipe.requirements, recipe.build
    if wanted is None or not isinstance(build, WheelsBuild):
        return
    about = layer.layer
    wrong: tuple[str, str] | None = None
    if wanted.architecture != about.architecture:
        wrong = (
            f"for {wanted.architecture}; the layer is for {about.architecture}",
            "requirements.architecture",
        )
    elif build.python != runtime.runtime.python:
        wrong = (f"for Python {build.python}; the runtime has {runtime.runtime.python}", "build.python")
    elif _level(wanted.glibc) > _level(runtime.levels.glibc):
        wrong = (f"for glibc {wanted.glibc}; the runtime has {runtime.levels.glibc}", "requirements.glibc")
    if wrong is not None:
        raise InvalidRecipe(
            f"the package `{recipe.name}` of the layer `{about.name}` asks for wheels {wrong[0]}",
            location=recipes.locate("packages", recipe.name, wrong[1]),
        )


def _level(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _place(recipe: PackageRecipe, recipes: Recipes) -> Location:
    return recipes.locate("packages", recipe.name, "requirements")
