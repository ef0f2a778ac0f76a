"""`layerlock scheduler`: the scheduler of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_tls, positive
from layerlock.cli.help import Help

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Starts the scheduler of a cluster at an address, and runs until it is stopped. It is Dask's own, with the "
    "settings that builds need. Whoever can speak to it may run code on every worker: certificates on both sides are "
    "required, and plain tcp is refused but on loopback.",
    writes="nothing.",
    examples=(
        "layerlock scheduler tls://0.0.0.0:8786 --tls-ca ca.pem --tls-cert scheduler.pem --tls-key scheduler.key",
    ),
    related=("worker", "build", "attach"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("address", metavar="ADDRESS", help="where to listen: tls://HOST:PORT")
    add_tls(parser)
    parser.add_argument(
        "--lost-after",
        type=positive,
        default=60,
        metavar="SECONDS",
        help="without a sign of life a worker counts as lost, and its builds go to others; 60 if left out",
    )
    parser.add_argument(
        "--hopeless-after",
        type=positive,
        default=300,
        metavar="SECONDS",
        help="a build that no worker can do fails; 300 if left out: more where machines take long to start",
    )


def run(call: Call) -> int:
    """Be the scheduler."""
    from layerlock.cli import clusters, surroundings  # noqa: PLC0415 - mistakes are told without them

    options = call.options
    tls = surroundings.tls(options, call.variables, call.current)
    address, certificates = clusters.place(options.address, tls)
    from layerlock.cluster.scheduler import Patience, serve  # noqa: PLC0415 - brings Dask in

    def tell(at: str, versions: str) -> None:
        call.result(f"the scheduler listens at {at} ({versions})", {"address": at, "versions": versions})
        call.stdout.flush()

    patience = Patience(worker=float(options.lost_after), nobody=float(options.hopeless_after))
    serve(address, certificates, patience, tell)
    return 0
