"""The scheduler: Dask's own, with the settings that builds need, and no page for strangers.

Other ways to start Dask's scheduler (`dask scheduler`, Kubernetes, AWS) take this module as `--preload`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING, Final

from layerlock.cluster.dask import METADATA, VERSIONS, quiet, security, versions
from layerlock.errors import NoScheduler

if TYPE_CHECKING:
    from distributed import Scheduler

    from layerlock.cluster.certificates import Certificates

DEATHS: Final = 3
"""Workers that may die with a build before it is given up."""
SETTINGS: Final[Mapping[str, object]] = {
    # Events that are kept of each build, for who comes back to it.
    "distributed.admin.low-level-log-length": 2000,
    # A worker gets no build ahead of a free slot: it may have to wait behind one that takes an hour.
    "distributed.scheduler.worker-saturation": 1.0,
    # Whatever the shape of a graph, what is ready and has no slot waits with the scheduler, in order of priority.
    "distributed.scheduler.rootish-taskgroup": 10**9,
    "distributed.scheduler.rootish-taskgroup-dependencies": 10**9,
    # What needs resources is given out at once; an idle worker takes it over soon.
    "distributed.scheduler.work-stealing-interval": "200ms",
    "distributed.worker.profile.enabled": False,
}
"""Dask's configuration of a scheduler of builds; one that is started otherwise needs it in its environment."""
NOWHERE: Final = "127.0.0.1:0"
"""Where Dask's own pages are served: they know neither TLS nor who asks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """Seconds without a sign of life after which a worker counts as lost, and without a worker a build as hopeless."""

    worker: float = 60.0
    nobody: float = 300.0


def dask_setup(scheduler: Scheduler) -> None:
    """Prepare a scheduler that others start, as Dask's `--preload` calls it."""
    prepare(scheduler, Patience())


def prepare(scheduler: Scheduler, patience: Patience) -> None:
    """Give a started scheduler the settings that builds need, and the versions that others compare theirs with."""
    # Dask gives up at one more than it allows.
    scheduler.allowed_failures = DEATHS - 1
    scheduler.no_workers_timeout = patience.nobody
    scheduler.worker_ttl = patience.worker
    watch = scheduler.periodic_callbacks.get("worker-ttl")
    if watch is not None:
        # It has been started with Dask's own patience, which is longer.
        watch.stop()
        watch.callback_time = min(patience.worker, 5.0) * 1000
        watch.start()
    scheduler.set_metadata(keys=[METADATA, VERSIONS], value=versions())


def serve(
    address: str, certificates: Certificates | None, patience: Patience, tell: Callable[[str, str], None]
) -> None:
    """Be the scheduler at an address, until SIGTERM or Ctrl-C. `tell` is told its address and versions.

    Raises:
        NoScheduler: the address cannot be listened at.
    """
    quiet(SETTINGS)
    asyncio.run(_serve(address, certificates, patience, tell))


async def _serve(
    address: str, certificates: Certificates | None, patience: Patience, tell: Callable[[str, str], None]
) -> None:
    from distributed import Scheduler  # noqa: PLC0415 - dask is optional

    stop = asyncio.Event()
    for number in (SIGTERM, SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    scheduler = Scheduler(
        host=address, security=security(certificates), dashboard=False, dashboard_address=NOWHERE
    )
    try:
        await scheduler
    except OSError as error:
        raise NoScheduler(f"nothing can listen at {address}: {error.strerror or error}") from error
    prepare(scheduler, patience)
    tell(scheduler.address, versions())
    await stop.wait()
    await scheduler.close()
