"""Finding the wheels of packages that state ranges, and handing them to other tools."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.errors import FetchError, Unresolvable, UsageError
from layerlock.io.repository import Repository
from layerlock.model.recipe import PackageRecipe, WheelsBuild, WheelSource
from layerlock.plan.packages import file_name
from layerlock.plan.requirements import asked, check_wheels, outdated
from layerlock.plan.resolve import closure_of_layer
from layerlock.workflows.driver import Driver

if TYPE_CHECKING:
    from collections.abc import Callable

    from layerlock.sources.fetch import Reach
    from layerlock.sources.pylock import LockedWheel


@dataclass(frozen=True, kw_only=True, slots=True)
class Pinned:
    """The wheels of a package: the file that holds them, how many, and projects by what became of them.

    `moved` are (project, version before, version now); `kept` says that nothing had to be looked for.
    """

    package: str
    file: str
    wheels: int
    added: tuple[str, ...]
    moved: tuple[tuple[str, str, str], ...]
    removed: tuple[str, ...]
    kept: bool


def wheels_file(name: str) -> str:
    """Give the place of a package's pins from the top of the repository."""
    return f"recipes/packages/{name}.wheels.toml"


def pin_layer(driver: Driver, repository: Repository, layer: str, upgrade: frozenset[str]) -> Repository:
    """Find the wheels of a layer's packages where they are missing or to move; give the recipes as they are then.

    Raises:
        LayerlockError: as `pin_package`.
    """
    names = [p.name for p in closure_of_layer(repository, layer).packages if p.requirements is not None]
    pinned = [pin_package(driver, repository, name, upgrade) for name in names]
    return repository if all(each.kept for each in pinned) else repository.fresh()


def pin_package(driver: Driver, repository: Repository, name: str, upgrade: frozenset[str]) -> Pinned:
    """Find the wheels of one package and write them beside its recipe.

    Pins that fit are kept, but for those of packages, or of wheels (`package/project`), in `upgrade`. Where nothing
    has to move, nobody is asked.

    Raises:
        InvalidRecipe: the package states no requirements, or ones that are none.
        Unresolvable: wheels cannot meet them.
        BadPylock: the `pylock.toml` that it names is malformed.
        Offline, FetchError, HashMismatch: an index does not answer, or not with what is pinned.
    """
    recipe = repository.package(name)
    wanted, now = asked(recipe, repository)
    before = {wheel.name: wheel for wheel in recipe.resolved.wheels} if recipe.resolved is not None else {}
    moving = {project for project in before if upgrade & {name, f"{name}/{project}"}}
    if outdated(recipe, repository) is None and not moving and name not in upgrade:
        return Pinned(
            package=name,
            file=wheels_file(name),
            wheels=len(before),
            added=(),
            moved=(),
            removed=(),
            kept=True,
        )
    pylock = None
    if wanted.pylock is not None:
        pylock = (repository.data(wanted.pylock)[0], f"recipes/{wanted.pylock}")
    kept = tuple(wheel for wheel in before.values() if wheel.name not in moving)
    try:
        resolved = driver.supplier.wheels(recipe, now, kept, pylock)
    except Unresolvable as error:
        error.location = error.location or repository.locate("packages", name, "requirements.wants")
        raise
    from layerlock.sources.wheel_pins import write_wheels  # noqa: PLC0415 - only who resolves loads it

    write_wheels(name, wanted, resolved, repository.root / wheels_file(name))
    after = {wheel.name: wheel for wheel in resolved.wheels}
    return Pinned(
        package=name,
        file=wheels_file(name),
        wheels=len(after),
        added=tuple(sorted(after.keys() - before.keys())),
        moved=tuple(
            (project, before[project].version, after[project].version)
            for project in sorted(before.keys() & after.keys())
            if before[project] != after[project]
        ),
        removed=tuple(sorted(before.keys() - after.keys())),
        kept=False,
    )


def pylock_of(
    driver: Driver, name: str, *, folder: Path | None = None, reach: Callable[[], Reach] | None = None
) -> str:
    """Write a package's wheels as a `pylock.toml`.

    A wheel is named by its file beside the `pylock.toml`, so that the text is the same on every machine.

    Args:
        driver: where the package and its wheels are.
        name: the package.
        folder: takes the file, and the wheels, which are fetched where the store lacks them.
        reach: instead of file names, write the addresses that this host's indexes give.

    Raises:
        UsageError: the package is not made from wheels alone.
        StaleLock: its requirements changed since its wheels were pinned.
        FetchError: no index lists a wheel, or none gives it.
    """
    from layerlock.sources.pylock import write_pylock  # noqa: PLC0415 - as above
    from layerlock.sources.wheel_pins import target_of  # noqa: PLC0415 - as above

    recipe = driver.repository.package(name)
    if not isinstance(recipe.build, WheelsBuild):
        raise UsageError(
            f"the package `{name}` is not made from wheels", hint='it has to have `builder = "wheels"`'
        )
    check_wheels(recipe, driver.repository)
    found = [_wheel(driver, recipe, source, folder, reach) for source in recipe.sources]
    marker = target_of(recipe.resolved).marker if recipe.resolved is not None else None
    text = write_pylock(found, recipe.build.python, marker)
    if folder is not None:
        (folder / "pylock.toml").write_text(text, encoding="utf-8")
    return text


def _wheel(
    driver: Driver,
    recipe: PackageRecipe,
    source: object,
    folder: Path | None,
    reach: Callable[[], Reach] | None,
) -> LockedWheel:
    from layerlock.sources.pylock import LockedWheel  # noqa: PLC0415 - as above
    from layerlock.sources.releases import named  # noqa: PLC0415 - as above

    if not isinstance(source, WheelSource):
        raise UsageError(f"the package `{recipe.name}` has sources that are no wheels")
    filename = file_name(source)
    sizes = (
        {wheel.sha256: wheel.size for wheel in recipe.resolved.wheels} if recipe.resolved is not None else {}
    )
    address = None
    if reach is not None:
        place = named(source.urls)
        address = reach().origins.url(*place) if place is not None else source.urls[0]
        if address is None:
            raise FetchError(f"no index lists {source.urls[0]}", hint="leave --addresses out")
    if folder is not None:
        pin = driver.supplier.pin(recipe, source, None, upgrade=False)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(driver.supplier.fetch(pin), folder / filename)
    return LockedWheel(
        filename=filename,
        sha256=source.sha256,
        size=sizes.get(source.sha256),
        address=address,
        path=None if address else filename,
    )
