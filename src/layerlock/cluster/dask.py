"""What scheduler, workers and submitters have in common of Dask: security, versions, and its many settings."""

from __future__ import annotations

import asyncio
import logging
import platform
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import layerlock
from layerlock.errors import InsecureCluster, NoScheduler, UsageError, VersionMismatch

if TYPE_CHECKING:
    import distributed
    from distributed import Security

    from layerlock.cluster.certificates import Certificates

    Client = distributed.Client

METADATA: Final = "layerlock"
"""Under which a scheduler keeps what the driver has to say."""
NAME: Final = "layerlock"
"""Under which a worker keeps it."""
VERSIONS: Final = "versions"
RUNS: Final = "runs"
ANSWER: Final = 10.0
"""Seconds in which a scheduler is to answer."""
_FAR_OFF: Final = 1_000_000
"""Of what a worker has without limit, such as an architecture, it offers this much."""


def need_dask() -> None:
    """See that Dask is installed; it is not needed for builds on one machine.

    Raises:
        UsageError: it is not.
    """
    try:
        import distributed  # noqa: F401, PLC0415 - it is optional
    except ImportError:
        raise UsageError(
            "a cluster needs Dask distributed, which is not installed",
            hint="install requirements/cluster.txt: requirements/install cluster",
        ) from None
    # Who reads what a verb says is told in the driver's own words. Dask gives several of its loggers a handler.
    for name in ("distributed", *logging.root.manager.loggerDict):
        if name.partition(".")[0] == "distributed":
            logger = logging.getLogger(name)
            logger.handlers = [logging.NullHandler()]
            logger.propagate = False


def versions() -> str:
    """Give what has to be the same on all machines of a cluster, for people and for comparison."""
    from importlib.metadata import version  # noqa: PLC0415 - for this alone

    python = ".".join(platform.python_version_tuple()[:2])
    return f"layerlock {layerlock.__version__}, Python {python}, distributed {version('distributed')}"


def security(certificates: Certificates | None) -> Security:
    """Give mutual TLS with these certificates, for every role; without them, none (on loopback alone)."""
    from distributed import Security  # noqa: PLC0415 - as above

    if certificates is None:
        return Security(require_encryption=False)
    roles = {f"tls_{role}_cert": str(certificates.cert) for role in ("client", "scheduler", "worker")}
    roles |= {f"tls_{role}_key": str(certificates.key) for role in ("client", "scheduler", "worker")}
    return Security(require_encryption=True, tls_ca_file=str(certificates.ca), **roles)


def needs(system: str, memory: int, *, sandboxed: bool, kind: str = "auto") -> dict[str, float]:
    """Give what a build takes of a worker, as Dask resources; memory in bytes. `kind` is that of the sandbox."""
    sandbox = {"sandbox" if kind == "auto" else f"sandbox {kind}": 1.0} if sandboxed else {}
    return {versions(): 1.0, system: 1.0, "cores": 1.0, "memory": float(memory), **sandbox}


def offers(cores: int, memory: int, kind: str) -> dict[str, float]:
    """Give what a worker has, as Dask resources."""
    system = f"{platform.machine()}-linux"
    unlimited = dict.fromkeys((versions(), system, "sandbox", f"sandbox {kind}"), float(_FAR_OFF))
    return {"cores": float(cores), "memory": float(memory), **unlimited}


async def ask_scheduler(address: str, secure: Security) -> None:
    """See that a scheduler answers and is of the same version.

    Raises:
        NoScheduler: none answers, or it was not started for this.
        InsecureCluster: it does not accept our certificate, or we not its.
        VersionMismatch: it is of another version.
    """
    from distributed import rpc  # noqa: PLC0415 - as above

    try:
        async with rpc(
            address, connection_args=secure.get_connection_args("client"), timeout=ANSWER
        ) as scheduler:
            told = await asyncio.wait_for(
                scheduler.get_metadata(keys=[METADATA, VERSIONS], default=None), ANSWER
            )
    except (OSError, TimeoutError) as error:
        raise unreachable(address, error) from error
    if told is None:
        raise NoScheduler(
            f"the scheduler at {address} was not started for layerlock",
            hint="start it with `layerlock scheduler`, or with --preload layerlock.cluster.scheduler",
        )
    if told != versions():
        raise VersionMismatch(
            f"the scheduler at {address} is of {told}, and this is {versions()}",
            hint="run the same versions everywhere: one lock for all machines, requirements/cluster.txt",
        )


def unreachable(address: str, error: BaseException) -> InsecureCluster | NoScheduler:
    """Tell of a scheduler that cannot be spoken to: what TLS says is wrong, else that it does not answer."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError) or "CERTIFICATE" in str(cause).upper():
            said = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or str(cause)
            return InsecureCluster(
                f"the scheduler at {address} and this machine do not accept each other's certificates: {said}",
                hint="both must be signed by the same CA and be valid today; see docs/cluster.md",
            )
        cause = cause.__cause__ or cause.__context__
    return NoScheduler(
        f"no scheduler answers at {address}",
        hint="start one: layerlock scheduler ADDRESS; see that no firewall is in between",
    )


def quiet(settings: Mapping[str, object]) -> None:
    """Set Dask's configuration for this process."""
    import dask  # noqa: PLC0415 - as above

    dask.config.set(dict(settings))
