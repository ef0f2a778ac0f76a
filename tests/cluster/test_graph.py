"""A graph in Dask's hands: each task once, with the results of its inputs, the most urgent first."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from distributed import Client, LocalCluster

from layerlock.cluster.graph import Node, submit

ran: list[str] = []
lock = threading.Lock()


def run(payload: str, results: Mapping[str, Any]) -> str:
    """Take note of having been run; give the payload after the results, by key."""
    with lock:
        ran.append(payload)
    return "".join([*(f"{key}={results[key]} " for key in sorted(results)), payload])


@pytest.fixture
def client() -> Iterator[Client]:
    """Lend a client of a cluster in this process: one worker, which does one thing at a time."""
    ran.clear()
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, resources={"room": 2}
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_results_reach_what_needs_them(client: Client) -> None:
    nodes = [
        Node(key="c", payload="C", inputs=("a", "b"), resources={"room": 2}),
        Node(key="a", payload="A"),
        Node(key="b", payload="B", inputs=("a",), resources={"room": 1}),
    ]
    futures = submit(client, nodes, run)
    assert futures["c"].result(timeout=20) == "a=A b=a=A B C"
    assert sorted(ran) == ["A", "B", "C"]


def test_equal_keys_are_run_once(client: Client) -> None:
    first = submit(client, [Node(key="a", payload="A")], run)
    second = submit(client, [Node(key="a", payload="A"), Node(key="b", payload="B", inputs=("a",))], run)
    assert second["b"].result(timeout=20) == "a=A B"
    assert first["a"].result(timeout=20) == "A"
    assert ran.count("A") == 1


def test_the_urgent_go_first(client: Client) -> None:
    names = [f"{number}" for number in range(8)]
    gate = Node(key="gate", payload="gate")
    others = [Node(key=name, payload=name, inputs=("gate",), priority=int(name)) for name in names]
    for future in submit(client, [gate, *others], run).values():
        future.result(timeout=20)
    assert ran == ["gate", *reversed(names)]


def test_what_no_worker_offers_waits(client: Client) -> None:
    futures = submit(
        client, [Node(key="a", payload="A", resources={"room": 3}), Node(key="b", payload="B")], run
    )
    assert futures["b"].result(timeout=20) == "B"
    assert futures["a"].status == "pending"


def test_nothing_is_nothing(client: Client) -> None:
    assert submit(client, [], run) == {}
