"""The submitting side: hands a plan over, tells what happens, and judges every result.

Dask retries what its workers lost. What it cannot know is judged by `Results`: what does not count is asked for once
more, from another worker, under another key. The graph is then handed over again; what stands is not done twice.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from layerlock.cache.entry import Entry
from layerlock.cache.place import Unreachable
from layerlock.cluster.compose import Composer, Task
from layerlock.cluster.dask import METADATA, RUNS, versions
from layerlock.cluster.graph import submit
from layerlock.cluster.hearing import Hearing
from layerlock.cluster.members import members_of
from layerlock.cluster.orders import Made
from layerlock.cluster.request import Request
from layerlock.cluster.results import Results
from layerlock.cluster.scheduler import DEATHS
from layerlock.cluster.survey import Fit, Member, spacious, survey
from layerlock.errors import (
    BadCache,
    KillsWorkers,
    LayerlockError,
    NoScheduler,
    NoWorker,
    SandboxUnavailable,
    StoreError,
)
from layerlock.events import Warned

if TYPE_CHECKING:
    from distributed import Client, Future

_LOST: Final = 20.0
"""Seconds for which a scheduler may be gone."""
_TICK: Final = 1.0
"""Seconds after which it is looked whether the scheduler is still there."""
_PAUSE: Final = 0.5
"""Seconds until a scheduler that did not answer is asked again."""
_PASSING: Final = (OSError, TimeoutError, asyncio.CancelledError, concurrent.futures.CancelledError)


class Detached(Exception):
    """The plan was handed over, and goes on without us under the name `run`."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run


