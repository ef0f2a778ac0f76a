"""`layerlock attach`: coming back to what was left to a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_building, add_caching, add_cluster
from layerlock.cli.build import add_targets, build_all
from layerlock.cli.help import Help
from layerlock.errors import UsageError
from layerlock.ui.text import table

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Comes back to builds that `layerlock build --detach` has left to a cluster: shows what happened, waits for "
    "the rest, judges the results and delivers them as `layerlock build` does. It is found by what is built, so the "
    "recipes must be as they were. Without a name it lists what was left and not fetched yet.",
    writes="what `layerlock build` writes.",
    examples=("layerlock attach --scheduler tls://10.0.0.1:8786", "layerlock attach cv"),
    related=("build", "scheduler", "worker"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_targets(parser)
    add_building(parser)
    add_caching(parser)
    add_cluster(parser)


def run(call: Call) -> int:
    """Come back to what is named, or list what there is."""
    if call.settings.cluster is None:
        raise UsageError("--scheduler is needed, or LAYERLOCK_SCHEDULER")
    if call.options.names or call.option("all"):
        build_all(call)
    else:
        _list(call)
    return 0


def _list(call: Call) -> None:
    from layerlock.cluster.runs import runs_of  # noqa: PLC0415 - as above

    with call.driver() as driver:
        assert driver.cluster is not None  # noqa: S101 - the settings name one
        with driver.cluster.client() as client:
            runs = runs_of(client)
    rows = [(name, f"left by {about['who']}", str(about["when"])) for name, about in sorted(runs.items())]
    call.result(table(rows) if rows else "nothing was left to the cluster", {"runs": runs})
