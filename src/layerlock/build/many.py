"""Realising a plan: fetching ahead, building side by side, and going no further than what is asked for."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layerlock.build.known import confirm
from layerlock.build.one import Cancelled, Order, realise, reuse
from layerlock.build.workshop import FETCHES, Capacity, Supply, Workshop
from layerlock.events import PlanMade, Warned
from layerlock.model.derivation import Derivation, Realisation, Transform
from layerlock.model.lock import LockedFile
from layerlock.model.times import Took
from layerlock.plan.priority import costs, first_to_last
from layerlock.plan.resolve import Plan


def realise_all(
    plan: Plan,
    targets: Iterable[str],
    workshop: Workshop,
    supply: Supply,
    capacity: Capacity,
    recorded: Mapping[str, str],
    done: Mapping[str, Realisation],
    *,
    took: Mapping[str, Took] | None = None,
) -> dict[str, Realisation]:
    """Realise some targets of a plan, with what they need and no more.

    `done` is what the store has of the plan already (see `known`) and is used; of the rest, sources are fetched
    concurrently while builds run, and builds run side by side within the capacity: of those that could begin, the one
    with the longest way still before it, by what earlier builds `took` as far as that is known, by name. `recorded` are
    the lock's outputs by name: the first output that differs stops everything. Gives the realisations of the targets
    and of all that was looked at.

    Raises:
        LayerlockError: a fetch or a build failed; the others were ended.
        NotReproducible: an output differs from the recorded one.
    """
    wanted = list(targets)
    todo = _todo(plan, wanted, done)
    order = first_to_last(todo, costs(todo, took or {}))
    run = _Run(
        plan=plan,
        workshop=workshop,
        supply=supply,
        capacity=capacity,
        recorded=recorded,
        done=dict(done),
        rank={name: place for place, name in enumerate(order)},
    )
    return run.finish(wanted[-1], todo)


def _todo(plan: Plan, wanted: Collection[str], done: Collection[str]) -> list[Derivation]:
    """Give what has to be realised, in build order: never the inputs of something that is done."""
    needed = set(wanted)
    for derivation in reversed(plan.derivations):
        if derivation.name in needed and derivation.name not in done:
            needed.update(item.name for item in derivation.inputs)
    return [each for each in plan.derivations if each.name in needed and each.name not in done]


@dataclass(kw_only=True, slots=True)
class _Run:
    """One run over a plan. All of it happens in the calling thread; pools do the fetching and building.

    `rank` says by name which derivation goes before which. `lacking` are the inputs of each that are not done, and
    `users` what waits for each; `ready` are those that lack none, the first to begin in front.
    """

    plan: Plan
    workshop: Workshop
    supply: Supply
    capacity: Capacity
    recorded: Mapping[str, str]
    done: dict[str, Realisation]
    rank: Mapping[str, int]
    lacking: dict[str, set[str]] = field(default_factory=dict)
    users: dict[str, list[Derivation]] = field(default_factory=dict)
    ready: list[Derivation] = field(default_factory=list)
    running: dict[Future[Realisation], Derivation] = field(default_factory=dict)
    fetched: dict[str, Future[Path]] = field(default_factory=dict)
    fetching: set[Future[Path]] = field(default_factory=set)

    def finish(self, name: str, todo: list[Derivation]) -> dict[str, Realisation]:
        self._announce(name, todo)
        fetchers = ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")
        builders = ThreadPoolExecutor(self.capacity.builds, thread_name_prefix="build")
        try:
            for derivation in sorted(todo, key=self._place):
                for source in derivation.sources:
                    self._fetch(fetchers, source.key)
            self._look([each for each in todo if not self._lacks(each)])
            while self.ready or self.running:
                self._start(builders)
                self._wait()
        except BaseException:
            # One failure, or Ctrl-C, ends everything that runs; what was finished stays in the store.
            self.workshop.cancel.set()
            fetchers.shutdown(wait=False, cancel_futures=True)
            builders.shutdown(wait=True, cancel_futures=True)
            raise
        fetchers.shutdown(cancel_futures=True)
        builders.shutdown()
        self.workshop.store.tidied()
        return self.done

    def _place(self, derivation: Derivation) -> int:
        return self.rank[derivation.name]

    def _announce(self, name: str, todo: list[Derivation]) -> None:
        pins = {source.key: self.supply.pins[source.key] for d in todo for source in d.sources}
        missing = [pin for pin in pins.values() if self.supply.missing(pin)]
        self.workshop.emit(
            PlanMade(
                name=name,
                derivations=tuple(d.name for d in self.plan.derivations),
                to_build=tuple(d.name for d in todo),
                to_fetch=len(missing),
                fetch_bytes=sum(pin.size for pin in missing if isinstance(pin, LockedFile)),
            )
        )

    def _fetch(self, pool: ThreadPoolExecutor, key: str) -> None:
        if key not in self.fetched:
            self.fetched[key] = pool.submit(self.supply.fetch, self.supply.pins[key])
            self.fetching.add(self.fetched[key])

    def _lacks(self, derivation: Derivation) -> bool:
        """Note what a derivation waits for, and say whether that is anything."""
        lacking = {item.name for item in derivation.inputs if item.name not in self.done}
        self.lacking[derivation.name] = lacking
        for name in lacking:
            self.users.setdefault(name, []).append(derivation)
        return bool(lacking)

    def _look(self, derivations: Iterable[Derivation]) -> None:
        """Take in those whose inputs are all done: as made, if an earlier build made the same, else as ready."""
        waiting = deque(derivations)
        while waiting:
            derivation = waiting.popleft()
            made = reuse(self._order(derivation), self.workshop)
            if made is None:
                insort(self.ready, derivation, key=self._place)
            else:
                waiting += self._keep(made)

    def _order(self, derivation: Derivation) -> Order:
        return Order(
            derivation=derivation,
            planned=self.plan.planned[derivation.name],
            inputs={item.name: self.done[item.name] for item in derivation.inputs},
        )

    def _start(self, pool: ThreadPoolExecutor) -> None:
        """Begin what can be begun, the first in rank first; what has no room or no sources yet is passed over."""
        for derivation in tuple(self.ready):
            if len(self.running) >= self.capacity.builds:
                return
            sources = {source.key: self.fetched[source.key] for source in derivation.sources}
            if all(future.done() for future in sources.values()) and self._room(derivation):
                self._warn(derivation)
                paths = {key: future.result() for key, future in sources.items()}
                self.ready.remove(derivation)
                self.running[pool.submit(realise, self._order(derivation), self.workshop, paths)] = derivation

    def _room(self, derivation: Derivation) -> bool:
        """Say whether a build fits beside those that run; one alone always does."""
        taken = sum(other.needs.memory for other in self.running.values())
        return not self.running or (
            len(self.running) < self.capacity.builds
            and taken + derivation.needs.memory <= self.capacity.memory
        )

    def _warn(self, derivation: Derivation) -> None:
        """Say so where the machine may run out of memory before a build reaches the limit that it is held to."""
        needs = derivation.needs.memory
        if needs > self.capacity.memory and not isinstance(derivation.action, Transform):
            self.workshop.emit(
                Warned(
                    name=derivation.name,
                    message=f"it may use {needs >> 20} MiB of memory, and {self.capacity.memory >> 20} MiB are free: "
                    "if it is killed, run fewer jobs (--jobs) or close other programs",
                )
            )

    def _wait(self) -> None:
        """Wait for anything to happen; take in finished builds, and let a failure through."""
        waiting: set[Future[Any]] = {*self.running, *self.fetching}
        if not waiting:
            return
        finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for fetch in finished & self.fetching:
            self.fetching.discard(fetch)
            fetch.result()
        failures: list[BaseException] = []
        for building in [future for future in self.running if future.done()]:
            del self.running[building]
            failure = building.exception()
            if failure is None:
                self._look(self._keep(building.result()))
            else:
                failures.append(failure)
        # Where one failure cancelled others, it is the one to tell of.
        for failure in sorted(failures, key=lambda failure: isinstance(failure, Cancelled)):
            raise failure

    def _keep(self, made: Realisation) -> list[Derivation]:
        """Hold what was made against the record; give those that waited for nothing else."""
        confirm(made, self.recorded)
        self.done[made.name] = made
        users = self.users.get(made.name, [])
        for user in users:
            self.lacking[user.name].discard(made.name)
        return [user for user in users if not self.lacking[user.name]]
