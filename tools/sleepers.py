"""A cluster of real processes on loopback whose builds only sleep: what scheduling is measured on.

The scheduler is `layerlock scheduler`, with the settings that builds get; workers are Dask's own, of one slot each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Client, get_worker, wait

from layerlock.cluster.graph import Node, submit
from layerlock.model.derivation import Derivation

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """What a worker is told: to sleep so many seconds, and to give an output that counts as so many bytes."""

    seconds: float
    size: int = 0


class Output:
    """An output as Dask sees it: of the size that the true one has in a store, and where it was made."""

    def __init__(self, size: int, worker: str) -> None:
        self.size = size
        self.worker = worker

    def __sizeof__(self) -> int:
        return self.size


def run(build: Build, inputs: Mapping[str, Any]) -> Output:
    """Be a build."""
    del inputs
    if build.seconds:
        time.sleep(build.seconds)
    return Output(build.size, get_worker().address)


@contextmanager
def cluster(workers: int, offers: str = "") -> Iterator[Client]:
    """Run a scheduler and so many workers, which offer some resources (`cores=1`); lend a client of theirs."""
    # What is not counted as a build's is switched off, as `layerlock worker` does it.
    environment = {**os.environ, "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False"}
    serve = [sys.executable, "-m", "layerlock", "--json", "scheduler", "tcp://127.0.0.1:0"]
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory(prefix="sleepers-") as scratch:

        def start(line: list[str]) -> subprocess.Popen[bytes]:
            processes.append(
                subprocess.Popen(
                    line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
                )
            )
            return processes[-1]

        try:
            told = start(serve).stdout
            assert told is not None
            address = json.loads(told.readline())["address"]
            worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1"]
            worker += ["--no-nanny", "--no-dashboard", "--memory-limit", "0", "--local-directory", scratch]
            worker += ["--resources", offers] if offers else []
            for _ in range(workers):
                start(worker)
            with Client(address) as client:
                client.wait_for_workers(workers, timeout=120)
                yield client
        finally:
            # They hold nothing, and a worker that is asked to go waits long for a scheduler that is gone.
            for process in processes:
                process.kill()
            for process in processes:
                process.communicate()


def key_of(planned: str) -> str:
    """Name a task as the cluster does: keys that begin alike are one group to Dask."""
    return f"build-{planned}"


def makespan(
    client: Client,
    derivations: Sequence[Derivation],
    planned: Mapping[str, str],
    seconds: Mapping[str, float],
    priority: Mapping[str, float],
) -> float:
    """Give the seconds from handing a graph over to the end of its last build."""
    nodes = [
        Node(
            key=key_of(planned[one.name]),
            payload=Build(seconds=seconds[one.name]),
            inputs=tuple(key_of(planned[item.name]) for item in one.inputs),
            priority=priority[one.name],
        )
        for one in derivations
    ]
    began = time.monotonic()
    futures = submit(client, nodes, run)
    wait(list(futures.values()))
    took = time.monotonic() - began
    assert all(future.status == "finished" for future in futures.values())
    return took


def at_home(client: Client, pairs: int, size: int, *, stated: bool) -> float:
    """Give the share of builds that ran where their large input was made; `stated` gives them resources to ask for.

    All inputs are made first, and used in another order than they were made in.
    """
    resources = {"cores": 1.0} if stated else {}
    made = [
        Node(
            key=f"build-input{index}",
            payload=Build(seconds=0.05, size=size),
            resources=resources,
            priority=float(pairs + index),
        )
        for index in range(pairs)
    ]
    used = [
        Node(
            key=f"build-user{index}",
            payload=Build(seconds=0.05),
            inputs=(node.key,),
            resources=resources,
            priority=float(index * 77 % pairs),
        )
        for index, node in enumerate(made)
    ]
    outputs: dict[str, Output] = client.gather(submit(client, [*made, *used], run))
    where = {key: output.worker for key, output in outputs.items()}
    same = [where[user.key] == where[node.key] for user, node in zip(used, made, strict=True)]
    return same.count(True) / pairs
