"""Whether recipes still fit the lock that was written from them, and what to call the difference."""

from __future__ import annotations

from collections.abc import Mapping

from layerlock.errors import Location, StaleLock
from layerlock.model.derivation import Derivation
from layerlock.model.digest import Canonical, digest
from layerlock.model.lock import Lock, LockedFile, LockedGit, LockedPath, LockedSource
from layerlock.model.recipe import (
    Deb,
    FileSource,
    GitSource,
    PathSource,
    Source,
    TarballSource,
    WheelSource,
    ZipSource,
)
from layerlock.model.recipes import Recipes
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import Closure, Plan


def mismatch(source: Source | Deb | LockedFile, pin: LockedSource) -> str | None:
    """Name the first key of a source that its pin does not fit; None where it fits."""
    pairs: dict[str, tuple[object, object]]
    match source, pin:
        case (GitSource(), LockedGit()):
            pairs = {
                "urls": (source.urls, pin.urls),
                "commit": (source.commit, pin.commit),
                "tree": (source.tree or pin.tree, pin.tree),
                "submodules": (source.submodules, pin.submodules),
            }
        case (PathSource(), LockedPath()):
            pairs = {"path": (source.path, pin.path)}
        case (Deb(), LockedFile()):
            pairs = {"path": ((source.path,), pin.urls), "sha256": (source.sha256, pin.sha256)}
        case (TarballSource() | ZipSource() | WheelSource() | FileSource() | LockedFile(), LockedFile()):
            pairs = {"urls": (source.urls, pin.urls), "sha256": (source.sha256, pin.sha256)}
        case _:
            return "kind"
    return next((name for name, (said, pinned) in pairs.items() if said != pinned), None)


Stated = tuple[str, Source | Deb | LockedFile, str, str, str]


def stated(closure: Closure, recipes: Recipes) -> list[Stated]:
    """Give every source that recipes state: its key in a lock, itself, and its place (kind, recipe, dotted path)."""
    return [
        *(
            (source_key(recipe, source), source, "packages", recipe.name, f"sources[{index}]")
            for recipe, index, source in closure.sources()
        ),
        *(
            (f"{recipe.name}/{deb.name}", deb, "environments", recipe.name, f"debs[{index}]")
            for recipe, index, deb in closure.debs()
        ),
        *(
            (layer.key, layer, "environments", recipe.name, f"image.layers[{index}]")
            for recipe, index, layer in closure.image_layers(recipes)
        ),
    ]


def check_sources(lock: Lock, closure: Closure, recipes: Recipes) -> dict[str, LockedSource]:
    """Give the pins of every source by key, all of them fitting the recipes.

    Raises:
        StaleLock: a source is not in the lock, or differs from its pin; the key of the recipe is named.
    """
    pins = {source.key: source for source in lock.sources}
    all_stated = stated(closure, recipes)
    for key, source, kind, name, dotted in all_stated:
        pin = pins.get(key)
        if pin is None:
            raise stale(
                lock.layer, f"the source `{key}` is not in the lock", recipes.locate(kind, name, dotted)
            )
        wrong = mismatch(source, pin)
        if wrong is not None:
            raise stale(
                lock.layer,
                f"`{wrong}` of the source `{key}` differs from the lock",
                recipes.locate(kind, name, f"{dotted}.{wrong}"),
            )
    return {key: pins[key] for key, *_ in all_stated}


def check_plan(lock: Lock, plan: Plan, recipes: Recipes) -> None:
    """Hold a plan against the derivations that the lock was written for.

    Raises:
        StaleLock: a derivation differs; the first one in build order and the key of its recipe are named.
    """
    all_locked = {locked.name: locked for locked in lock.derivations}
    for derivation in plan.derivations:
        locked = all_locked.get(derivation.name)
        if locked is None:
            raise stale(
                lock.layer, f"`{derivation.name}` is not in the lock", _place(recipes, derivation, "")
            )
        if locked.planned != plan.planned[derivation.name]:
            now = parts(derivation, plan.planned)
            changed = [
                part for part in sorted({*now, *locked.fields}) if now.get(part) != locked.fields.get(part)
            ]
            shown = ", ".join(f"`{_LABELS.get(part, part)}`" for part in changed) or "its encoding"
            place = _place(recipes, derivation, changed[0] if changed else "")
            raise stale(lock.layer, f"{shown} of `{derivation.name}` differs from the lock", place)


def stale(layer: str, problem: str, location: Location | None) -> StaleLock:
    """Make the error of a lock that does not fit, with the command that mends it."""
    return StaleLock(problem, hint=f"if the change is meant, run: nox -s lock -- {layer}", location=location)


def parts(derivation: Derivation, planned: Mapping[str, str]) -> dict[str, str]:
    """Give a short digest of each part of a derivation, for naming what changed between two of them."""
    fields = derivation.fields(planned)
    flat: dict[str, Canonical] = {}
    for name in ("action", "task"):
        # The parts of the action, and of a guest's task in it, are told apart: they are what people write.
        inner = (fields if name in fields else flat).pop(name, {})
        flat |= inner if isinstance(inner, Mapping) else {}
    flat |= fields
    return {name: digest(value)[:16] for name, value in flat.items() if value}


_LABELS = {
    "guest": "the guest code",
    "inputs": "an input",
    "script": "build.script",
    "variables": "build.variables",
    "parameters": "links or floor",
    "data": "a file of the recipe",
}


def _place(recipes: Recipes, derivation: Derivation, part: str) -> Location | None:
    name = derivation.name
    if name.startswith("environment-"):
        return recipes.locate("environments", name.removeprefix("environment-"), part)
    for kind in ("layer", "function"):
        if name.startswith(f"{kind}-"):
            return recipes.locate(f"{kind}s", name.removeprefix(f"{kind}-").rpartition("-")[0], part)
    return recipes.locate("packages", name, _LABELS.get(part, part))
