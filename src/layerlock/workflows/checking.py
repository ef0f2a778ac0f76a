"""Checking that what was built comes out the same again, under other circumstances."""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from layerlock.errors import FetchError, LayerlockError, Offline, UsageError
from layerlock.events import Checked
from layerlock.io.atomic import remove_tree
from layerlock.io.entries import open_holding
from layerlock.model.derivation import Derivation, GuestRun, Realisation
from layerlock.model.lock import LockedFile
from layerlock.plan.functions import SMOKES
from layerlock.reproduce.compare import Comparison, compare
from layerlock.reproduce.judging import Judged, Standing, judge
from layerlock.reproduce.seeding import seed
from layerlock.reproduce.variations.catalogue import Availability, availability, ordered
from layerlock.reproduce.variations.host import look
from layerlock.sandbox.program import pinned
from layerlock.sources.place import copy_tree
from layerlock.store.keep import Keep
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import Loaded, load, program_pin
from layerlock.workflows.rebuilder import Rebuilder, Task

_READABLE_BY_ALL = Path("/var/tmp")  # noqa: S108 - a folder of an unguessable name is made there


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What a check is to do.

    `variations` are names, None for all that can be had here and need not be named; `each` gives each a run of its own.
    `derivations` are names, none for all. `python` is the other interpreter, empty to look for one; `sandbox` the
    backend, empty for the usual one. `keep` is where trees that differ are kept, None for the store.
    """

    variations: tuple[str, ...] | None = None
    each: bool = False
    derivations: tuple[str, ...] = ()
    bisect: bool = True
    python: str = ""
    sandbox: str = ""
    keep: Path | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """The trees of a mismatch, side by side, and what differs between them where both are there."""

    rebuilt: Path
    stored: Path | None
    comparison: Comparison | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What a check found. `variations` tells of each whether it can be had here; `seconds` is how long it took."""

    target: str
    variations: tuple[Availability, ...]
    groups: tuple[tuple[str, ...], ...]
    derivations: tuple[Judged, ...]
    kept: Mapping[str, Kept]
    seconds: float

    @property
    def matched(self) -> bool:
        """Whether every derivation came out the same."""
        return all(judged.verdict == "match" for judged in self.derivations)


def check(driver: Driver, target: str, asked: Asked, variables: Mapping[str, str]) -> Check:
    """Rebuild derivations of a layer or a package under variations, and compare with what store and lock hold.

    The store's outputs stay as they are. `variables` is the environment that the rebuilding processes start from.

    Raises:
        UsageError: there is no such derivation or variation.
        StaleLock: the recipes do not fit the lock.
    """
    started = time.monotonic()
    loaded = load(driver, target)
    chosen = _chosen(loaded, target, asked.derivations)
    standings, tasks = _standings(driver, loaded, chosen)
    needed = _needed(driver, loaded, tasks)
    with ExitStack() as stack:
        stored = frozenset(standing.stored for standing in standings if standing.stored)
        stack.enter_context(driver.store.pin(Keep(files=needed.files, trees=needed.trees | stored)))
        user = asked.variations is None or "user" in asked.variations
        folder = stack.enter_context(_folder(driver, by_all=user and os.geteuid() == 0))
        host = look(
            variables,
            sandbox=asked.sandbox,
            named_python=asked.python,
            visited=(driver.repository.root / "recipes", folder),
            user=user,
        )
        can = availability(host)
        groups = _groups(asked, can)
        standings = _without_unavailable(standings, asked, can)
        if any(not standing.obstacle for standing in standings):
            link = not any("user" in group for group in groups)
            seed(driver.store, folder / "store", files=needed.files, trees=needed.trees, link=link)
        rebuilder = Rebuilder(
            driver=driver,
            target=target,
            tasks=tasks,
            host=host,
            folder=folder,
            variables=variables,
            arguments=("--sandbox", asked.sandbox) if asked.sandbox else (),
        )
        stack.callback(rebuilder.take_back)
        judged = judge(
            standings,
            groups,
            rebuilder.run,
            strict=asked.variations is not None,
            bisect=asked.bisect,
            tell=partial(_tell, driver),
        )
        kept = {
            each.standing.name: _keep(driver, each, rebuilder, asked.keep)
            for each in judged
            if each.different
        }
    return Check(
        target=target,
        variations=can,
        groups=groups,
        derivations=judged,
        kept=kept,
        seconds=time.monotonic() - started,
    )


