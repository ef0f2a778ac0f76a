"""Whatever happens to workers, what comes out is what the lock says."""

from __future__ import annotations

import pytest

from tests.cluster.bench import Cluster, Process
from tests.cluster.conftest import MakeCluster, Prepared, repository_for

pytestmark = pytest.mark.sandbox


def started(cluster: Cluster, *names: str) -> None:
    """Start a scheduler, and workers that are all right; wait until they have joined."""
    cluster.start()
    for name in names:
        cluster.worker(name)
    joined(cluster)


def joined(cluster: Cluster) -> None:
    """Wait until all workers have joined."""
    for process in cluster.workers.values():
        process.wait_for(" joined ")


def came_out(prepared: Prepared, build: Process) -> None:
    """See that a build of `four` gave what was built before, on one machine."""
    assert build.end() == 0, build.text
    assert prepared.outputs["four"] in build.text


def test_one_lies_and_one_dies(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    started(cluster, "good")
    cluster.worker("liar", spoilt=("lies", "one"))
    joined(cluster)
    cluster.worker("mortal", spoilt=("dies", "three"))
    joined(cluster)
    build = cluster.build(repository, "four")
    came_out(prepared, build)
