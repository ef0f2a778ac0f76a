"""Wheels against the layer that they are put into: by their names, before anything is fetched."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from layerlock.errors import InvalidRecipe, WrongPlatform
from layerlock.model.layer import LayerRecipe
from layerlock.model.recipe import PackageRecipe, ScriptBuild, WheelsBuild, WheelSource
from layerlock.model.recipes import Recipes
from layerlock.plan.packages import file_name

MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
"""The processors of layers, as wheels and the kernel call them."""

_LINUX = re.compile(r"(?:manylinux(?:1|2010|2014|_\d+_\d+)|linux)_(.+)")


def projects(package: PackageRecipe, recipes: Recipes) -> Iterator[tuple[str, str]]:
    """Give the normalised name and the file name of each wheel whose files a package holds."""
    for holder in _holders(package, recipes):
        for source in holder.sources:
            if isinstance(source, WheelSource):
                name = file_name(source)
                yield _parsed(name)[0], name


def check_wheels(recipe: LayerRecipe, packages: Iterable[str], recipes: Recipes) -> None:
    """Hold the wheels of some packages against a layer's Python and processor.

    Only Python's own tags are judged here, and the processor's; whether a wheel keeps to the runtime's C library is
    judged by the symbols that it asks for, once the layer is assembled.

    Raises:
        WrongPlatform: a wheel is for another processor, system or Python.
    """
    python = recipes.runtime(recipe.layer.runtime).runtime.python
    machine = MACHINES[recipe.layer.architecture]
    for package in (holder for name in packages for holder in _holders(recipes.package(name), recipes)):
        for index, source in enumerate(package.sources):
            if not isinstance(source, WheelSource):
                continue
            wheel = file_name(source)
            why = unfit(_parsed(wheel)[1], python, machine)
            if why:
                raise WrongPlatform(
                    f"{wheel} is {why}; the layer `{recipe.name}` is for Python {python} on {machine}",
                    hint=f"pin the wheel of Python {python} for {machine}, or one for any platform",
                    location=recipes.locate("packages", package.name, f"sources[{index}].urls"),
                )


def unfit(tags: Iterable[Tag], python: str, machine: str) -> str:
    """Say what a wheel with these tags is for, if that is not `python` (`3.9`) on Linux on `machine`; else empty."""
    all_tags = sorted(tags, key=str)
    platforms = {tag.platform for tag in all_tags}
    right = {platform for platform in platforms if platform == "any" or _machine(platform) == machine}
    if not right:
        return f"for {', '.join(sorted(platforms))}"
    if not any(_python_fits(tag, python) for tag in all_tags if tag.platform in right):
        return f"for {', '.join(sorted({f'{tag.interpreter}-{tag.abi}' for tag in all_tags}))}"
    return ""


def _holders(package: PackageRecipe, recipes: Recipes) -> Iterator[PackageRecipe]:
    """Give the packages of wheels that a package is, or is made of.

    A script may mend what wheels brought. Those among its inputs whose modules stand where a layer has them ship; the
    others are its tools.
    """
    match package.build:
        case WheelsBuild():
            yield package
        case ScriptBuild(inputs=inputs):
            for name in inputs:
                build = recipes.package(name).build
                if isinstance(build, WheelsBuild) and (build.site or "").split("/")[0] == "python":
                    yield recipes.package(name)


def _machine(platform: str) -> str:
    found = _LINUX.fullmatch(platform)
    return found[1] if found else ""


def _python_fits(tag: Tag, python: str) -> bool:
    major, minor = (int(part) for part in python.split("."))
    digits = tag.interpreter[2:]
    if tag.interpreter.startswith("py"):
        # py3 and py39 are pure Python of that version or a later one.
        return tag.abi == "none" and digits[:1] == str(major) and int(digits[1:] or 0) <= minor
    if not tag.interpreter.startswith("cp") or digits[:1] != str(major):
        return False
    of = int(digits[1:] or 0)
    return (of == minor and tag.abi in (tag.interpreter, "none", "abi3")) or (
        tag.abi == "abi3" and of <= minor
    )


def _parsed(wheel: str) -> tuple[str, frozenset[Tag]]:
    try:
        project, _, _, tags = parse_wheel_filename(wheel)
    except InvalidWheelFilename:
        raise InvalidRecipe(
            f"`{wheel}` is not the file name of a wheel", hint="it is NAME-VERSION-PYTHON-ABI-PLATFORM.whl"
        ) from None
    return project, tags
