"""Reading layers for audits and for questions about them: where they are, what they are for, what they are made of."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from layerlock.audit.elf import DamagedElf, Elf, read_elf
from layerlock.audit.exports import parse_exports
from layerlock.audit.loading import OPT, Platform
from layerlock.audit.owners import Shipped
from layerlock.audit.reading import Inventory, take_inventory
from layerlock.audit.sizes import By, Weight, weigh
from layerlock.audit.survey import Survey, Surveying
from layerlock.errors import LayerlockError, Location, NotBuilt, StaleLock
from layerlock.io.filehash import file_sha256
from layerlock.io.lockfile import read_lock
from layerlock.io.repository import Repository
from layerlock.layer.result import read_zip
from layerlock.model.function import FunctionLayer
from layerlock.model.layer import LayerRecipe
from layerlock.model.lock import Lock
from layerlock.model.runtime import RuntimeRecipe
from layerlock.plan.functions import MODULES, TASK, names_of, raised
from layerlock.plan.resolve import Plan
from layerlock.plan.stack import beneath
from layerlock.store.local import LocalStore
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import load_layer

_PYTHON = re.compile(r"python/(?:lib/python(\d\.\d+)/|.*\.cpython-(\d)(\d+)(?:-[\w-]*)?\.(?:so|pyc)$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """A layer that was read, with its recipe, lock and plan; those are None for a zip from elsewhere."""

    survey: Survey
    recipe: LayerRecipe | None = None
    lock: Lock | None = None
    plan: Plan | None = None


def read_layer(driver: Driver, layer: str, *, traces: bool = False) -> Read:
    """Read the zip of a layer that was built here.

    Raises:
        StaleLock: the recipes do not fit the lock.
        NotBuilt: this very layer was not built here.
    """
    lock, plan, _ = load_layer(driver, layer)
    return _read(driver, lock, plan, None, traces)


def read_zip_file(driver: Driver, path: Path, *, traces: bool = False) -> Read:
    """Read a layer zip; one that a lock records, or that was built here, is known for what it is.

    Raises:
        StaleLock: a lock knows it, and the recipes no longer fit.
        UnsafeArchive: it is damaged, or larger than a layer can be.
    """
    lock = lock_of(driver, path)
    if lock is None:
        return Read(survey=surveying_zip(driver.repository, path, traces=traces)())
    lock, plan, _ = load_layer(driver, lock.layer)
    return _read(driver, lock, plan, path, traces)


def lock_of(driver: Driver, path: Path) -> Lock | None:
    """Give the lock that records a zip with these bytes, or whose plan was built to them here."""
    sha256 = file_sha256(path)
    for layer in driver.repository.targets():
        place = driver.repository.lock_path(layer)
        if not place.is_file():
            continue
        lock = read_lock(place, layer)
        if sha256 == (
            lock.zip.sha256
            if lock.zip is not None
            else _built_zip(driver.store, driver.repository.layer(layer), lock)
        ):
            return lock
    return None


def surveying_file(driver: Driver, path: Path) -> Surveying:
    """Make what reads a zip for an audit: one that a lock knows as that layer, if its recipes still fit."""

    @cache
    def survey() -> Survey:
        try:
            return read_zip_file(driver, path, traces=True).survey
        except (StaleLock, NotBuilt):
            # It is looked at as one from elsewhere.
            return surveying_zip(driver.repository, path)()

    return survey


def surveying_layer(
    repository: Repository,
    store: LocalStore,
    plan: Plan,
    recipe: LayerRecipe,
    report: Mapping[str, Any],
    place: Path,
    *,
    traces: bool = True,
) -> Surveying:
    """Make what reads a layer of the repository: its tree or its zip, at `place`; `report` is the assembly's."""

    @cache
    def survey() -> Survey:
        runtime = repository.runtime(recipe.layer.runtime)
        offered = platform(repository, runtime, recipe.layer.architecture)
        if offered is not None:
            offered = replace(offered, loaded_before=frozenset(recipe.layer.loaded_before))
        return Survey(
            name=recipe.name,
            inventory=take_inventory(place, traces=traces),
            platform=offered,
            interpreter=_interpreter(repository, runtime, lambda name: output(store, plan, name)),
            python=runtime.runtime.python,
            packages=shipped(repository, store, plan, recipe),
            report=report,
            build_paths=tuple(pattern for rule in recipe.allow_build_paths for pattern in rule.patterns),
            root=TASK if isinstance(recipe, FunctionLayer) else OPT,
            beneath=tuple(_inventories(store, plan, beneath(recipe, repository))),
            raised=raised(recipe, runtime.runtime.python),
        )

    return survey


