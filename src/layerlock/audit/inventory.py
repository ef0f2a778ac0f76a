"""What a layer is made of: one record a component, for bills of materials, vulnerabilities and provenance alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

from layerlock.audit.identity import debian_purl, registry_purl
from layerlock.errors import InvalidRecipe, Location
from layerlock.model.contents import BundledPart, DebianPart, Part, Statement
from layerlock.model.lock import Lock, LockedFile, LockedSource, RecordedZip
from layerlock.model.recipe import Deb, EnvironmentRecipe, PackageRecipe, ScriptBuild, WheelSource
from layerlock.model.recipes import Recipes
from layerlock.plan.functions import names_of
from layerlock.plan.packages import environment_name, source_key
from layerlock.plan.resolve import Closure

Kind = Literal["package", "wheel", "debian", "bundled"]


class Patched(Recipes, Protocol):
    """Recipes whose patches can be read."""

    def patch(self, package: PackageRecipe, index: int) -> Path:
        """Give the place of a package's patch, its hash checked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AppliedPatch:
    """A patch, its bytes and hash, and the vulnerabilities that it mends by the recipe's own word."""

    path: str
    sha256: str
    text: bytes
    mends: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Component:
    """One component: a package, a wheel of it, a Debian package, or code that a package brings along.

    `ref` is its name among all components, `owner` the recipe that it stands in (a package's, or an environment's).
    Texts that a recipe does not state are empty. `needs` are refs of what it was built with and what it holds.
    """

    ref: str
    kind: Kind
    owner: str
    name: str
    version: str
    purl: str
    location: Location
    cpe: str = ""
    license: str = ""
    summary: str = ""
    homepage: str = ""
    sources: tuple[LockedSource, ...] = ()
    patches: tuple[AppliedPatch, ...] = ()
    planned: str = ""
    output: str | None = None
    needs: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()
    debian: tuple[str, Deb] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """All components of a layer: those whose bytes ship in it, and those that only helped to build and try it.

    `lock_sha256` is the hash of the lock file, hexadecimal.
    """

    layer: str
    summary: str
    runtime: str
    architecture: str
    lock_sha256: str
    zip: RecordedZip | None
    planned: str
    shipped: tuple[Component, ...]
    building: tuple[Component, ...]


def take_inventory(
    recipes: Patched, layer: str, closure: Closure, lock: Lock, lock_sha256: str, *, patches: bool = True
) -> Inventory:
    """List what a layer is made of, by ref. Patches are read only where they are wanted.

    Raises:
        InvalidRecipe: a recipe says that its output holds a Debian package that its environment has not.
    """
    recipe = recipes.layer(layer)
    shipping = frozenset(recipe.layer.packages)
    gather = _Gather(recipes, closure, lock, patches=patches)
    shipped: list[Component] = []
    building: list[Component] = []
    for package in closure.packages:
        (shipped if package.name in shipping else building).extend(gather.package(package))
    for environment in closure.environments:
        building.extend(gather.environment(environment))
    made = lock.derivation(names_of(recipe).zip)
    return Inventory(
        layer=layer,
        summary=recipe.layer.summary,
        runtime=recipe.layer.runtime,
        architecture=recipe.layer.architecture,
        lock_sha256=lock_sha256,
        zip=lock.zip,
        planned=made.planned if made is not None else "",
        shipped=tuple(sorted(shipped, key=lambda component: component.ref)),
        building=tuple(sorted(building, key=lambda component: component.ref)),
    )


def rooted(recipes: Recipes, name: str) -> EnvironmentRecipe:
    """Give the environment whose Debian packages another one stands on: itself, or the base of its bases."""
    environment = recipes.environment(name)
    base = environment.environment.base
    return environment if base is None else rooted(recipes, base)


@dataclass(frozen=True, kw_only=True, slots=True)
class StrayPart:
    """A Debian package that a recipe says it copies from, and that its environment does not have."""

    name: str
    environment: str
    location: Location


def stray_parts(recipes: Recipes, package: PackageRecipe) -> Iterator[StrayPart]:
    """Find parts that a package cannot have."""
    root = rooted(recipes, package.build.environment)
    known = {deb.name for deb in root.debs}
    for index, part in enumerate(package.contains):
        if isinstance(part, DebianPart) and part.name not in known:
            place = recipes.locate("packages", package.name, f"contains[{index}].name")
            yield StrayPart(name=part.name, environment=root.name, location=place)


