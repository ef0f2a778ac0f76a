"""Derivations of environments and packages."""

from __future__ import annotations

from collections.abc import Mapping

from layerlock.errors import InvalidRecipe
from layerlock.model.derivation import (
    Derivation,
    GuestRun,
    Input,
    Needs,
    PatchInput,
    SourceInput,
    Transform,
)
from layerlock.model.digest import Canonical
from layerlock.model.lock import LockedGit, LockedPath, LockedSource
from layerlock.model.recipe import (
    EnvironmentRecipe,
    FileSource,
    GitSource,
    Limits,
    PackageRecipe,
    PathSource,
    ScriptBuild,
    Source,
    TarballSource,
    WheelsBuild,
    WheelSource,
    ZipSource,
)
from layerlock.model.recipes import GuestCode, Recipes
from layerlock.plan import images
from layerlock.plan.guestcode import files_of
from layerlock.plan.requirements import check_wheels

GUEST_PYTHON = "/usr/bin/python3"
"""The Python that guest scripts run on where an environment names no other."""

VARIABLES: Mapping[str, str] = {
    "HOME": "/build",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/bin:/bin",
    "PYTHONHASHSEED": "0",
    # 1980-01-01, the first moment that a zip archive can express.
    "SOURCE_DATE_EPOCH": "315532800",
    "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
    "TZ": "UTC",
    "out": "/out",
}
"""What every build finds in its environment; recipes may add to it and override it."""


def environment_name(name: str) -> str:
    """Give the name of an environment's derivation."""
    return f"environment-{name}"


def source_name(recipe: PackageRecipe, source: Source) -> str:
    """Give a source's name: as stated, or what stands for it."""
    if source.name is not None:
        return source.name
    match source:
        case WheelSource() | FileSource():
            return file_name(source)
        case _:
            return recipe.name


def source_key(recipe: PackageRecipe, source: Source) -> str:
    """Give the key of a source in a lock."""
    return f"{recipe.name}/{source_name(recipe, source)}"


def file_name(source: WheelSource | FileSource) -> str:
    """Give the file name that a build sees: the last part of the first address."""
    return source.urls[0].rpartition("/")[2]


def guest_command(recipes: Recipes, name: str) -> tuple[str, ...]:
    """Say how guest scripts are started in an environment: its own Python, without a user's or a site's say."""
    about = recipes.environment(name).environment
    while about.python is None and about.base is not None:
        about = recipes.environment(about.base).environment
    return (about.python or GUEST_PYTHON, "-s", "-E", "-B")


def environment(recipe: EnvironmentRecipe, recipes: Recipes) -> Derivation:
    """Describe the making of a root file system.

    Raises:
        InvalidRecipe, StaleLock: what it is made from is not pinned, or not so that it cannot move.
    """
    about = recipe.environment
    if about.image is not None:
        image = images.pinned_image(recipe, recipes)
        return Derivation(
            name=environment_name(about.name),
            version="",
            system=about.system,
            action=images.transform(recipe, image),
            sources=images.sources(recipe, image),
        )
    if about.base is not None:
        if recipe.floor is None:
            raise InvalidRecipe(f"the environment `{about.name}` has a base and no floor")
        return Derivation(
            name=environment_name(about.name),
            version="",
            system=about.system,
            action=Transform(
                name="glibc-floor/1",
                parameters={"glibc": recipe.floor.glibc, "libraries": sorted(recipe.floor.libraries)},
            ),
            inputs=(Input(name=environment_name(about.base), mount=None),),
        )
    images.check_debs(recipe, recipes)
    return Derivation(
        name=environment_name(about.name),
        version="",
        system=about.system,
        action=Transform(name="debian-root/1", parameters={"links": dict(recipe.links)}),
        sources=tuple(
            SourceInput(
                key=f"{about.name}/{deb.name}",
                place=deb.name,
                identity=f"sha256:{deb.sha256}",
                unpack="deb/1",
            )
            for deb in sorted(recipe.debs, key=lambda deb: deb.name)
        ),
    )


