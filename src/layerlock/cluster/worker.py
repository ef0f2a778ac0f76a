"""A worker: Dask's own in one process, with a bench. It leaves when it is not fit to build, and returns when it is."""

from __future__ import annotations

import asyncio
import dataclasses
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING, Any, Final

from distributed import Reschedule, Worker, get_worker
from distributed.core import Status
from distributed.diagnostics.plugin import WorkerPlugin

from layerlock.build.one import Cancelled
from layerlock.cluster.bench import Bench, Unfit
from layerlock.cluster.dask import NAME, ask_scheduler, quiet, security, versions
from layerlock.cluster.orders import TOPIC, BuildOrder, Fetched, FetchOrder, GuestOrder, Made, topic
from layerlock.cluster.scheduler import NOWHERE
from layerlock.cluster.wire import encode_event, unpack
from layerlock.errors import LayerlockError, NoWorker
from layerlock.events import Event, FetchProgressed, Listener, Warned

if TYPE_CHECKING:
    from layerlock.cluster.certificates import Certificates

_PAUSE: Final = 5.0
"""Seconds until a worker that had to leave looks again whether it is fit."""
_LEAVING: Final = 20.0
"""Seconds in which the scheduler is to hear that a worker leaves."""
_RUNNING: Final = frozenset({"executing", "long-running", "resumed"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Joining:
    """How a worker joins: the scheduler, its own address where it is not to be guessed, and what it offers.

    `patience` is how many seconds it tries to join again, once it was in.
    """

    scheduler: str
    certificates: Certificates | None
    host: str | None
    cores: int
    resources: Mapping[str, float]
    patience: float


class Station(WorkerPlugin):
    """What ties a bench to the worker that it stands in. Orders come in threads, one each."""

    name = NAME

    def __init__(self, bench: Bench, resources: Mapping[str, float]) -> None:
        self._bench = bench
        self._resources = resources
        self._worker: Worker | None = None
        self._flags: dict[str, threading.Event] = {}
        self._refused: set[str] = set()
        self.reason: LayerlockError | None = None

    def setup(self, worker: Worker) -> None:
        """Take a place in a worker."""
        self._worker = worker
        self.reason = None

    def transition(self, key: Any, start: str, finish: str, **others: Any) -> None:
        """Stop a build that nobody wants any more."""
        del others
        if start in _RUNNING and finish in ("released", "forgotten", "cancelled"):
            flag = self._flags.get(key)
            if flag is not None:
                flag.set()

    def stop(self) -> None:
        """Stop every build."""
        for flag in list(self._flags.values()):
            flag.set()

    def carry_out(self, key: str, order: object, results: Mapping[str, Any]) -> object:
        """Do what an order says.

        Raises:
            Reschedule: another worker is to do it.
            LayerlockError: it failed.
        """
        match order:
            case GuestOrder():
                return order
            case FetchOrder():
                return self._guarded(key, lambda: self._fetch(order))
            case BuildOrder():
                return self._guarded(key, lambda: self._make(key, order, results))
        raise TypeError(f"no order: {type(order).__name__}")

    def _fetch(self, order: FetchOrder) -> Fetched:
        return self._bench.gather(order, self._teller(topic(order.name, order.planned)))

    def _make(self, key: str, order: BuildOrder, results: Mapping[str, Any]) -> Made:
        worker = self._joined
        derivation = order.derivation
        offered = self._resources.get("memory", 0.0) if derivation.system in self._resources else 0.0
        if derivation.needs.memory > offered:
            raise NoWorker(f"{self._bench.called} does not offer what {derivation.name} takes")
        where = topic(derivation.name, order.planned)
        worker.log_event(where, {"begun": key, "worker": worker.address, "called": self._bench.called})
        flag = self._flags[key] = threading.Event()
        entries = {name: results[each].entry for name, each in order.inputs.items()}
        try:
            return self._bench.make(
                order,
                entries,
                results[order.guest] if order.guest is not None else None,
                self._teller(where),
                flag,
                worker.address,
            )
        finally:
            del self._flags[key]

    def _guarded(self, key: str, work: Any) -> object:
        try:
            return work()
        except Cancelled:
            # Either nobody wants it any more, or this worker is being stopped and another one takes over.
            raise Reschedule from None
        except Unfit as unfit:
            why = unfit.why
            if key in self._refused:
                raise self._signed(why) from None
            self._refused.add(key)
            self._leave(why)
            raise Reschedule from None
        except LayerlockError as error:
            raise self._signed(error) from None

    def _signed(self, error: LayerlockError) -> LayerlockError:
        """Say where it happened, and let go of what cannot travel."""
        error.hint = "; ".join(filter(None, (error.hint, f"it happened on {self._bench.called}")))
        error.__cause__ = error.__context__ = None
        return error

    def _leave(self, why: LayerlockError) -> None:
        """Leave the cluster, once what runs here is told to be done elsewhere."""
        worker = self._joined
        self.reason = why
        message = f"{self._bench.called} leaves the cluster: {why.message}"
        worker.log_event(TOPIC, encode_event(Warned(name="cluster", message=message)))
        worker.loop.add_callback(worker.close_gracefully, reason="layerlock: unfit")
        until = time.monotonic() + _LEAVING
        while worker.status == Status.running and time.monotonic() < until:
            time.sleep(0.05)

    @property
    def _joined(self) -> Worker:
        assert self._worker is not None  # noqa: S101 - orders come by way of a worker
        return self._worker

    def _teller(self, where: str) -> Listener:
        worker = self._joined

        def tell(event: Event) -> None:
            # There are too many of these for all who listen.
            if isinstance(event, FetchProgressed):
                return
            worker.log_event(where, encode_event(event))

        return tell


def carry_out(payload: bytes, results: Mapping[str, Any]) -> object:
    """Carry out an order on the worker in whose thread this is called: what tasks of a graph run."""
    worker = get_worker()
    station = worker.plugins[NAME]
    assert isinstance(station, Station)  # noqa: S101 - `serve` has put it there
    return station.carry_out(str(worker.get_current_task()), unpack(payload), results)


def serve(joining: Joining, bench: Bench, emit: Listener, tell: Callable[[str], None]) -> None:
    """Be a worker until SIGTERM or Ctrl-C. `tell` is told its own address, each time that it has joined.

    Raises:
        LayerlockError: it is not fit when it is started, or the scheduler does not answer, or not any more.
    """
    quiet(
        {
            "distributed.worker.profile.enabled": False,
            "distributed.worker.daemon": False,
            "distributed.comm.timeouts.connect": "10s",
            "distributed.comm.timeouts.tcp": "20s",
        }
    )
    asyncio.run(_serve(joining, bench, emit, tell))


async def _serve(joining: Joining, bench: Bench, emit: Listener, tell: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (SIGTERM, SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    station = Station(bench, joining.resources)
    lost: float | None = None
    first = True
    while not stop.is_set():
        try:
            await asyncio.to_thread(bench.check)
            await ask_scheduler(joining.scheduler, security(joining.certificates))
        except LayerlockError:
            lost = lost or time.monotonic()
            if first or time.monotonic() - lost > joining.patience:
                raise
            await _pause(stop)
            continue
        first, lost = False, None
        await _joined(joining, station, bench, emit, tell, stop)
        # Whatever still runs was given to others, or is wanted by nobody.
        station.stop()
        if not stop.is_set():
            why = station.reason.message if station.reason is not None else "the scheduler let it go"
            emit(Warned(name="worker", message=f"left the cluster: {why}; it tries again"))
            await _pause(stop)


async def _joined(
    joining: Joining,
    station: Station,
    bench: Bench,
    emit: Listener,
    tell: Callable[[str], None],
    stop: asyncio.Event,
) -> None:
    """Be in the cluster, until the worker leaves or is to stop."""
    with tempfile.TemporaryDirectory(prefix="layerlock-worker-", ignore_cleanup_errors=True) as folder:
        worker = Worker(
            joining.scheduler,
            nthreads=joining.cores,
            name=f"{bench.called} {bench.mark[-9:-1].decode()}",
            resources=dict(joining.resources),
            security=security(joining.certificates),
            host=joining.host,
            memory_limit=0,  # builds have limits of their own
            dashboard_address=NOWHERE,
            local_directory=folder,
            startup_information={NAME: lambda _: dataclasses.asdict(bench.facts(versions()))},
            plugins=(station,),
            death_timeout=joining.patience,
        )
        try:
            await worker
        except (OSError, TimeoutError) as error:
            emit(Warned(name="worker", message=f"the scheduler was lost: {error}"))
            return
        tell(worker.address)
        waits = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(worker.finished())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            station.stop()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(worker.close_gracefully(reason="layerlock: stopped"), _LEAVING)
        for each in waits:
            each.cancel()
        await worker.close()


async def _pause(stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), _PAUSE)