def _chosen(loaded: Loaded, target: str, names: Sequence[str]) -> tuple[Derivation, ...]:
    """Give the derivations to check, in build order. What smoke tests leave is how long they took: not those."""
    able = [d for d in loaded.plan.derivations if not SMOKES.fullmatch(d.name)]
    unknown = sorted({*names} - {d.name for d in able})
    if unknown:
        raise UsageError(
            f"`{target}` has no derivation `{unknown[0]}` that can be checked",
            hint=f"one of: {', '.join(d.name for d in able)}",
        )
    return tuple(d for d in able if not names or d.name in names)


def _standings(
    driver: Driver, loaded: Loaded, chosen: Sequence[Derivation]
) -> tuple[tuple[Standing, ...], dict[str, Task]]:
    standings, tasks = [], {}
    for derivation in chosen:
        planned = loaded.plan.planned[derivation.name]
        made = _made(driver, planned)
        task, obstacle = _task(driver, loaded, derivation)
        recorded = loaded.recorded.get(derivation.name, "")
        if not recorded and made is None:
            obstacle = obstacle or "it was not built before, and the lock records no output"
        standings.append(
            Standing(
                name=derivation.name,
                planned=planned,
                recorded=recorded,
                stored=made.output if made is not None else "",
                obstacle=obstacle,
            )
        )
        if task is not None and not obstacle:
            tasks[derivation.name] = task
    return tuple(standings), tasks


def _task(driver: Driver, loaded: Loaded, derivation: Derivation) -> tuple[Task | None, str]:
    """Give what a rebuild needs, or why it cannot be had."""
    inputs = {}
    for item in derivation.inputs:
        made = _made(driver, loaded.plan.planned[item.name])
        if made is None:
            return None, f"its input {item.name} is not in the store: build it first"
        recorded = loaded.recorded.get(item.name, made.output)
        if recorded != made.output:
            return None, f"the store's {item.name}, which it needs, is not the one that the lock records"
        inputs[item.name] = made
    for source in derivation.sources:
        pin = loaded.pins.get(source.key)
        if pin is None:
            return None, f"its source {source.key} is pinned by no lock"
        try:
            driver.supplier.fetch(pin)
        except (FetchError, Offline) as error:
            return None, f"its source {source.key} cannot be had: {error.message}"
    return Task(derivation=derivation, planned=loaded.plan.planned[derivation.name], inputs=inputs), ""


def _made(driver: Driver, planned: str) -> Realisation | None:
    made = driver.store.planned(planned)
    return made if made is not None and driver.store.tree(made.output) is not None else None


def _groups(asked: Asked, can: Sequence[Availability]) -> tuple[tuple[str, ...], ...]:
    """Give the runs: the variations of each."""
    known = {each.name for each in can}
    unknown = [name for name in asked.variations or () if name not in known]
    if unknown:
        raise UsageError(f"there is no variation `{unknown[0]}`", hint=f"one of: {', '.join(sorted(known))}")
    able = [each for each in can if not each.obstacle and (not each.named or asked.variations is not None)]
    names = [each.name for each in able if asked.variations is None or each.name in asked.variations]
    if asked.each and names:
        return tuple((name,) for name in ordered(names))
    return (ordered(names),)


