"""Having a cluster realise a plan: what it takes from this machine's repository, and what comes back into the store."""

from __future__ import annotations

import datetime
import getpass
import platform
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from layerlock.build.known import known
from layerlock.build.noting import note
from layerlock.cache.bring import BAD, Cache, bring_tree, said
from layerlock.cache.entry import Entry, file_key
from layerlock.cache.place import Unreachable
from layerlock.errors import BadCache, LayerlockError, UsageError
from layerlock.events import FetchFinished, FetchStarted, PlanMade, Warned
from layerlock.model.derivation import Realisation
from layerlock.model.lock import LockedPath, LockedSource
from layerlock.plan.priority import costs, priorities
from layerlock.plan.resolve import Plan
from layerlock.workflows import keeping
from layerlock.workflows.driver import Driver
from layerlock.workflows.foreseeing import read_history

if TYPE_CHECKING:
    from pathlib import Path

    from layerlock.cluster.certificates import Certificates
    from layerlock.cluster.dask import Client


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """A cluster by the address of its scheduler, and how it is asked: see `cli.settings.ClusterSettings`."""

    address: str
    certificates: Certificates | None
    kind: str
    copies: int = 1
    detach: bool = False
    attach: bool = False

    def realise(
        self,
        driver: Driver,
        plan: Plan,
        targets: tuple[str, ...],
        pins: Mapping[str, LockedSource],
        recorded: Mapping[str, str],
    ) -> Mapping[str, Realisation]:
        """Have targets realised, and bring their outputs into the store; what is there already is not asked for.

        Raises:
            LayerlockError: nobody is there to do it, it failed, or what came does not count.
            Detached: it goes on without us.
        """
        made = known(plan, driver.store, recorded)
        driver.store.hold(keeping.outputs(made.values()))
        if self.copies == 1 and not self.attach and all(name in made for name in targets):
            return made
        caches = _caches(driver)
        needed = plan.needed_for(targets)
        with self.client() as client:
            entries = self._entries(client, driver, plan, targets, needed, pins, recorded, caches)
        for name in targets:
            if name not in made or self.copies > 1:
                made[name] = _bring(entries[name], caches, driver)
        return made

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Lend a client of the scheduler.

        Raises:
            NoScheduler, InsecureCluster, VersionMismatch: there is none that can be used.
        """
        from layerlock.cluster.dask import ask_scheduler, need_dask, security  # noqa: PLC0415 - optional

        need_dask()
        import asyncio  # noqa: PLC0415 - for clusters alone

        from layerlock.cluster.members import connect  # noqa: PLC0415 - as above

        secure = security(self.certificates)
        asyncio.run(ask_scheduler(self.address, secure))
        client = connect(self.address, secure)
        try:
            yield client
        finally:
            with suppress(TimeoutError, OSError):
                client.close(timeout=5)

    def _entries(
        self,
        client: Client,
        driver: Driver,
        plan: Plan,
        targets: tuple[str, ...],
        needed: frozenset[str],
        pins: Mapping[str, LockedSource],
        recorded: Mapping[str, str],
        caches: tuple[Cache, ...],
    ) -> Mapping[str, Entry]:
        from layerlock.cluster.compose import Composer, Materials  # noqa: PLC0415 - as above
        from layerlock.cluster.hearing import Hearing  # noqa: PLC0415 - as above
        from layerlock.cluster.request import Request  # noqa: PLC0415 - as above
        from layerlock.cluster.runs import forget_run, run_name, runs_of  # noqa: PLC0415 - as above
        from layerlock.cluster.submission import Submission  # noqa: PLC0415 - as above

        trust = caches[0].trust

        def folder(pin: LockedPath) -> Path:
            return driver.supplier.fetch(pin)

        materials = Materials(
            plan=plan,
            pins=pins,
            repository=driver.repository.root,
            guest=driver.guest,
            folder=folder,
            keys=trust.keys,
            snapshots=driver.repository.snapshots(),
            kind=self.kind,
            priorities=_priorities(driver, plan),
            copies=self.copies,
        )
        request = Request(
            materials=materials,
            targets=targets,
            recorded=recorded,
            trust=trust,
            seen=lambda marks: _seen(marks, caches, driver),
            log=driver.store.log_path,
            note=partial(note, driver.store),
            emit=driver.emit,
        )
        submission = Submission(
            client=client,
            address=self.address,
            request=request,
            composer=Composer(materials, needed),
            needed=needed,
            hearing=Hearing(client, plan, driver.store.log_path, driver.emit),
        )
        run, left = run_name(plan, targets), runs_of(client)
        if self.attach and run not in left:
            raise UsageError(
                f"nothing like {targets[-1]}, as the recipes stand, was left to the cluster",
                hint=f"what was: {', '.join(sorted(left)) or 'nothing'}; `layerlock build` starts it",
            )
        submission.look()
        to_build = tuple(name for name in plan.planned if name in needed)
        driver.emit(
            PlanMade(
                name=targets[-1],
                derivations=tuple(plan.planned),
                to_build=to_build,
                to_fetch=0,
                fetch_bytes=0,
            )
        )
        submission.hearing.listen(needed, replay=self.attach)
        submission.hand_over()
        if self.detach:
            who = f"{getpass.getuser()} on {platform.node()}"
            when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            submission.leave(run, {"targets": list(targets), "who": who, "when": when})
        try:
            entries = submission.finish()
        except LayerlockError:
            # Who only leaves again, by Ctrl-C, may come back again.
            if self.attach:
                with suppress(OSError, TimeoutError):
                    forget_run(client, run)
            raise
        if self.attach:
            forget_run(client, run)
        return entries


def _caches(driver: Driver) -> tuple[Cache, ...]:
    caches = driver.substitutes.caches() if driver.substitutes is not None else ()
    if driver.substitutes is not None and driver.substitutes.only:
        raise UsageError("--cache-only builds nothing, so that it needs no --scheduler")
    if not caches:
        raise UsageError(
            "a cluster's results come by way of a binary cache, and none is to be asked",
            hint="list the one that the workers write to in recipes/caches.toml",
        )
    return caches


def _seen(marks: Collection[str], caches: Collection[Cache], driver: Driver) -> frozenset[str]:
    """Say which marks of workers are in one of our caches."""
    keys = {file_key(mark): mark for mark in marks}
    found: set[str] = set()
    for cache in caches:
        try:
            found |= {keys[key] for key in cache.place.present(keys)}
        except Unreachable as error:
            driver.emit(Warned(name=f"cache {cache.name}", message=error.message))
    return frozenset(found)


def _bring(entry: Entry, caches: Collection[Cache], driver: Driver) -> Realisation:
    """Bring an output that counts into the store.

    Raises:
        BadCache: no cache has it.
    """
    made = entry.realisation
    driver.store.hold(keeping.outputs((made,)))
    problems = []
    for cache in caches if driver.store.tree(entry.output) is None else ():
        driver.emit(FetchStarted(name=entry.name, url=cache.place.address, size=entry.size))
        try:
            if bring_tree(cache.place, entry.output, entry.size, entry.name, driver.store) is not None:
                driver.emit(FetchFinished(name=entry.name, size=entry.size, seconds=0.0))
                break
        except Unreachable as error:
            problems.append(error.message)
        except BAD as error:
            problems.append(f"{cache.name}: {said(error)}")
    if driver.store.tree(entry.output) is None:
        raise BadCache(
            f"no cache has the output {entry.output} that was built of {entry.name}; {'; '.join(problems)}",
            hint="list the cache that the workers write to in recipes/caches.toml",
        )
    driver.store.register(made)
    return made


def _priorities(driver: Driver, plan: Plan) -> Mapping[str, float]:
    """Put first what the longest way waits for, by what earlier builds took."""
    history = read_history(driver.store, driver.repository, plan.planned.values())
    return priorities(plan.derivations, costs(plan.derivations, history.of(plan.planned.items())))
