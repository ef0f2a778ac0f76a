"""Moving pins to newer releases: the recipe's values, then the locks of the layers that use it, or nothing at all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.errors import FetchError, InvalidRecipe, UsageError
from layerlock.io.atomic import write_bytes
from layerlock.io.edits import Steps, edited
from layerlock.io.lockfile import read_lock
from layerlock.io.repository import Repository
from layerlock.model.lock import LockedFile, LockedGit
from layerlock.model.recipe import (
    EnvironmentRecipe,
    GitSource,
    PackageRecipe,
    TarballSource,
    WheelSource,
    ZipSource,
)
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import closure_of_layer
from layerlock.workflows.driver import Driver
from layerlock.workflows.locking import Relocked, lock_layer
from layerlock.workflows.resolving import pin_package, wheels_file

if TYPE_CHECKING:
    from layerlock.sources.fetch import Reach

Indexed = TarballSource | ZipSource | WheelSource


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """A pin that moved: its key, and what it was and is; sizes in bytes, where they are known."""

    key: str
    before: str
    after: str
    size_before: int | None = None
    size_after: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Updated:
    """What an update came to.

    `moved` are the pins, `files` what was written, `relocked` the locks; `left` are lines of the recipe that still
    say an old version (place, line), for a person to look at. `unlisted` are sources of which no newer release can be
    known, because they come from no index and follow no branch.
    """

    name: str
    moved: tuple[Moved, ...]
    files: tuple[str, ...]
    relocked: tuple[Relocked, ...]
    left: tuple[tuple[str, str], ...]
    unlisted: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Change:
    """What becomes of a source in its recipe."""

    moved: Moved
    values: dict[Steps, str | list[str]]
    old: str


def update(driver: Driver, name: str, reach: Callable[[], Reach], *, to: str = "") -> Updated:
    """Move the pins of a package or an environment, and write them into its recipe and the locks that hold it.

    Args:
        name: a package, one source of it (`package/source`), or an environment.
        to: the version to move to, in place of the newest one that the recipe allows.

    Nothing is changed where anything fails.

    Raises:
        UsageError: there is no such recipe, or no such version.
        InvalidRecipe: the sources stand in the recipe that this one is based on.
        LayerlockError: a download or a lock failed.
    """
    repository = driver.repository
    package, _, source = name.partition("/")
    if package in repository.names("packages"):
        return _package(driver, repository.package(package), source, cache(reach), to)
    if name in repository.names("environments"):
        return _environment(driver, repository.environment(name))
    known = ", ".join((*repository.names("packages"), *repository.names("environments")))
    raise UsageError(f"there is no package and no environment `{name}`", hint=f"known: {known}")


def users(repository: Repository, kind: str, name: str) -> tuple[str, ...]:
    """Give the layers with a lock that need a package or an environment."""
    found = []
    for layer in repository.targets():
        if repository.lock_path(layer).is_file():
            closure = closure_of_layer(repository, layer)
            recipes = closure.packages if kind == "packages" else closure.environments
            if name in {recipe.name for recipe in recipes}:
                found.append(layer)
    return tuple(found)


def _package(
    driver: Driver, recipe: PackageRecipe, only: str, reach: Callable[[], Reach], to: str
) -> Updated:
    repository = driver.repository
    shown = repository.recipe_file("packages", recipe.name)
    path = repository.root / shown
    layers = users(repository, "packages", recipe.name)
    changes, unlisted = [], []
    found = {wheel.name for wheel in recipe.resolved.wheels} if recipe.resolved is not None else set()
    if recipe.requirements is not None and (not only or only in found):
        return _wheels(driver, recipe, only, layers, to)
    for index, source in enumerate(recipe.sources[: len(recipe.sources) - len(found)]):
        key = source_key(recipe, source)
        if only and key != f"{recipe.name}/{only}":
            continue
        match source:
            case TarballSource() | ZipSource() | WheelSource():
                change = _released(driver, recipe, index, source, reach(), to)
            case GitSource() if source.branch is not None and source.tag is None and not to:
                change = _followed(driver, recipe, index, source)
            case _:
                unlisted.append(key)
                continue
        if change is None and isinstance(source, Indexed) and not _named(source):
            unlisted.append(key)
        if change is not None:
            changes.append(change)
    if only and not changes and not unlisted and only not in _names(recipe):
        raise UsageError(f"{recipe.name} has no source `{only}`", hint=f"known: {', '.join(_names(recipe))}")
    if not changes:
        return _nothing(recipe.name, unlisted)
    text = path.read_text(encoding="utf-8")
    values = {steps: value for change in changes for steps, value in change.values.items()}
    new = edited(text, _with_version(text, recipe, changes, values), shown)
    before = _sizes(repository, layers)
    with all_or_nothing([path, *(repository.lock_path(layer) for layer in layers)]):
        write_bytes(path, new.encode())
        relocked = _relock(driver, layers, recipe.name)
        after = _sizes(repository, layers)
    moved = [
        replace(c.moved, size_before=before.get(c.moved.key), size_after=after.get(c.moved.key))
        for c in changes
    ]
    return Updated(
        name=recipe.name,
        moved=tuple(moved),
        files=(shown, *(f"lockfiles/{layer}.lock" for layer in layers)),
        relocked=relocked,
        left=tuple(_left(new, shown, {change.old for change in changes})),
        unlisted=tuple(unlisted),
    )


def _wheels(driver: Driver, recipe: PackageRecipe, only: str, layers: tuple[str, ...], to: str) -> Updated:
    """Look for newer wheels within the ranges of a recipe, for one project or for all; the ranges stay."""
    if to:
        raise UsageError(
            f"the wheels of {recipe.name} come from ranges",
            hint=f"write `=={to}` into its requirements, then lock",
        )
    repository = driver.repository
    pins = wheels_file(recipe.name)
    moving = frozenset({f"{recipe.name}/{only}" if only else recipe.name})
    with all_or_nothing([repository.root / pins, *(repository.lock_path(layer) for layer in layers)]):
        pin_package(driver, repository, recipe.name, moving)
        relocked = _relock(driver, layers, "")
    before = {wheel.name: wheel for wheel in recipe.resolved.wheels} if recipe.resolved is not None else {}
    written = repository.fresh().package(recipe.name).resolved
    after = {wheel.name: wheel for wheel in written.wheels} if written is not None else {}
    moved = [
        Moved(
            key=f"{recipe.name}/{name}",
            before=before[name].version if name in before else "",
            after=after[name].version if name in after else "",
            size_before=before[name].size if name in before else None,
            size_after=after[name].size if name in after else None,
        )
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    files = (pins, *(f"lockfiles/{layer}.lock" for layer in layers)) if moved else ()
    return Updated(name=recipe.name, moved=tuple(moved), files=files, relocked=relocked, left=(), unlisted=())


def _environment(driver: Driver, recipe: EnvironmentRecipe) -> Updated:
    repository, about = driver.repository, recipe.environment
    layers = users(repository, "environments", recipe.name)
    if about.base is not None:
        raise UsageError(
            f"the environment {recipe.name} is made from {about.base}", hint=f"update {about.base}"
        )
    if not layers:
        raise UsageError(f"no locked layer uses the environment {recipe.name}", hint="lock a layer that does")
    kind = "debs" if about.image is None else "image"
    pins = f"recipes/environments/{recipe.name}.{kind}.toml"
    with all_or_nothing([repository.root / pins, *(repository.lock_path(layer) for layer in layers)]):
        relocked = _relock(driver, layers, recipe.name)
    before, after = _pins(recipe), _pins(repository.fresh().environment(recipe.name))
    moved = [
        Moved(
            key=f"{recipe.name}/{name}",
            before=before[name][0] if name in before else "",
            after=after[name][0] if name in after else "",
            size_before=before[name][1] if name in before else None,
            size_after=after[name][1] if name in after else None,
        )
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    files = (pins, *(f"lockfiles/{layer}.lock" for layer in layers)) if moved else ()
    return Updated(name=recipe.name, moved=tuple(moved), files=files, relocked=relocked, left=(), unlisted=())


def _pins(recipe: EnvironmentRecipe) -> dict[str, tuple[str, int, str]]:
    """Give what an environment is made from by name: version or digest, size, and hash."""
    found = {deb.name: (deb.version, deb.size, deb.sha256) for deb in recipe.debs}
    if recipe.image is not None:
        size = sum(layer.size for layer in recipe.image.layers)
        found["image"] = (recipe.image.manifest, size, recipe.image.manifest)
    return found


def _released(
    driver: Driver, recipe: PackageRecipe, index: int, source: Indexed, reach: Reach, to: str
) -> _Change | None:
    """Find the release that a source moves to; None where it stands at the newest, or comes from no index."""
    from layerlock.sources.releases import newest, read_filename, releases  # noqa: PLC0415 - brings `packaging` in

    named = _named(source)
    pinned = read_filename(named[1]) if named is not None else None
    if named is None or pinned is None:
        return None
    if reach.offline:
        raise FetchError("newer releases are not known without the network", hint="run without --offline")
    listed = releases(reach.origins, named[0])
    release = newest(listed, named[1], f"=={to}" if to else source.allows, _python(driver, recipe))
    if release is None:
        if to and str(pinned[0]) != to:
            raise UsageError(
                f"the index has no later release {to} of {named[0]} that could stand for {named[1]}",
                hint="see what there is: layerlock audit --online --only newer-release",
            )
        return None
    old, new = _spelled(named[1], str(pinned[0])), str(release.version)
    urls = [
        f"pypi:{named[0]}/{release.filename}"
        if url == f"pypi:{named[0]}/{named[1]}"
        else url.replace(old, new)
        for url in source.urls
        if url.startswith("pypi:") or old in url
    ]
    at: Steps = ("sources", index)
    return _Change(
        moved=Moved(key=source_key(recipe, source), before=old, after=new),
        values={(*at, "urls"): urls, (*at, "sha256"): release.sha256 or ""},
        old=old,
    )


def _followed(driver: Driver, recipe: PackageRecipe, index: int, source: GitSource) -> _Change | None:
    """Follow a branch to its tip; None where the pin is the tip."""
    pin = driver.supplier.pin(recipe, source, None, upgrade=True)
    if not isinstance(pin, LockedGit) or pin.commit == source.commit:
        return None
    at: Steps = ("sources", index)
    values: dict[Steps, str | list[str]] = {(*at, "commit"): pin.commit}
    if source.tree is not None:
        values[*at, "tree"] = pin.tree
    return _Change(
        moved=Moved(key=source_key(recipe, source), before=source.commit, after=pin.commit),
        values=values,
        old=source.commit,
    )


def _with_version(
    text: str, recipe: PackageRecipe, changes: Iterable[_Change], values: dict[Steps, str | list[str]]
) -> dict[Steps, str | list[str]]:
    """Add the package's own version, package URL and CPE name, where they are those of a source that moves."""
    about = recipe.package
    made = dict(values)
    for change in changes:
        if change.old != about.version:
            continue
        stated = text.partition("[[sources]]")[0]
        if re.search(r"^version\s*=", stated, re.MULTILINE):
            made["package", "version"] = change.moved.after
        if re.search(r"^purl\s*=", stated, re.MULTILINE):
            made["package", "purl"] = about.purl.replace(f"@{change.old}", f"@{change.moved.after}")
        if re.search(r"^cpe\s*=", stated, re.MULTILINE):
            made["package", "cpe"] = about.cpe.replace(f":{change.old}:", f":{change.moved.after}:")
    return made