class _Gather:
    def __init__(self, recipes: Patched, closure: Closure, lock: Lock, *, patches: bool) -> None:
        self._recipes = recipes
        self._names = {package.name for package in closure.packages}
        self._lock = lock
        self._patches = patches

    def package(self, recipe: PackageRecipe) -> Iterator[Component]:
        """Give a package with its wheels and its parts."""
        about = recipe.package
        # A package that is nothing but one Debian package or one wheel stands for it.
        parts = tuple(self._parts(recipe))
        whole = next((part for part in parts if part.purl == about.purl != ""), None)
        parts = tuple(part for part in parts if part is not whole)
        wheels = tuple(wheel for wheel in self._wheels(recipe) if wheel.purl != about.purl)
        derivation = self._lock.derivation(recipe.name)
        inputs = recipe.build.inputs if isinstance(recipe.build, ScriptBuild) else ()
        keys = {source_key(recipe, source) for source in recipe.sources}
        yield Component(
            ref=_ref("package", recipe.name),
            kind="package",
            owner=recipe.name,
            name=about.name,
            version=about.version,
            purl=about.purl,
            cpe=about.cpe,
            license=about.license,
            summary=about.summary,
            homepage=about.homepage,
            location=self._recipes.locate("packages", recipe.name, "package"),
            sources=tuple(pin for pin in self._lock.sources if pin.key in keys)
            + (whole.sources if whole else ()),
            patches=tuple(self._applied(recipe)) if self._patches else (),
            planned=derivation.planned if derivation else "",
            output=derivation.output if derivation else None,
            needs=tuple(_ref("package", name) for name in inputs if name in self._names),
            holds=tuple(part.ref for part in (*wheels, *parts)),
            statements=_about(recipe, whole.name if whole else ""),
            debian=whole.debian if whole else None,
        )
        yield from wheels
        yield from parts

    def environment(self, recipe: EnvironmentRecipe) -> Iterator[Component]:
        """Give the Debian packages of an environment."""
        # One look-up for all of them: it reads the file.
        location = self._recipes.locate("environments", recipe.name, "environment.packages")
        for index, deb in enumerate(recipe.debs):
            pin = self._lock.source(f"{recipe.name}/{deb.name}")
            yield Component(
                ref=_ref("environment", recipe.name, deb.name),
                kind="debian",
                owner=environment_name(recipe.name),
                name=deb.name,
                version=deb.version,
                purl=debian_purl(recipe, deb),
                location=replace(location, path=f"debs[{index}]"),
                sources=(pin,) if pin is not None else (),
                debian=(recipe.environment.suite or "", deb),
            )

    def _wheels(self, recipe: PackageRecipe) -> Iterator[Component]:
        for index, source in enumerate(recipe.sources):
            known = registry_purl(source.urls[0]) if isinstance(source, WheelSource) else None
            if known is None:
                continue
            name, version, purl = known
            pin = self._lock.source(source_key(recipe, source))
            yield Component(
                ref=_ref("wheel", recipe.name, name),
                kind="wheel",
                owner=recipe.name,
                name=name,
                version=version,
                purl=purl,
                location=self._recipes.locate("packages", recipe.name, f"sources[{index}]"),
                sources=(pin,) if isinstance(pin, LockedFile) else (),
                statements=_about(recipe, name),
            )

    def _parts(self, recipe: PackageRecipe) -> Iterator[Component]:
        for stray in stray_parts(self._recipes, recipe):
            raise InvalidRecipe(
                f"the environment `{stray.environment}` has no Debian package `{stray.name}`",
                hint="name one of its packages, as its `.debs.toml` lists them",
                location=stray.location,
            )
        for index, part in enumerate(recipe.contains):
            yield self._part(recipe, index, part)

    def _part(self, recipe: PackageRecipe, index: int, part: Part) -> Component:
        component = Component(
            ref=_ref("part", recipe.name, part.name),
            kind=part.kind,
            owner=recipe.name,
            name=part.name,
            version="",
            purl="",
            cpe=part.cpe,
            license=part.license,
            location=self._recipes.locate("packages", recipe.name, f"contains[{index}]"),
            statements=_about(recipe, part.name),
        )
        match part:
            case BundledPart():
                return replace(component, version=part.version, purl=part.purl)
            case DebianPart():
                root = rooted(self._recipes, recipe.build.environment)
                deb = next(deb for deb in root.debs if deb.name == part.name)
                pin = self._lock.source(f"{root.name}/{deb.name}")
                return replace(
                    component,
                    version=deb.version,
                    purl=debian_purl(root, deb),
                    sources=(pin,) if pin is not None else (),
                    debian=(root.environment.suite or "", deb),
                )

    def _applied(self, recipe: PackageRecipe) -> Iterator[AppliedPatch]:
        for index, patch in enumerate(recipe.patches):
            yield AppliedPatch(
                path=f"patches/{patch.file}",
                sha256=patch.sha256,
                text=self._recipes.patch(recipe, index).read_bytes(),
                mends=tuple(
                    name
                    for statement in recipe.vulnerabilities
                    if statement.status == "patched" and statement.patch == patch.file
                    for name in statement.ids
                ),
            )


def _about(recipe: PackageRecipe, part: str) -> tuple[Statement, ...]:
    """Give the statements that cover a part, or the package itself: those about it, and those about all of it."""
    return tuple(statement for statement in recipe.vulnerabilities if statement.part in ("", part))


def _ref(*steps: str) -> str:
    return ":".join(steps)
