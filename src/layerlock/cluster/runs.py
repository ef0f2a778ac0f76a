"""What was left to a cluster: kept by its scheduler, under a name that everybody finds who wants the same thing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from layerlock.cluster.dask import METADATA, RUNS
from layerlock.model.digest import digest
from layerlock.plan.resolve import Plan

if TYPE_CHECKING:
    from distributed import Client


def run_name(plan: Plan, targets: Collection[str]) -> str:
    """Name what is left to a cluster: the same for everybody who wants the same thing, named in whichever order."""
    wanted = {name: plan.planned[name] for name in targets}
    return f"{max(wanted)}-{digest(dict(wanted))[:12]}"


def runs_of(client: Client) -> dict[str, Mapping[str, Any]]:
    """Give what was left to a cluster and not fetched yet, by name: its targets, who left it and when."""
    found: Mapping[str, Mapping[str, Any] | None] = client.get_metadata([METADATA, RUNS], default={})
    return {name: about for name, about in found.items() if about}


def forget_run(client: Client, run: str) -> None:
    """Take down what was left: its results are wanted by nobody but us any more."""
    client.unpublish_dataset(run)
    client.set_metadata([METADATA, RUNS, run], None)
