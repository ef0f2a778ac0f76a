"""Auditing: what checks look at, put together from a layer's recipes, lock and store, and their findings gathered."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from layerlock.audit.check import Check
from layerlock.audit.journal import Journal
from layerlock.audit.memo import Memo
from layerlock.audit.pins import RECIPES, unpinned
from layerlock.audit.skips import judged
from layerlock.audit.subject import Contents, Subject
from layerlock.audit.table import CHECKS
from layerlock.errors import LayerlockError, UsageError
from layerlock.io.lockfile import read_lock
from layerlock.layer.result import read_zip
from layerlock.model.findings import Finding
from layerlock.model.lock import Lock, LockedSource
from layerlock.plan.functions import names_of
from layerlock.plan.resolve import Closure, Plan, closure_of_layer, plan_layer
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import deb_pin
from layerlock.workflows.surveying import surveying_file, surveying_layer

if TYPE_CHECKING:
    from layerlock.audit.advisories import Advisories
    from layerlock.audit.page_rows import Facts
    from layerlock.sources.fetch import Reach


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What is asked of an audit: the checks to run and to leave out (none named: all), and how far to look.

    `again` asks addresses that answered well on the same day once more.
    """

    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    reach: Callable[[], Reach] | None = None
    deep: bool = False
    again: bool = False
    advisories: Advisories | None = None
    today: datetime.date

    def checks(self) -> tuple[Check, ...]:
        """Give the checks that are to run.

        Raises:
            UsageError: there is no check of a name.
        """
        known = {check.name for check in CHECKS} | {check.area for check in CHECKS}
        for name in sorted(self.only | self.skip):
            if name not in known:
                raise UsageError(f"there is no check `{name}`", hint="layerlock audit --list names them")
        if self.reach is None and (
            unreached := sorted(self.only & {c.name for c in CHECKS if c.needs == "network"})
        ):
            raise UsageError(f"the check `{unreached[0]}` needs the network", hint="add --online")
        return tuple(
            check
            for check in CHECKS
            if (not self.only or self.only & {check.name, check.area})
            and not self.skip & {check.name, check.area}
            and (check.needs != "network" or self.reach is not None)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """A finding, the layers that it holds for, and why it was left out, if it was."""

    finding: Finding
    layers: tuple[str, ...]
    skipped: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """What an audit came to: findings worst first, the checks that ran, and layers that are not built here.

    `subjects` are the layers whose recipes and locks could be read.
    """

    layers: tuple[str, ...]
    told: tuple[Told, ...]
    checks: tuple[Check, ...]
    unbuilt: tuple[str, ...]
    subjects: tuple[Subject, ...] = ()

    @property
    def findings(self) -> tuple[Told, ...]:
        """The findings that count."""
        return tuple(told for told in self.told if not told.skipped)

    @property
    def skipped(self) -> tuple[Told, ...]:
        """The findings that a recipe leaves out."""
        return tuple(told for told in self.told if told.skipped)


def audit_layers(driver: Driver, layers: Iterable[str], choice: Choice) -> Audited:
    """Run the checks over layers. What a recipe skips is told apart; a finding of several layers is told once."""
    checks, memo = choice.checks(), Memo()
    gathered: dict[tuple[Finding, str], list[str]] = {}
    unbuilt = []
    subjects = []
    audited = tuple(layers)
    ran = frozenset(check.name for check in checks)
    known = {check.name: check for check in CHECKS}
    for layer in audited:
        try:
            subject = make_subject(driver, layer, choice, memo)
        except LayerlockError as error:
            gathered.setdefault((finding_of(RECIPES, layer, error), ""), []).append(layer)
            continue
        subjects.append(subject)
        if subject.contents is None:
            unbuilt.append(layer)
        found = [finding for check in checks for finding in check.run(subject)]
        for finding, reason in judged(subject, found, ran, known):
            gathered.setdefault((finding, reason), []).append(layer)
    told = [
        Told(finding=finding, layers=tuple(of), skipped=reason) for (finding, reason), of in gathered.items()
    ]
    return Audited(
        layers=audited,
        told=tuple(sorted(told, key=lambda each: (bool(each.skipped), each.finding.order()))),
        checks=checks,
        unbuilt=tuple(unbuilt),
        subjects=tuple(subjects),
    )


def page_facts(audited: Audited, choice: Choice) -> Facts:
    """Gather what the page of an audit of one layer tells; nothing is read again that the checks have read.

    Raises:
        StaleLock: the layer has no lock.
        UsageError: its recipes cannot be read, or it is not one layer of the repository that was audited.
    """
    from layerlock.audit.page_facts import gather  # noqa: PLC0415 - most audits write no page

    if len(audited.layers) != 1 or len(audited.subjects) != 1:
        raise UsageError(
            f"a page tells of one layer that could be read, not of {', '.join(audited.layers) or 'none'}"
        )
    subject = audited.subjects[0]
    unlooked = []
    if choice.only or choice.skip:
        unlooked.append(f"what {len(CHECKS) - len(audited.checks)} of {len(CHECKS)} checks would have")
    if subject.contents is None:
        unlooked.append("the layer's files, since it is not built here")
    if choice.reach is None:
        unlooked.append("the network (whether addresses still answer, what moved upstream)")
    if choice.advisories is None:
        unlooked.append("known vulnerabilities, since no database was named")
    found = [(told.finding, told.skipped) for told in audited.told]
    return gather(subject, found, audited.checks, tuple(unlooked))


def audit_zip(driver: Driver, path: Path, choice: Choice) -> Audited:
    """Run the checks that need no recipe over a layer zip from elsewhere; it is read in place, never unpacked.

    Raises:
        UnsafeArchive: the zip is damaged, or larger than a layer can be.
    """
    checks = tuple(check for check in choice.checks() if check.foreign is not None)
    contents = Contents(
        name=path.name,
        tree=path,
        zip=path,
        report={},
        runtime=None,
        architecture="",
        survey=surveying_file(driver, path),
    )
    found = [finding for check in checks if check.foreign for finding in check.foreign(contents)]
    told = (Told(finding=finding, layers=(path.name,)) for finding in found)
    return Audited(
        layers=(path.name,),
        told=tuple(sorted(told, key=lambda each: each.finding.order())),
        checks=checks,
        unbuilt=(),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """The licence texts that were written for a layer: where, how many, and what has none."""

    layer: str
    folder: Path
    texts: int
    missing: tuple[str, ...]


def collect_notices(
    driver: Driver, layers: Iterable[str], choice: Choice, folder: Path
) -> tuple[Collected, ...]:
    """Write the licence texts of everything that ships in layers below `folder`, one folder a layer."""
    from layerlock.audit.notices import write  # noqa: PLC0415 - an audit alone does without archives

    made = []
    for layer in layers:
        texts, missing = write(make_subject(driver, layer, choice), folder)
        made.append(Collected(layer=layer, folder=folder / layer, texts=texts, missing=missing))
    return tuple(made)


def make_subject(driver: Driver, layer: str, choice: Choice, memo: Memo | None = None) -> Subject:
    """Put together what checks look at. Nothing is built or fetched.

    Raises:
        InvalidRecipe: a recipe or the lock does not follow its format.
    """
    repository = driver.repository
    recipe = repository.layer(layer)
    closure = closure_of_layer(repository, layer)
    path = repository.lock_path(layer)
    lock = read_lock(path, layer) if path.is_file() else None
    plan = _plan(driver, layer, closure, lock)
    subject = Subject(
        repository=repository,
        recipe=recipe,
        runtime=repository.runtime(recipe.layer.runtime),
        lock=lock,
        closure=closure,
        plan=plan,
        store=driver.store,
        contents=None,
        reach=choice.reach,
        deep=choice.deep,
        today=choice.today,
        journal=_journal(driver, choice),
        advisories=choice.advisories,
        memo=memo or Memo(),
    )
    return replace(subject, contents=_contents(subject))


def finding_of(check: Check, subject: str, error: LayerlockError) -> Finding:
    """Make a finding of an error that building would stop at."""
    return check.found(subject, error.message, hint=error.hint, location=error.location)


def _plan(driver: Driver, layer: str, closure: Closure, lock: Lock | None) -> Plan | None:
    """Plan with the lock's pins; None where a checkout or a folder has no tree hash."""
    pins: dict[str, LockedSource] = {pin.key: pin for pin in lock.sources} if lock is not None else {}
    pins |= {f"{recipe.name}/{deb.name}": deb_pin(recipe.name, deb) for recipe, _, deb in closure.debs()}
    try:
        pins |= {layer.key: layer for _, _, layer in closure.image_layers(driver.repository)}
    except LayerlockError:
        return None  # an image that is not pinned: the check `pinned` tells
    if not unpinned(closure, pins):
        return plan_layer(driver.repository, layer, driver.guest_code, pins)
    return None


def _journal(driver: Driver, choice: Choice) -> Journal | None:
    if choice.reach is None:
        return None
    return Journal(driver.store.root / "audit" / "answers.jsonl", choice.today, forget=choice.again)


def _contents(subject: Subject) -> Contents | None:
    name, names = subject.name, names_of(subject.recipe)
    tree, zipped = subject.output(names.tree), subject.output(names.zip)
    if tree is None or zipped is None or subject.plan is None:
        return None
    built = read_zip(name, zipped, tree)
    return Contents(
        name=name,
        tree=tree / "tree",
        zip=built.path,
        report=built.report,
        runtime=subject.runtime,
        architecture=subject.recipe.layer.architecture,
        survey=surveying_layer(
            subject.repository, subject.store, subject.plan, subject.recipe, built.report, tree / "tree"
        ),
    )