@dataclass(slots=True)
class Submission:
    """One plan in the hands of a cluster. Everything but the callbacks of Dask happens in the calling thread.

    `needed` are the names of what is to be realised.
    """

    client: Client
    address: str
    request: Request
    composer: Composer
    needed: frozenset[str]
    hearing: Hearing
    results: Results = field(init=False)
    fit: Fit = field(default_factory=lambda: Fit(workers=(), trusted=(), whole=True))
    stated: bool = True
    failed: set[str] = field(default_factory=set)
    futures: dict[str, Future[Any]] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.results = Results(self.request, self._there)

    def look(self) -> None:
        """Look at who is there, before anything is handed over.

        Raises:
            VersionMismatch, NoWorker, UntrustedResult: see `survey`.
        """
        members = members_of(self.client)
        unrecorded = self.needed - self.request.recorded.keys()
        request = self.request
        self.fit = survey(members, versions(), request.seen, request.trust.keys, unrecorded, request.emit)
        self.stated = not self.fit.whole or not spacious(members, self.composer.resources())
        copies = self.request.materials.copies
        if copies > 1 and len(self.fit.workers) < copies:
            raise NoWorker(
                f"to build everything {copies} times takes {copies} workers, and {len(self.fit.workers)} can do it",
                hint="start more workers, or do without --verify",
            )
        self._warn_of_memory(members)

    def hand_over(self) -> None:
        """Hand the graph over, or what has changed of it; what others have asked for already is shared with them."""
        there = self._there() if self.results.barred else frozenset()
        allowed = partial(self._allowed, there)
        nodes, self.tasks = self.composer.nodes(self.results.tries, allowed, stated=self.stated)
        from layerlock.cluster.worker import carry_out  # noqa: PLC0415 - dask is optional

        before = self.futures
        self.futures = submit(self.client, nodes, carry_out)
        del before  # released only now, so that what stands is not forgotten in between
        for key in self.tasks:
            self.futures[key].add_done_callback(partial(self.hearing.ended, key))

    def leave(self, run: str, about: Mapping[str, Any]) -> None:
        """Let the plan go on without us; `about` is for who comes back to it.

        Raises:
            Detached: always.
        """
        self.client.publish_dataset(list(self.futures.values()), name=run, override=True)
        self.client.set_metadata([METADATA, RUNS, run], dict(about))
        raise Detached(run)

    def finish(self) -> dict[str, Entry]:
        """Wait for every result and judge it; give the entries that count, by name.

        Raises:
            LayerlockError: something failed for good.
        """
        lost: float | None = None
        while len(self.results.accepted) < len(self.needed):
            batch = [key for key in self.hearing.batch(_TICK) if self._wanted(key)]
            try:
                self._take(batch)
            except _PASSING:
                # The scheduler does not answer just now, or a result was lost again: it comes anew, or as a failure.
                for key in batch:
                    self.hearing.ended(key, self.futures[key])
                time.sleep(_PAUSE)
            if self.client.status == "running":
                if lost is not None:
                    # It is another scheduler than before, or has forgotten us.
                    self.hearing.listen(self.needed, replay=False)
                    self.hand_over()
                lost = None
                continue
            lost = lost or time.monotonic()
            if time.monotonic() - lost > _LOST or self.client.status == "closed":
                raise NoScheduler(
                    f"the scheduler at {self.address} went away",
                    hint="what was finished is in the cache; build again when it is back",
                )
        return self.results.accepted

    def _wanted(self, key: str) -> bool:
        return key in self.tasks and self.tasks[key].name not in self.results.accepted

    def _take(self, keys: list[str]) -> None:
        """Take in what has ended, inputs before what was made from them."""
        futures = {key: self.futures[key] for key in keys}
        good = [key for key, future in futures.items() if future.status == "finished"]
        for key, made in zip(good, self._gathered([futures[key] for key in good]), strict=True):
            self.results.add(self.tasks[key], made)
        self.failed.update(key for key, one in futures.items() if one.status in ("error", "cancelled"))
        # A failure is looked at once the inputs count; what was made from others is done again anyway.
        failed = (key for key in sorted(self.failed) if self.results.standing(self.tasks[key].name))
        if self.results.judge() or any(map(self._failed, failed)):
            self.results.forget()
            self.failed.clear()
            self.hand_over()

    def _gathered(self, futures: list[Future[Any]]) -> list[Made]:
        try:
            results: list[Made] = self.client.gather(futures)
        except Exception as error:
            if all(one.status == "finished" for one in futures):
                raise
            raise TimeoutError("a result was lost before it was fetched") from error
        return results

    def _failed(self, key: str) -> bool:
        """Look at a task that failed; True where it is to be done anew.

        Raises:
            LayerlockError: it failed for good.
        """
        from distributed.scheduler import KilledWorker, NoValidWorkerError, NoWorkerError  # noqa: PLC0415 - optional

        name, future = self.tasks[key].name, self.futures[key]
        if future.status == "cancelled":
            return self._anew(name, "it was cancelled by the scheduler")
        error = future.exception()
        if isinstance(error, KilledWorker):
            return self._killed(name)
        if isinstance(error, NoValidWorkerError | NoWorkerError):
            raise self._nobody(name)
        if isinstance(error, NoWorker):
            # A worker that has joined since is not like those that were there.
            self.look()
        if isinstance(error, NoWorker | BadCache | StoreError | SandboxUnavailable | Unreachable):
            return self._anew(name, error.message, error)
        if isinstance(error, LayerlockError):
            raise error
        raise LayerlockError(
            f"the build of {name} ended with {type(error).__name__}: {error}",
            hint="this is a defect of layerlock or of the cluster's set-up",
        )

    def _killed(self, name: str) -> bool:
        """Find out whether a build killed its workers, or only waited on them while others did.

        Dask holds a worker's death against everything that was given to it.
        """
        here = self._there()
        begun = self.hearing.beginners(name)
        dead = {worker: called for worker, called in begun.items() if worker not in here}
        if len(dead) >= DEATHS or self.results.tries[name] >= DEATHS:
            both = [
                other
                for other, on in self.hearing.begun.items()
                if other != name and dead.keys() <= on.keys()
            ]
            beside = (
                f" (and so {'was' if len(both) == 1 else 'were'} {', '.join(both)})" if dead and both else ""
            )
            raise KillsWorkers(
                f"{name} was being built on {', '.join(dead.values()) or 'several workers'} when they died{beside}; "
                "it is given up",
                hint="look at those machines' memory and disk, and at the derivation's limits in its recipe",
            )
        return self._anew(name, "its workers died, though not while they built it")

    def _anew(self, name: str, why: str, error: LayerlockError | None = None) -> bool:
        self.results.again(name, why, error)
        return True

    def _nobody(self, name: str) -> NoWorker:
        derivation = self.results.derivation(name)
        members = members_of(self.client)
        memory = max((one.resources.get("memory", 0.0) for one in members), default=0.0)
        there = (
            f"{len(members)} are there, the largest with {int(memory) >> 20} MiB of memory"
            if members
            else "none is there"
        )
        return NoWorker(
            f"no worker can build {name}: it takes {derivation.system} and {derivation.needs.memory >> 20} MiB of "
            f"memory; {there}",
            hint="start a worker that offers it: layerlock worker ADDRESS --memory SIZE; workers that left said why",
        )

    def _allowed(self, there: Collection[str], name: str, copy: int) -> tuple[str, ...]:
        """Give the workers that may build a copy of a derivation, of those that are there; none where all may."""
        copies = self.request.materials.copies
        recorded = name in self.request.recorded
        workers = self.fit.workers if recorded else self.fit.trusted
        if copies > 1:
            return tuple(one for one in workers if one not in self.results.barred)[copy::copies]
        if self.results.barred:
            return tuple(sorted(set(there if self.fit.whole else workers) - self.results.barred))
        if self.fit.whole and (recorded or len(self.fit.trusted) == len(self.fit.workers)):
            return ()
        return workers

    def _warn_of_memory(self, members: Collection[Member]) -> None:
        most = max((one.resources.get("memory", 0.0) for one in members), default=None)
        for derivation in self.request.plan.derivations:
            if most is not None and derivation.name in self.needed and derivation.needs.memory > most:
                self.request.emit(
                    Warned(
                        name=derivation.name,
                        message=f"it takes {derivation.needs.memory >> 20} MiB of memory, more than any worker offers; "
                        "it waits for one that does",
                    )
                )

    def _there(self) -> frozenset[str]:
        return frozenset(one.address for one in members_of(self.client))