def _relock(driver: Driver, layers: tuple[str, ...], name: str) -> tuple[Relocked, ...]:
    fresh = replace(driver, repository=driver.repository.fresh())
    together = frozenset(layers)
    return tuple(lock_layer(fresh, layer, frozenset({name}), together) for layer in layers)


def _sizes(repository: Repository, layers: Iterable[str]) -> dict[str, int]:
    """Give the size of every file that locks pin, by its key."""
    locks = (read_lock(repository.lock_path(layer), layer) for layer in layers)
    return {pin.key: pin.size for lock in locks for pin in lock.sources if isinstance(pin, LockedFile)}


@contextmanager
def all_or_nothing(paths: Iterable[Path]) -> Iterator[None]:
    """Put files back as they were, should anything fail meanwhile."""
    kept = {path: path.read_bytes() if path.is_file() else None for path in paths}
    try:
        yield
    except BaseException:
        for path, data in kept.items():
            if data is None:
                path.unlink(missing_ok=True)
            elif path.read_bytes() != data:
                write_bytes(path, data)
        raise


def _left(text: str, shown: str, old: set[str]) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if any(re.search(rf"(?<![\w.]){re.escape(version)}(?![\w.]*\d)", line) for version in old):
            yield f"{shown}:{number}", line.strip()


def _python(driver: Driver, recipe: PackageRecipe) -> str | None:
    """Give the Python version of the layers that need a package, if it is one and the same."""
    repository = driver.repository
    found = {
        repository.runtime(repository.layer(layer).layer.runtime).runtime.python
        for layer in users(repository, "packages", recipe.name)
    }
    return found.pop() if len(found) == 1 else None


def _named(source: Indexed) -> tuple[str, str] | None:
    from layerlock.sources.releases import named  # noqa: PLC0415 - as above

    return named(source.urls)


def _names(recipe: PackageRecipe) -> tuple[str, ...]:
    return tuple(source_key(recipe, source).partition("/")[2] for source in recipe.sources)


def _spelled(filename: str, version: str) -> str:
    """Give a version as a file name spells it, which need not be its normal form."""
    if version in filename:
        return version
    raise InvalidRecipe(f"{filename} does not spell its version {version} as it is", hint="update it by hand")


def _nothing(name: str, unlisted: list[str]) -> Updated:
    return Updated(name=name, moved=(), files=(), relocked=(), left=(), unlisted=tuple(unlisted))
