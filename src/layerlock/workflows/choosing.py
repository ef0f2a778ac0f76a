"""What a new recipe is for and made in: what is said of it, else what the recipes here have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.utils import canonicalize_name

from layerlock.errors import InvalidRecipe, UsageError
from layerlock.io.repository import Repository
from layerlock.model.recipe import EnvironmentRecipe, ScriptBuild
from layerlock.model.requirements import Architecture
from layerlock.model.runtime import RuntimeRecipe
from layerlock.sources.candidates import Kind
from layerlock.sources.target import Target
from layerlock.workflows.recipe_texts import Place

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*(?<!\.wheels)")
"""What recipes may be called; `NAME.wheels.toml` is where pins stand."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What to start: a requirement, and what the command line says besides; empty where it says nothing.

    `environment` is what a source is built in, or wheels are installed in; `only` rules out the other kind of file.
    """

    requirement: str
    package: str = ""
    layer: str = ""
    runtime: str = ""
    architecture: Architecture = "x86_64"
    environment: str = ""
    only: Kind | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """What was decided before anything is written.

    `assembly` is the environment that the layer is assembled in, `tools` are its packages of tools; `comment` stands at
    the top of every recipe.
    """

    package: str
    layer: str
    comment: str
    runtime: RuntimeRecipe
    target: Target
    only: Kind | None
    assembly: str
    tools: tuple[str, ...]

    def place(self, environment: str, glibc: str) -> Place:
        """Give what a recipe says of where it is made, and of the C library that its wheels find."""
        return Place(
            runtime=self.runtime.name,
            python=self.target.python,
            architecture=self.target.architecture,
            glibc=glibc,
            environment=environment,
        )


def choose(repository: Repository, wanted: Wanted, package: str, layer: str) -> Chosen:
    """Choose runtime, environment and tools: what is said, else what the layers here have.

    Raises:
        UsageError: nothing is said, and nothing here tells.
    """
    runtime_name, architecture = wanted.runtime, wanted.architecture
    if layer in repository.names("layers"):
        about = repository.layer(layer).layer
        if wanted.runtime not in ("", about.runtime):
            raise UsageError(f"the layer `{layer}` is for {about.runtime}", hint="leave --runtime out")
        runtime_name, architecture = about.runtime, about.architecture
    runtimes = [repository.runtime(name) for name in repository.names("runtimes")]
    if not runtimes:
        raise UsageError(
            f"{repository.root} has no runtimes", hint="see docs/how-to.md, on recipes elsewhere"
        )
    if runtime_name:
        runtime = repository.runtime(runtime_name)
    else:
        runtime = max(runtimes, key=lambda each: _numbers(each.runtime.python))
    same = [
        about
        for name in repository.names("layers")
        if (about := repository.layer(name).layer).architecture == architecture
    ]
    like = next((each for each in same if each.runtime == runtime.name), same[0] if same else None)
    assembly = like.environment if like is not None else wanted.environment
    if not assembly:
        raise UsageError(
            f"no layer here is for {architecture}, so that it is not known where to assemble one",
            hint="name an environment with --environment",
        )
    only = wanted.only
    if architecture != "x86_64":
        if only == "source":
            raise UsageError(
                "sources are compiled for x86_64 alone", hint="take the project's wheel: --wheel"
            )
        only = "wheel"
    return Chosen(
        package=package,
        layer=layer,
        comment=f"Started by `layerlock new {wanted.requirement}`: look it over, it is yours.",
        runtime=runtime,
        target=Target(python=runtime.runtime.python, architecture=architecture, glibc=runtime.levels.glibc),
        only=only,
        assembly=assembly,
        tools=like.tools if like is not None else ("guest-tools",),
    )


def package_name(repository: Repository, requirement: Requirement, wanted: str) -> str:
    """Give the package's name: what is wanted, or the project's own.

    Where that is the recipe of another version, an exact version is part of the name: layers choose between both.
    """
    project = canonicalize_name(requirement.name)
    exact = [each.version for each in requirement.specifier if each.operator == "=="]
    if wanted or project not in repository.names("packages") or len(exact) != 1 or exact[0].endswith("*"):
        return wanted or project
    same = repository.package(project).package.version == exact[0]
    return project if same else f"{project}-{exact[0]}"


def tools_name(package: str) -> str:
    """Give the name of the package of what builds another one."""
    return f"{package}-build-tools"


def paths_of(repository: Repository, package: str, layer: str) -> tuple[Path, ...]:
    """Give every file that may be written; the layer's recipe and lock come last."""
    packages = repository.root / "recipes" / "packages"
    names = (package, tools_name(package))
    return (
        *(packages / f"{name}{end}.toml" for name in names for end in ("", ".wheels")),
        repository.root / "recipes" / "smoke" / f"{package}.py",
        repository.root / "recipes" / "layers" / f"{layer}.toml",
        repository.lock_path(layer),
    )