def surveying_zip(repository: Repository, path: Path, *, traces: bool = True) -> Surveying:
    """Make what reads a layer zip from anywhere. Its Python and processor are seen in it, where they can be."""

    @cache
    def survey() -> Survey:
        inventory = take_inventory(path, traces=traces)
        python, architecture = _seen(inventory)
        return Survey(
            name=path.name,
            inventory=inventory,
            platform=_known_platform(repository, python, architecture),
            python=python,
        )

    return survey


def _inventories(store: LocalStore, plan: Plan, layers: Iterable[LayerRecipe]) -> Iterator[Inventory]:
    for layer in layers:
        made = output(store, plan, names_of(layer).tree)
        if made is not None:
            yield take_inventory(made / "tree", traces=False)


def output(store: LocalStore, plan: Plan, name: str) -> Path | None:
    """Give the place of a derivation's output, if this very plan was built here."""
    made = store.planned(plan.planned[name]) if name in plan.planned else None
    return store.tree(made.output) if made is not None else None


def shipped(
    repository: Repository, store: LocalStore, plan: Plan, recipe: LayerRecipe
) -> tuple[Shipped, ...]:
    """Give the packages of a layer whose outputs are in the store."""
    found = []
    for name in recipe.layer.packages:
        made = store.planned(plan.planned[name])
        tree = store.tree(made.output) if made is not None else None
        if made is not None and tree is not None:
            found.append(
                Shipped(
                    name=name,
                    version=plan[name].version,
                    planned=plan.planned[name],
                    output=made.output,
                    tree=tree,
                    location=repository.locate("packages", name, "build"),
                )
            )
    return tuple(found)


def platform(repository: Repository, runtime: RuntimeRecipe, architecture: str) -> Platform | None:
    """Read what a runtime offers on a processor; None where nobody has listed it."""
    exports = runtime.exports.get(architecture)
    if exports is None:
        return None
    path, _ = repository.data(f"runtimes/{exports}")
    return Platform(
        name=runtime.name,
        architecture=architecture,
        search=tuple(runtime.search.libraries),
        libraries=parse_exports(path.read_text(encoding="utf-8"), f"recipes/runtimes/{exports}"),
        absent=frozenset(runtime.absent.libraries),
    )


def _interpreter(
    repository: Repository, runtime: RuntimeRecipe, output: Callable[[str], Path | None]
) -> Elf | None:
    """Read the runtime's Python, with what its own shared library defines, where it has one."""
    package = repository.package(runtime.runtime.package)
    root = output(package.name)
    if root is None:
        return None
    program = root / runtime.runtime.executable.removeprefix(package.mount).lstrip("/")
    try:
        elf = read_elf(program.resolve(strict=True).read_bytes())
        for name in elf.needed:
            library = root / "lib" / name
            if name.startswith("libpython") and library.is_file():
                return Elf(
                    needed=elf.needed, defined={**elf.defined, **read_elf(library.read_bytes()).defined}
                )
    except (OSError, DamagedElf):
        return None
    return elf


def _seen(inventory: Inventory) -> tuple[str, str]:
    """Tell the Python and the processor that most files of a layer are for; empty where nothing tells."""
    pythons: Counter[str] = Counter()
    for entry in inventory.files:
        found = _PYTHON.match(entry.path)
        if found is not None:
            pythons[found[1] or f"{found[2]}.{found[3]}"] += 1
    machines = Counter(elf.machine for elf in inventory.objects.values())
    return _most(pythons), _most(machines)


