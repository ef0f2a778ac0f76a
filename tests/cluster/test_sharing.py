"""Many who want the same thing share it; who leaves can come back; who does not fit in is refused."""

from __future__ import annotations

import datetime

import pytest

from layerlock.errors import (
    DiskFull,
    InsecureCluster,
    NoScheduler,
    SandboxUnavailable,
    UsageError,
    VersionMismatch,
)
from tests.cluster.conftest import MakeCluster, Prepared, repository_for, started

pytestmark = [pytest.mark.sandbox, pytest.mark.long]


def test_two_at_once_share_every_build(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    started(cluster, "first", "second")
    builds = [cluster.build(repository, "four", store=f"store-{who}") for who in ("anna", "ben")]
    for build in builds:
        assert build.end() == 0, build.text
        assert prepared.outputs["four"] in build.lines[-1]
    # Each build shows in both, and happened once.
    begun = [
        line.partition(" ")[2].strip()
        for path in cluster.folder.glob("store-*/logs/*.log")
        for line in path.read_text().splitlines()
        if line.startswith("building")
    ]
    assert all("built    four" in build.text for build in builds)
    own = [
        line
        for name in ("first", "second")
        for path in (cluster.folder / f"store-{name}" / "logs").glob("*.log")
        for line in path.read_text().splitlines()
    ]
    assert sorted(own) == [f"building {name}" for name in ("four", "one", "three", "two")]
    assert set(begun) == {"one", "two", "three", "four"}  # the logs came to those who asked


def test_leaving_and_coming_back(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    started(cluster, "only")
    build = cluster.build(repository, "four", "--detach")
    assert build.end() == 0
    build.wait_for("come back to it with: layerlock attach four")
    common = ("--store", str(cluster.folder / "store-mine"), "--repo", str(repository), "--verbose", "attach")
    to = ("--scheduler", cluster.address, *cluster.tls())
    listed = cluster.run(*common, *to)
    assert listed.end() == 0
    listed.wait_for("^ *four-[0-9a-f]{12} +left by ")
    attached = cluster.run(*common, "four", *to)
    assert attached.end() == 0, attached.text
    assert prepared.outputs["four"] in attached.lines[-1]
    attached.wait_for("built    one")  # what happened meanwhile is shown
    again = cluster.run(*common, "four", *to)
    assert again.end() == UsageError.exit_code
    again.wait_for("nothing like four, as the recipes stand, was left to the cluster")


def test_who_does_not_fit_in(
    prepared: Prepared, make_cluster: MakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    started(cluster, "good")
    older = cluster.worker("older", spoilt=("older", "0.0.1"))
    full = cluster.worker("full", "--room=900000 GB")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    boxless = cluster.worker("boxless", "--sandbox=docker")
    monkeypatch.undo()
    places = ("--store", str(cluster.folder / "store-other"), "--repo", str(repository))
    to = ("--scheduler", cluster.address, *cluster.tls())
    past = cluster.run(*places, "build", "four", *to, spoilt=("older", "0.0.1"))
    cluster.certificate("expired", not_after=datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1))
    expired = cluster.build(repository, "four", *cluster.tls("expired"))
    stranger = make_cluster()  # with an authority of its own
    refused = cluster.build(repository, "four", *stranger.tls())
    assert older.end() == VersionMismatch.exit_code
    older.wait_for("the scheduler at .* is of layerlock 0.1.0, .*, and this is layerlock 0.0.1, ")
    assert past.end() == VersionMismatch.exit_code
    past.wait_for("the scheduler at .* is of layerlock 0.1.0, .*, and this is layerlock 0.0.1, ")
    assert boxless.end() == SandboxUnavailable.exit_code
    boxless.wait_for("error: there is no docker engine at unix:///nowhere/docker.sock")
    assert full.end() == DiskFull.exit_code
    full.wait_for("error: .*store-full has .* MiB free, and a worker is to have")
    assert expired.end() == InsecureCluster.exit_code
    expired.wait_for("expired.pem expired on ")
    assert refused.end() == InsecureCluster.exit_code, refused.text
    refused.wait_for("do not accept each other's certificates: ")
    build = cluster.build(repository, "four")
    assert build.end() == 0, build.text
    assert prepared.outputs["four"] in build.lines[-1]


def test_a_scheduler_that_is_not_there_or_goes_away(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    build = cluster.build(repository, "four")
    assert build.end() == NoScheduler.exit_code
    build.wait_for("error: no scheduler answers at tls://")
    recipe = repository / "recipes/packages/one.toml"
    recipe.write_text(recipe.read_text().replace("sleep 0.20", "sleep 600"))
    started(cluster, "only")
    build = cluster.build(repository, "four")
    build.wait_for("log .*one | building one")
    assert cluster.scheduler is not None
    cluster.scheduler.popen.kill()
    assert build.end(90) == NoScheduler.exit_code, build.text
    build.wait_for("error: the scheduler at .* went away")
