"""Whether everything is pinned, by hash, once, and the lock fits the recipes that it was written from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from layerlock.audit.check import Check
from layerlock.audit.subject import Subject
from layerlock.errors import LayerlockError
from layerlock.model.findings import Finding, Severity
from layerlock.model.lock import LockedGit, LockedPath, LockedSource
from layerlock.model.recipe import GitSource, PathSource
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import Closure


def unpinned(closure: Closure, pins: Mapping[str, LockedSource]) -> tuple[str, ...]:
    """Give the keys of checkouts and folders whose tree hash no pin states: nothing can be planned without it."""
    keys = (
        source_key(recipe, source)
        for recipe, _, source in closure.sources()
        if isinstance(source, GitSource | PathSource)
    )
    return tuple(key for key in keys if not isinstance(pins.get(key), LockedGit | LockedPath))


def _recipes(subject: Subject) -> Iterator[Finding]:
    repository = subject.repository
    for kind, read in (
        ("packages", repository.package),
        ("environments", repository.environment),
        ("runtimes", repository.runtime),
        ("layers", repository.layer),
    ):
        for name in repository.names(kind):
            try:
                read(name)
            except LayerlockError as error:
                yield RECIPES.found(name, error.message, hint=error.hint, location=error.location)


RECIPES = Check(
    name="recipes",
    area="pins",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="Every recipe and every lock of the repository is read and held against its schema, also those that no "
    "layer uses: one that cannot be read would be found on the day it is needed.",
    run=_recipes,
)

CHECKS = (RECIPES,)