def variables(recipes: Recipes, name: str) -> dict[str, str]:
    """Give the variables of every build in an environment, its bases' among them."""
    recipe = recipes.environment(name)
    base = recipe.environment.base
    inherited = variables(recipes, base) if base is not None else dict(VARIABLES)
    return inherited | dict(recipe.variables)


def package(
    recipe: PackageRecipe, recipes: Recipes, code: GuestCode, pins: Mapping[str, LockedSource]
) -> Derivation:
    """Describe the build of a package."""
    check_wheels(recipe, recipes)
    build = recipe.build
    sources = tuple(_source(recipe, source, pins) for source in recipe.sources)
    root = environment_name(build.environment)
    given = variables(recipes, build.environment)
    inputs = [Input(name=root, mount=None)]
    match build:
        case ScriptBuild():
            entry, task = "build.py", _script_task(recipe, build)
            inputs += (Input(name=name, mount=recipes.package(name).mount) for name in build.inputs)
            given |= dict(build.variables)
        case WheelsBuild():
            entry, task = "wheels.py", _wheels_task(recipe, build)
    return Derivation(
        name=recipe.name,
        version=recipe.package.version,
        system=recipes.environment(build.environment).environment.system,
        action=GuestRun(
            root=root,
            command=guest_command(recipes, build.environment),
            entry=entry,
            guest=files_of(entry, code),
            task=task,
            variables=given,
        ),
        inputs=tuple(inputs),
        sources=sources,
        patches=tuple(PatchInput(path=patch.file, sha256=patch.sha256) for patch in recipe.patches),
        needs=needs(build.limits),
    )


def needs(limits: Limits) -> Needs:
    """Give a recipe's limits as a derivation states them."""
    return Needs(
        memory=limits.memory,
        memory_per_job=limits.memory_per_job,
        seconds=limits.time,
        processes=limits.processes,
        output_bytes=limits.output,
    )


def _source(recipe: PackageRecipe, source: Source, pins: Mapping[str, LockedSource]) -> SourceInput:
    key = source_key(recipe, source)
    name = source_name(recipe, source)
    match source:
        case TarballSource() | ZipSource():
            return SourceInput(
                key=key,
                place=f"/build/{name}",
                identity=f"sha256:{source.sha256}",
                unpack="tar/1" if isinstance(source, TarballSource) else "zip/1",
                strip=source.strip,
                folder=source.folder or "",
            )
        case WheelSource() | FileSource():
            return SourceInput(
                key=key, place=f"/sources/{file_name(source)}", identity=f"sha256:{source.sha256}", unpack=""
            )
        case GitSource() | PathSource():
            pin = pins.get(key)
            if not isinstance(pin, LockedGit | LockedPath):
                # `fit.check_sources` has refused a lock without this pin before anything is planned.
                raise InvalidRecipe(f"the source `{key}` has no tree hash")
            return SourceInput(
                key=key,
                place=f"/build/{name}",
                identity=pin.tree,
                unpack="tree/1",
                folder=(source.folder or "") if isinstance(source, GitSource) else "",
            )


def _script_task(recipe: PackageRecipe, build: ScriptBuild) -> dict[str, Canonical]:
    trees = [s for s in recipe.sources if not isinstance(s, WheelSource | FileSource)]
    folder = f"/build/{source_name(recipe, trees[0])}" if trees else "/build"
    return {
        "script": build.script,
        "cwd": folder,
        "patches": [
            {
                "file": f"/layerlock/patches/{patch.file.rpartition('/')[2]}",
                "directory": f"/build/{patch.source}" if patch.source else folder,
            }
            for patch in recipe.patches
        ],
    }


def _wheels_task(recipe: PackageRecipe, build: WheelsBuild) -> dict[str, Canonical]:
    wheels = sorted(file_name(s) for s in recipe.sources if isinstance(s, WheelSource))
    task: dict[str, Canonical] = {
        "wheels": [f"/sources/{name}" for name in wheels],
        "python": build.python,
        "allow_pth": build.pth,
        "patches": [{"file": f"/layerlock/patches/{p.file.rpartition('/')[2]}"} for p in recipe.patches],
    }
    if build.site is not None:
        task["site"] = build.site
    return task
