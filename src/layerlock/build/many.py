"""Realising a plan: fetching ahead, building side by side, and going no further than what is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
from layerlock.plan.resolve import Plan


def realise_all(
    plan: Plan,
    targets: Iterable[str],
    workshop: Workshop,
    supply: Supply,
    capacity: Capacity,
    recorded: Mapping[str, str],
    done: Mapping[str, Realisation],
) -> dict[str, Realisation]:
    """Realise some targets of a plan, with what they need and no more.

    `done` is what the store has of the plan already (see `known`) and is used; of the rest, sources are fetched
    concurrently while builds run, and builds run side by side within the capacity. `recorded` are the lock's
    outputs by name: the first output that differs stops everything. Gives the realisations of the targets and of
    all that was looked at.

    Raises:
        LayerlockError: a fetch or a build failed; the others were ended.
        NotReproducible: an output differs from the recorded one.
    """
    return _Run(plan, workshop, supply, capacity, recorded, dict(done)).finish(list(targets))


@dataclass(slots=True)
class _Run:
    """One run over a plan. All of it happens in the calling thread; pools do the fetching and building."""

    plan: Plan
    workshop: Workshop
    supply: Supply
    capacity: Capacity
    recorded: Mapping[str, str]
    done: dict[str, Realisation]
    running: dict[Future[Realisation], Derivation] = field(default_factory=dict)
    fetched: dict[str, Future[Path]] = field(default_factory=dict)
    tried: set[str] = field(default_factory=set)

    def finish(self, wanted: list[str]) -> dict[str, Realisation]:
        todo = self._todo(wanted)
        self._announce(wanted[-1], todo)
        fetchers = ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")
        builders = ThreadPoolExecutor(self.capacity.builds, thread_name_prefix="build")
        try:
            for derivation in todo:
                for source in derivation.sources:
                    self._fetch(fetchers, source.key)
            while not all(name in self.done for name in wanted):
                self._start(builders, self._todo(wanted))
                if not all(name in self.done for name in wanted):
                    self._wait()
        except BaseException:
            # One failure, or Ctrl-C, ends everything that runs; what was finished stays in the store.
            self.workshop.cancel.set()
            fetchers.shutdown(wait=False, cancel_futures=True)
            builders.shutdown(wait=True, cancel_futures=True)
            raise
        fetchers.shutdown(cancel_futures=True)
        builders.shutdown()
        return self.done

    def _todo(self, wanted: list[str]) -> list[Derivation]:
        """Give what has to be realised, in build order: never the inputs of something that is done."""
        needed: set[str] = set()
        for derivation in reversed(self.plan.derivations):
            if (derivation.name in wanted or derivation.name in needed) and derivation.name not in self.done:
                needed.add(derivation.name)
                needed.update(item.name for item in derivation.inputs)
        return [d for d in self.plan.derivations if d.name in needed and d.name not in self.done]

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

    def _start(self, pool: ThreadPoolExecutor, todo: list[Derivation]) -> None:
        busy = {derivation.name for derivation in self.running.values()}
        for derivation in todo:
            if derivation.name in busy or not all(item.name in self.done for item in derivation.inputs):
                continue
            order = Order(
                derivation=derivation,
                planned=self.plan.planned[derivation.name],
                inputs={item.name: self.done[item.name] for item in derivation.inputs},
            )
            if derivation.name not in self.tried:
                self.tried.add(derivation.name)
                made = reuse(order, self.workshop)
                if made is not None:
                    self._keep(made)
                    self._start(pool, [d for d in todo if d.name not in self.done])
                    return
            sources = {source.key: self.fetched[source.key] for source in derivation.sources}
            if all(future.done() for future in sources.values()) and self._room(derivation):
                self._warn(derivation)
                paths = {key: future.result() for key, future in sources.items()}
                self.running[pool.submit(realise, order, self.workshop, paths)] = derivation

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
        fetching = {future for future in self.fetched.values() if not future.done()}
        waiting: set[Future[Any]] = {*self.running, *fetching}
        finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in finished & fetching:
            future.result()
        failures: list[BaseException] = []
        for building in [future for future in self.running if future.done()]:
            del self.running[building]
            failure = building.exception()
            if failure is None:
                self._keep(building.result())
            else:
                failures.append(failure)
        # Where one failure cancelled others, it is the one to tell of.
        for failure in sorted(failures, key=lambda failure: isinstance(failure, Cancelled)):
            raise failure

    def _keep(self, made: Realisation) -> None:
        confirm(made, self.recorded)
        self.done[made.name] = made
