"""`layerlock worker`: building for a cluster."""

from __future__ import annotations

import functools
import platform
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_offline, add_sandbox, add_tls, amount, positive
from layerlock.cli.cache import VARIABLE, signing_key
from layerlock.cli.help import Help
from layerlock.errors import SandboxUnavailable, UsageError

if TYPE_CHECKING:
    import argparse

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from layerlock.cache.place import Place
    from layerlock.cli.call import Call
    from layerlock.cli.settings import Kind, Settings
    from layerlock.cluster.bench import Fetch
    from layerlock.events import Listener
    from layerlock.io.http import Fetcher
    from layerlock.model.lock import LockedSource
    from layerlock.store.local import LocalStore
    from layerlock.workflows.driver import Driver

HELP = Help(
    about="Joins a cluster and builds what its scheduler hands out, until it is stopped. It needs no recipes: what a "
    "build takes comes with the order, out of the cache, or from where sources come from. Results are signed with "
    "--key and go to the cache, where the others find them. Before it joins, it sees that a sandbox works, that there "
    "is room, and that the cache can be written; when that changes it leaves, and comes back once it is mended.",
    writes="the store, and the cache.",
    examples=(
        "layerlock worker tls://10.0.0.1:8786 --cores 16 --memory 64GiB --cache s3://team-layers/cache \\\n"
        "      --key worker.pem --tls-ca ca.pem --tls-cert worker.crt --tls-key worker.key",
    ),
    related=("scheduler", "build", "cache"),
)
_ROOM = 5 << 30


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("address", metavar="ADDRESS", help="the scheduler's: tls://HOST:PORT")
    parser.add_argument("--cores", type=positive, metavar="N", help="builds at once; all cores if left out")
    parser.add_argument(
        "--memory",
        type=amount,
        metavar="SIZE",
        help="memory for all builds together, such as 64GiB; what is free if left out",
    )
    parser.add_argument(
        "--cache",
        required=True,
        metavar="URL",
        help="where results go: s3://BUCKET/PREFIX, or a shared folder",
    )
    parser.add_argument(
        "--key", metavar="FILE", help="the private key that signs results (see `layerlock cache keygen`)"
    )
    parser.add_argument(
        "--room",
        type=amount,
        default=_ROOM,
        metavar="SIZE",
        help="what its store must have free; 5 GiB if left out",
    )
    parser.add_argument("--name", metavar="NAME", help="what people call it; the host's name if left out")
    parser.add_argument(
        "--host",
        metavar="HOST",
        help="its own address, where several could be meant: a name or an IP address",
    )
    parser.add_argument(
        "--patience",
        type=positive,
        default=600,
        metavar="SECONDS",
        help="how long it tries to come back when it had to leave or lost the scheduler; 600 if left out",
    )
    add_tls(parser)
    add_sandbox(parser)
    add_offline(parser)


def run(call: Call) -> int:
    """Be a worker."""
    from layerlock.cli import clusters, surroundings  # noqa: PLC0415 - mistakes are told without them

    options = call.options
    address, certificates = clusters.place(
        options.address, surroundings.tls(options, call.variables, call.current)
    )
    key, place = _key(call), _place(call)
    from layerlock.cli import construct  # noqa: PLC0415 - as above
    from layerlock.cluster.bench import Bench, new_mark  # noqa: PLC0415 - as above
    from layerlock.cluster.dask import offers  # noqa: PLC0415 - as above
    from layerlock.cluster.worker import Joining, serve  # noqa: PLC0415 - as above

    cores, memory = call.option("cores") or construct.cores(), call.option("memory") or construct.memory()
    called = call.option("name") or platform.node()
    with call.listening() as emit, TemporaryDirectory(prefix="layerlock-worker-") as folder:
        # A worker works in no repository, wherever it is started: an empty one stands in where one is asked for.
        nowhere = Path(folder)
        (nowhere / "recipes").mkdir()
        settings = replace(
            call.settings_for(nowhere, call.store), jobs=cores, memory=memory, caching="none", cluster=None
        )
        kind, driver = _driver(settings, emit)
        bench = Bench(
            workshop=driver.workshop,
            place=place,
            fetch=_fetch(settings, driver.store, place),
            key=key,
            room=options.room,
            called=called,
            mark=new_mark(called),
        )
        joining = Joining(
            scheduler=address,
            certificates=certificates,
            host=call.option("host"),
            cores=cores,
            resources=offers(cores, memory, kind),
            patience=float(options.patience),
        )

        def tell(own: str) -> None:
            call.result(f"{called} joined {address} as {own}", {"address": own, "scheduler": address})
            call.stdout.flush()

        serve(joining, bench, emit, tell)
    return 0


def _driver(settings: Settings, emit: Listener) -> tuple[Kind, Driver]:
    """Give the kind of sandbox that works here, and a driver with it.

    Raises:
        SandboxUnavailable: none does.
    """
    from layerlock.cli.construct import construct  # noqa: PLC0415 - as above

    kinds: tuple[Kind, ...] = ("bwrap", "docker") if settings.sandbox == "auto" else (settings.sandbox,)
    reasons: list[SandboxUnavailable] = []
    for kind in kinds:
        driver = construct(replace(settings, sandbox=kind), emit)
        try:
            driver.sandbox.prepare()
        except SandboxUnavailable as error:
            reasons.append(error)
        else:
            return kind, driver
    raise SandboxUnavailable("; ".join(error.message for error in reasons), hint=reasons[0].hint)


def _fetch(settings: Settings, store: LocalStore, place: Place) -> Fetch:
    """Give what brings sources: out of the cluster's cache, else from where they come from."""
    from layerlock.cache.bring import Cache  # noqa: PLC0415 - as above
    from layerlock.cache.keys import Trust  # noqa: PLC0415 - as above
    from layerlock.cache.substitute import CachedSources  # noqa: PLC0415 - as above
    from layerlock.cli.reach import reach_at  # noqa: PLC0415 - as above
    from layerlock.workflows.supplier import StoreSupplier  # noqa: PLC0415 - as above

    cached = CachedSources(lambda: (Cache(name="the cluster's", place=place, trust=Trust(keys=frozenset())),))
    reach = functools.cache(functools.partial(reach_at, settings))

    def fetch(pin: LockedSource, snapshots: tuple[str, ...], emit: Listener) -> Path:
        return StoreSupplier(store, lambda: reach(snapshots), emit, cached).fetch(pin)

    return fetch


def _place(call: Call) -> Place:
    """Open the cache that results go to.

    Raises:
        UsageError: it is none, or one that can only be read.
    """
    from layerlock.model.caches import CacheSource  # noqa: PLC0415 - as above
    from layerlock.model.decode import DecodeError, decode  # noqa: PLC0415 - as above
    from layerlock.workflows.caches import open_place  # noqa: PLC0415 - as above

    url: str = call.options.cache
    if url.startswith(("http://", "https://")):
        raise UsageError(
            f"{url} can only be read, and a worker writes", hint="name the bucket or the folder behind it"
        )
    try:
        source = decode(CacheSource, {"name": "cluster", "url": url})
    except DecodeError as error:
        raise UsageError(f"--cache: {error}") from None
    return open_place(source, call.current, _no_web)


def _no_web() -> Fetcher:
    raise UsageError("a worker's cache is no web server")


def _key(call: Call) -> Ed25519PrivateKey | None:
    """Read the key that signs results, where there is one."""
    if call.option("key") is None and not call.variables.get(VARIABLE):
        return None
    return signing_key(call)
