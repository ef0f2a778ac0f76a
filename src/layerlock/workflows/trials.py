"""Running trials of a layer, several at once, each once and for all: the store keeps what came of every one."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Event, Lock
from typing import Any, TypeVar

from layerlock.build.one import Order, realise
from layerlock.build.workshop import Workshop
from layerlock.errors import OutOfMemory, ResourceExceeded, StoreError, TimedOut
from layerlock.events import BuildFinished, Tried
from layerlock.events import Event as Happening
from layerlock.layer.spare import Group
from layerlock.layer.usage import Holding
from layerlock.model.derivation import Realisation
from layerlock.model.layer import LayerRecipe
from layerlock.plan.trials import Trial, trial
from layerlock.reproduce.bisect import Fails
from layerlock.workflows.driver import Driver

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_BEYOND = (OutOfMemory, TimedOut, ResourceExceeded)
"""How a program may go wrong without a file; only where it has all of them is it the machine's fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of a trial; `why` is what the first test that failed said."""

    works: bool
    why: str
    trace: tuple[str, ...]


@dataclass(kw_only=True, slots=True)
class Trials:
    """Tries a layer's smoke tests over its tree with some groups of files left out.

    `planned` are planned hashes by name, `made` what trials take in, by name. `gone` is what is left out of every
    trial, `reasons` say why the tests failed without a group. `run` counts the trials that ran here and now; the
    others of those that were `tried` were in the store already.
    """

    driver: Driver
    recipe: LayerRecipe
    holding: Holding
    planned: Mapping[str, str]
    made: Mapping[str, Realisation]
    gone: tuple[Group, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    run: int = 0
    tried: int = 0
    _lock: Lock = field(default_factory=Lock)
    _cancel: Event = field(default_factory=Event)

    def outcome(self, wanted: Trial) -> Outcome:
        """Run a trial, or read what came of it.

        Raises:
            LayerlockError: it could not be run at all.
        """
        derivation = trial(self.recipe, self.driver.repository, self.driver.guest_code, wanted)
        order = Order(
            derivation=derivation,
            planned=derivation.hash(self.planned),
            inputs={item.name: self.made[item.name] for item in derivation.inputs},
        )
        with self._lock:
            self.tried += 1
        try:
            done = realise(order, self._workshop(), {})
        except _BEYOND as error:
            if not (wanted.without or wanted.stubs):
                raise
            return Outcome(works=False, why=error.message, trace=())
        place = self.driver.store.held_tree(done.output) / "report.json"
        try:
            report: Mapping[str, Any] = json.loads(place.read_bytes())
            return Outcome(
                works=bool(report["works"]),
                why=str(report.get("why", "")),
                trace=tuple(map(str, report["trace"])),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{place} cannot be read: {error}", hint="run: layerlock verify") from error

    def works(self, groups: Collection[Group]) -> bool:
        """Say whether the tests pass without these groups, and without those that are gone."""
        paths = {path for group in (*self.gone, *groups) for path in group.files}
        also = (each for path in paths for each in self.holding.files[path].also)
        outcome = self.outcome(Trial(without=tuple(sorted(paths.union(also)))))
        size = sum(self.holding.files[path].size for path in paths)
        if not outcome.works and len(groups) == 1:
            self.reasons.update({group.name: outcome.why for group in groups})
        verdict = "pass" if outcome.works else "fail"
        what = (
            ", ".join(group.called for group in groups)
            if len(groups) < 4
            else f"{len(groups)} groups of files"
        )
        self.tell(
            f"its tests {verdict} without {what or 'nothing more'} ({size / 1e6:.1f} MB left out in all)"
        )
        return outcome.works

    def first(self, subsets: Sequence[tuple[str, ...]], holds: Fails) -> tuple[str, ...] | None:
        """Find the first of some sets that a trial says yes to, several at once: see `bisect.minimise`."""
        for subset, answer in zip(subsets, self._side_by_side([*subsets], holds), strict=False):
            if answer:
                return subset
        return None

    def each(self, groups: Sequence[Group]) -> list[Group]:
        """Give those groups that each can go by itself."""
        answers = self._side_by_side([(group,) for group in groups], self.works, every=True)
        return [group for group, answer in zip(groups, answers, strict=True) if answer]

    def all_of(self, wanted: Sequence[Trial]) -> list[Outcome]:
        """Run trials side by side."""
        return self._side_by_side([*wanted], self.outcome, every=True)

    def tell(self, message: str) -> None:
        """Say how far it is."""
        self.driver.emit(Tried(name=self.recipe.name, message=message))

    def _side_by_side(
        self, asked: Sequence[Asked], ask: Callable[[Asked], Answer], *, every: bool = False
    ) -> list[Answer]:
        """Ask about several things at once; give the answers in order, without `every` up to the first yes."""
        pool = ThreadPoolExecutor(self._places(), thread_name_prefix="trial")
        answers: list[Answer] = []
        try:
            futures: list[Future[Answer]] = [pool.submit(ask, each) for each in asked]
            for future in futures:
                answers.append(future.result())
                if answers[-1] and not every:
                    break
        except BaseException:
            # An error, or Ctrl-C, ends what runs; what was finished stays in the store.
            self._cancel.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return answers

    def _places(self) -> int:
        derivation = trial(self.recipe, self.driver.repository, self.driver.guest_code, Trial())
        return max(1, min(self.driver.jobs, self.driver.memory // derivation.needs.memory))

    def _workshop(self) -> Workshop:
        # What trials print and where they fail is no news; only that something goes on.
        return replace(self.driver.workshop, emit=self._hear, cancel=self._cancel)

    def _hear(self, event: Happening) -> None:
        if isinstance(event, BuildFinished):
            with self._lock:
                self.run += 1
