"""What a check may look at: one layer with everything that it is made from, and what was built of it."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerlock.audit.journal import Journal
from layerlock.audit.memo import Memo
from layerlock.audit.survey import Surveying
from layerlock.io.repository import Repository
from layerlock.model.layer import LayerRecipe
from layerlock.model.lock import Lock
from layerlock.model.runtime import RuntimeRecipe
from layerlock.plan.resolve import Closure, Plan
from layerlock.store.local import LocalStore

if TYPE_CHECKING:
    from layerlock.audit.advisories import Advisories
    from layerlock.sources.fetch import Reach


@dataclass(frozen=True, kw_only=True, slots=True)
class Contents:
    """What was built, or what a zip from elsewhere holds.

    Args:
        name: the layer's name, or the zip's file name.
        tree: the folder of what lands under `/opt`; of a zip from elsewhere the zip itself, which nothing unpacks.
        zip: the archive of it; it may be damaged.
        report: what the assembly said, empty for a zip from elsewhere.
        runtime: the runtime that it is for, or None where that is not known.
        architecture: the processor that it is for, as AWS calls it, or empty where that is not known.
        survey: reads every file of it, once, when it is first called.
    """

    name: str
    tree: Path
    zip: Path
    report: Mapping[str, Any]
    runtime: RuntimeRecipe | None
    architecture: str
    survey: Surveying

    def archive(self) -> zipfile.ZipFile:
        """Open the zip."""
        return zipfile.ZipFile(self.zip)


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """One layer of the repository.

    Args:
        repository: the recipes, and the places of their keys: `repository.locate("packages", "numpy", "package")`.
        recipe: the layer's recipe.
        runtime: the runtime that the layer is for.
        lock: the layer's lock, or None where there is none.
        closure: every package and environment that the layer needs.
        plan: the derivations, or None where a source has no tree hash yet, so that nothing can be planned.
        store: the local store.
        contents: what was built of this very plan, if it stands in the store.
        reach: how the network is reached, made when it is called; None unless checks of the network were asked for.
        deep: whether whole files are to be fetched and hashed, where their size alone would do.
        today: the day that dates are judged by.
        journal: which addresses answered already today, where the network is asked at all.
        advisories: the database of vulnerabilities, or None where none was named.
        memo: what was found out for another layer of the same audit.
    """

    repository: Repository
    recipe: LayerRecipe
    runtime: RuntimeRecipe
    lock: Lock | None
    closure: Closure
    plan: Plan | None
    store: LocalStore
    contents: Contents | None
    reach: Callable[[], Reach] | None
    deep: bool
    today: datetime.date
    journal: Journal | None = None
    advisories: Advisories | None = None
    memo: Memo = field(default_factory=Memo)

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.recipe.name

    @property
    def shipped(self) -> frozenset[str]:
        """The names of the packages that the layer holds; the others only helped to make it."""
        return frozenset(self.recipe.layer.packages)

    def output(self, derivation: str) -> Path | None:
        """Give the place of a derivation's output in the store, if this very plan was built there."""
        if self.plan is None or derivation not in self.plan.planned:
            return None
        made = self.store.planned(self.plan.planned[derivation])
        return self.store.tree(made.output) if made is not None else None