def _without_unavailable(
    standings: Sequence[Standing], asked: Asked, can: Sequence[Availability]
) -> tuple[Standing, ...]:
    """Make everything inconclusive where a variation was asked for by name that cannot be had here."""
    refused = [each for each in can if each.obstacle and each.name in (asked.variations or ())]
    if not refused:
        return tuple(standings)
    why = "; ".join(f"the variation {each.name} cannot be had here: {each.obstacle}" for each in refused)
    return tuple(
        Standing(
            name=s.name,
            planned=s.planned,
            recorded=s.recorded,
            stored=s.stored,
            obstacle=s.obstacle or why,
        )
        for s in standings
    )


@contextmanager
def _folder(driver: Driver, *, by_all: bool) -> Iterator[Path]:
    """Lend the folder of a check: in the store, or where another user gets in too, if one has to."""
    with ExitStack() as stack:
        root = driver.store.root.absolute()
        if not by_all or all(place.stat().st_mode & 0o001 for place in (root / "tmp", root, *root.parents)):
            folder = stack.enter_context(driver.store.scratch("check"))
        else:
            folder = Path(tempfile.mkdtemp(prefix="layerlock-check-", dir=_READABLE_BY_ALL))
            stack.callback(remove_tree, folder)
        if by_all:
            folder.chmod(0o755)
        yield folder


def _needed(driver: Driver, loaded: Loaded, tasks: Mapping[str, Task]) -> Keep:
    """Give the sources and inputs of tasks, and the packages of the sandbox's own program."""
    files: set[str] = set()
    trees: set[str] = set()
    for task in tasks.values():
        trees |= {made.output for made in task.inputs.values()}
        for source in task.derivation.sources:
            pin = loaded.pins[source.key]
            if isinstance(pin, LockedFile):
                files.add(pin.sha256)
            else:
                trees.add(pin.tree)
    if any(isinstance(task.derivation.action, GuestRun) for task in tasks.values()):
        files |= _program(driver)
    return Keep(files=frozenset(files), trees=frozenset(trees))


def _program(driver: Driver) -> set[str]:
    """Give the packages of the sandbox's own program, which the rebuilding process shall not have to fetch."""
    found = pinned(platform.machine())
    if found is None:
        return set()
    try:
        for deb in found.packages:
            driver.supplier.fetch(program_pin(deb))
    except LayerlockError:
        return set()  # The host's own is the way out, there as here.
    return {deb.sha256 for deb in found.packages}


def _keep(driver: Driver, judged: Judged, rebuilder: Rebuilder, keep: Path | None) -> Kept:
    """Put both trees of a mismatch where a person finds them, and compare them."""
    name = judged.standing.name
    with driver.store.scratch(f"check-{name}") as scratch:
        target = keep / name if keep is not None else scratch
        target.mkdir(parents=True, exist_ok=True)
        sides = {"rebuilt": rebuilder.store.held_tree(judged.different)}
        stored = driver.store.tree(judged.standing.stored) if judged.standing.stored else None
        recorded = driver.store.tree(judged.standing.recorded) if judged.standing.recorded else None
        other = stored if stored is not None and judged.standing.stored != judged.different else recorded
        if other is not None:
            sides["stored"] = other
        for side, tree in sides.items():
            place = target / side
            if place.exists():
                remove_tree(place)
            place.mkdir()
            copy_tree(tree, place)
        if keep is None:
            target = driver.store.keep_failed(scratch, f"check-{name}")
    rebuilt, before = target / "rebuilt", target / "stored" if other is not None else None
    return Kept(rebuilt=rebuilt, stored=before, comparison=_compared(before, rebuilt))


def _compared(before: Path | None, after: Path) -> Comparison | None:
    if before is None:
        return None
    try:
        with closing(open_holding(before)) as left, closing(open_holding(after)) as right:
            return compare(left, right)
    except (LayerlockError, OSError):
        # What differs is a bonus: the trees are there to be looked at.
        return None


def _tell(driver: Driver, judged: Judged) -> None:
    driver.emit(Checked(name=judged.standing.name, verdict=judged.verdict, reason=judged.reason))
