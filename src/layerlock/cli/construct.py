"""From settings to a driver: the one place where collaborators are chosen and put together."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from layerlock.build.workshop import Sandbox
from layerlock.cli.settings import Kind, Settings
from layerlock.events import Listener, Noted
from layerlock.io.repository import Repository
from layerlock.store.local import LocalStore
from layerlock.workflows.caches import Substitutes, open_caches
from layerlock.workflows.driver import GUEST, Bubblewrap, Docker, Driver, FirstThatWorks
from layerlock.workflows.supplier import Elsewhere, OtherStore, StoreSupplier

if TYPE_CHECKING:
    from layerlock.cache.bring import Cache
    from layerlock.io.http import Fetcher
    from layerlock.sandbox.engine.station import Station
    from layerlock.sandbox.program import Program
    from layerlock.sources.fetch import Reach
    from layerlock.workflows.clustering import Cluster


def construct(settings: Settings, emit: Listener, cancel: Event | None = None) -> Driver:
    """Make a driver; nothing is looked for, fetched or opened before it is needed."""
    store = LocalStore(settings.store)

    def reach() -> Reach:
        from layerlock.cli.reach import make_reach  # noqa: PLC0415 - brings `requests` in, which is slow to load

        return make_reach(settings)

    substitutes = _substitutes(settings)
    supplier = StoreSupplier(store, reach, emit, _elsewhere(settings, substitutes))

    def find() -> Program:
        from layerlock.cli.reach import find_program  # noqa: PLC0415 - as above

        program = find_program(store, supplier)
        emit(Noted(name="sandbox", message=f"bubblewrap ({program.origin})"))
        return program

    def connect() -> Station:
        from layerlock.cli.reach import open_engine  # noqa: PLC0415 - as above

        station = open_engine(settings, store, supplier)
        how = "with this host's folders" if station.way.bind else "with streams in place of folders"
        emit(Noted(name="sandbox", message=f"docker at {station.engine.address}, {how}"))
        return station

    return Driver(
        repository=Repository(settings.repository),
        store=store,
        supplier=supplier,
        sandbox=_sandbox(settings.sandbox, Bubblewrap(find), Docker(connect)),
        emit=emit,
        jobs=settings.jobs or cores(),
        memory=settings.memory or memory(),
        guest=settings.guest or GUEST,
        keep_failed=settings.keep_failed,
        cancel=cancel or Event(),
        substitutes=substitutes,
        cluster=_cluster(settings),
    )


def _cluster(settings: Settings) -> Cluster | None:
    """Give the cluster that builds, where one is named."""
    named = settings.cluster
    if named is None:
        return None
    from layerlock.cli.clusters import place  # noqa: PLC0415 - most builds are done here
    from layerlock.workflows.clustering import Cluster  # noqa: PLC0415 - as above

    address, certificates = place(named.scheduler, named.tls)
    return Cluster(
        address=address,
        certificates=certificates,
        kind=settings.sandbox,
        copies=named.copies,
        detach=named.detach,
        attach=named.attach,
    )


def _substitutes(settings: Settings) -> Substitutes | None:
    """Give the binary caches; an archive rules them out as it does the network."""
    if settings.caching == "none" or settings.archive is not None:
        return None

    def caches() -> tuple[Cache, ...]:
        def fetcher() -> Fetcher:
            from layerlock.cli.reach import make_reach  # noqa: PLC0415 - as above

            return make_reach(settings).fetcher

        return open_caches(settings.repository, fetcher, offline=settings.offline)

    return Substitutes(caches, only=settings.caching == "only")


def _elsewhere(settings: Settings, substitutes: Substitutes | None) -> Elsewhere | None:
    """Give what is looked at before the network; an archive also rules the network out."""
    if settings.archive is not None:
        from layerlock.reproduce.archive import Archive  # noqa: PLC0415 - only who has an archive loads it

        archive = Archive(settings.archive)
        archive.check()
        return archive
    if settings.other_store is not None:
        return OtherStore(LocalStore(settings.other_store))
    return substitutes


def _sandbox(kind: Kind, bubblewrap: Sandbox, docker: Sandbox) -> Sandbox:
    match kind:
        case "bwrap":
            return bubblewrap
        case "docker":
            return docker
        case "auto":
            return FirstThatWorks(bubblewrap, docker)


def cores() -> int:
    """Count the processors that this process may use."""
    import os  # noqa: PLC0415

    return len(os.sched_getaffinity(0))


def memory() -> int:
    """Give the bytes of memory that are free for builds: as the kernel estimates them, and its groups allow."""
    from layerlock.sandbox.groups import allowed_memory  # noqa: PLC0415 - brings little in, but not for --help

    return min(_available(), allowed_memory())


def _available() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return 2 << 30