def _most(counted: Counter[str]) -> str:
    return min(counted, key=lambda name: (-counted[name], name), default="")


def _known_platform(repository: Repository, python: str, architecture: str) -> Platform | None:
    for name in repository.names("runtimes"):
        try:
            runtime = repository.runtime(name)
        except LayerlockError:
            continue  # Another runtime's recipe is no concern of this zip.
        if runtime.runtime.python == python and architecture in runtime.exports:
            return platform(repository, runtime, architecture)
    return None


def _read(driver: Driver, lock: Lock, plan: Plan, path: Path | None, traces: bool) -> Read:
    recipe = driver.repository.layer(lock.layer)
    names = names_of(recipe)
    tree = output(driver.store, plan, names.tree)
    zipped = output(driver.store, plan, names.zip)
    if tree is None or zipped is None:
        raise NotBuilt(f"the layer {lock.layer} is not built here", hint=f"run: layerlock build {lock.layer}")
    built = read_zip(lock.layer, zipped, tree)
    make = surveying_layer(
        driver.repository, driver.store, plan, recipe, built.report, path or built.path, traces=traces
    )
    return Read(survey=make(), recipe=recipe, lock=lock, plan=plan)


def _built_zip(store: LocalStore, recipe: LayerRecipe, lock: Lock) -> str | None:
    """Give the sha256 of the zip that was built of an unrecorded lock."""
    names = names_of(recipe)
    zipped, tree = lock.derivation(names.zip), lock.derivation(names.tree)
    places = [
        store.tree(made.output)
        for made in (store.planned(each.planned) for each in (zipped, tree) if each is not None)
        if made is not None
    ]
    if len(places) != 2 or places[0] is None or places[1] is None:
        return None
    return read_zip(lock.layer, places[0], places[1]).sha256


def read_past(driver: Driver, lock: Lock, by: By) -> tuple[tuple[Weight, ...], str]:
    """Weigh a past layer: its tree where the store still has it, else what its lock records, with a note on that.

    Raises:
        NotBuilt: neither tells anything.
    """
    if lock.zip is None:
        raise NotBuilt(
            f"the past lock of {lock.layer} records no outputs", hint="name a revision with a recorded zip"
        )
    root = driver.store.tree(lock.zip.tree)
    if root is not None:
        packages = tuple(_past_packages(driver.store, lock))
        report = json.loads((root / "report.json").read_bytes())
        inventory = take_inventory(root / "tree", traces=False)
        survey = Survey(
            name=lock.layer,
            inventory=inventory,
            packages=packages,
            report=report,
            raised=_past_raised(packages) if "handler" in report else (),
        )
        return weigh(survey, by), "the past layer's tree is in the store, its zip is not told"
    whole = Weight(name="all", files=0, bytes=lock.zip.unzipped, packed=lock.zip.size)
    return (whole,), "the past layer's tree is not in the store: only what its lock records is told"


def _past_raised(packages: tuple[Shipped, ...]) -> tuple[str, ...]:
    """Give the folders that come to the top of a function's zip; the lock does not tell its version of Python."""
    found = (path for each in packages for path in each.tree.glob("python/lib/python3.*/site-packages"))
    sites = {str(Path(*path.parts[-4:])) for path in found}
    return (*sorted(sites), MODULES)


def _past_packages(store: LocalStore, lock: Lock) -> Iterator[Shipped]:
    """Give the packages that a past lock records, those that the layer did not hold among them: no file is theirs."""
    for derivation in lock.derivations:
        tree = store.tree(derivation.output) if derivation.output is not None else None
        if (
            derivation.output is None
            or tree is None
            or derivation.name.startswith(("layer-", "function-", "environment-"))
        ):
            continue
        yield Shipped(
            name=derivation.name,
            version="",
            planned=derivation.planned,
            output=derivation.output,
            tree=tree,
            location=Location(file=f"lockfiles/{lock.layer}.lock"),
        )
