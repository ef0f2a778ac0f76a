"""Handing Dask a whole graph at once: nothing here knows what the tasks do.

Dask has the graph, its order and its retries; there is no scheduler of ours. One message carries all of it, with the
resources and the priority of each task as annotations, so that a task costs the scheduler's own work and no round trip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from distributed import Client, Future

Run = Callable[[Any, Mapping[str, Any]], Any]
"""What a worker calls for a task: with its payload, and the results of its inputs by key."""

_LAYER: Final = "layerlock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A task: a key that is the same wherever it is the same work, its inputs' keys, and what `run` is told.

    `resources` are amounts that a worker must have free, by the names under which workers offer them. Of tasks that
    wait, those with the higher `priority` go first. `workers` are the addresses that may run it; any, where empty.
    """

    key: str
    payload: Any
    inputs: tuple[str, ...] = ()
    resources: Mapping[str, float] = field(default_factory=dict)
    priority: float = 0
    workers: tuple[str, ...] = ()


def submit(client: Client, nodes: Iterable[Node], run: Run) -> dict[str, Future[Any]]:
    """Hand over a graph; give a future for each key. Keys that the scheduler has already are shared, not run again.

    Every input is the key of a node. `run` is found by its name where it is run, so it stands in a module that
    workers have.
    """
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer  # noqa: PLC0415 - dask is optional
    from dask.task_spec import Task, TaskRef  # noqa: PLC0415 - as above

    by_key = {node.key: node for node in nodes}
    if not by_key:
        return {}
    tasks = {
        key: Task(key, _call, run, node.payload, node.inputs, *map(TaskRef, node.inputs))
        for key, node in by_key.items()
    }
    resources = {key: dict(node.resources) for key, node in by_key.items() if node.resources}
    workers = {key: list(node.workers) for key, node in by_key.items() if node.workers}
    priorities = {key: node.priority for key, node in by_key.items()}
    # Asked on the scheduler for each key, so that they are methods of plain dictionaries, which it can unpickle.
    annotations = {"resources": resources.get, "workers": workers.get, "priority": priorities.get}
    layer = MaterializedLayer(tasks, annotations=annotations)
    graph = HighLevelGraph({_LAYER: layer}, {_LAYER: set()})
    keys = list(by_key)
    futures: list[Future[Any]] = client.get(graph, keys, sync=False)
    return dict(zip(keys, futures, strict=True))


def _call(run: Run, payload: Any, inputs: tuple[str, ...], *results: Any) -> Any:
    return run(payload, dict(zip(inputs, results, strict=True)))