def refuse_what_is_there(
    repository: Repository, paths: tuple[Path, ...], package: str, layer: str, *, named: bool
) -> None:
    """Make sure that nothing is overwritten, but for the recipe and the lock of a layer that was `named`.

    Raises:
        UsageError: something of that name is there.
    """
    for name in (package, layer):
        if not _NAME.fullmatch(name):
            raise UsageError(f"`{name}` is no name of [a-z0-9._-]", hint="say another with --name or --layer")
    if layer in repository.names("functions"):
        raise UsageError(f"`{layer}` is a function", hint="name a layer with --layer")
    for path in paths[:-2] if named and layer in repository.names("layers") else paths:
        if path.exists():
            hint = "give it another name with --name"
            if path == paths[0]:
                hint += f", or move it to another version: layerlock update {package}"
            elif path in paths[-2:]:
                hint = "name the layer that is to hold it, or a new one, with --layer"
            raise UsageError(
                f"{path.relative_to(repository.root)} is there already; nothing is overwritten", hint=hint
            )


def build_environment(repository: Repository, named: str, chosen: Chosen) -> tuple[str, str]:
    """Choose the environment that a source is compiled in, and give the C library that programs find there.

    Of those that have a compiler, the one whose code asks for the newest C library that the runtime has; of several
    of these one that is made from the environment of the layer.

    Raises:
        UsageError: there is none.
    """
    level = _numbers(chosen.runtime.levels.glibc)
    found: list[tuple[tuple[int, ...], bool, str, str]] = []
    for name in repository.names("environments"):
        recipe = repository.environment(name)
        root = repository.environment(recipe.environment.base) if recipe.environment.base else recipe
        library = _glibc(root)
        if named == name:
            return name, library or chosen.runtime.levels.glibc
        linked = recipe.floor.glibc if recipe.floor is not None else library
        fits = library and _numbers(linked) <= level and recipe.environment.system == "x86_64-linux"
        if fits and {"gcc", "make"} <= {deb.name for deb in root.debs}:
            found.append((_numbers(linked), root.name == chosen.assembly, name, library))
    if named or not found:
        raise UsageError(
            f"there is no environment `{named}`"
            if named
            else f"no environment here compiles for glibc {chosen.runtime.levels.glibc}",
            hint="name one with --environment, or take a wheel with --wheel",
        )
    return max(found)[2:]


def _glibc(environment: EnvironmentRecipe) -> str:
    """Give the version of an environment's C library, `2.31`; empty where its packages do not tell."""
    version = next((deb.version for deb in environment.debs if deb.name == "libc6"), "")
    return version.partition("-")[0]


def compiling_python(repository: Repository, runtime: RuntimeRecipe) -> str:
    """Give the package that is the runtime's Python for compilers: one that others are built with, if there is any.

    Raises:
        InvalidRecipe: the runtime's own package cannot be read.
    """
    home = str(Path(runtime.runtime.executable).parents[1])
    recipes = {name: repository.package(name) for name in repository.names("packages")}
    used = {
        name for each in recipes.values() if isinstance(each.build, ScriptBuild) for name in each.build.inputs
    }
    pythons = [
        name
        for name, recipe in recipes.items()
        if name in used
        and recipe.mount == home
        and _numbers(recipe.package.version)[:2] == _numbers(runtime.runtime.python)
    ]
    if pythons:
        return pythons[0]
    if runtime.runtime.package not in recipes:
        raise InvalidRecipe(
            f"the runtime `{runtime.name}` names an unknown package `{runtime.runtime.package}`"
        )
    return runtime.runtime.package


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
