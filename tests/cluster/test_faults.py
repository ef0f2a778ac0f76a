"""Whatever happens to workers, what comes out is what the lock says; and what cannot be is told, with a code."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from layerlock.errors import KillsWorkers, NoWorker, UntrustedResult
from tests.cluster.bench import Process
from tests.cluster.conftest import MakeCluster, Prepared, joined, repository_for, started

pytestmark = pytest.mark.sandbox


def came_out(prepared: Prepared, build: Process) -> None:
    """See that a build of `four` gave what was built before, on one machine."""
    assert build.end() == 0, build.text
    assert prepared.outputs["four"] in build.lines[-1]


def test_one_lies_and_one_dies(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    cluster.start()
    told = cluster.folder / "told"
    cluster.worker("liar", spoilt=("lies", f"one:{told}"))
    joined(cluster)
    build = cluster.build(repository, "four")
    # Only the liar is there at first, so that it is asked.
    build.wait_for("note .*one: on liar")
    cluster.worker("mortal", spoilt=("dies", "three"))
    cluster.worker("good")
    joined(cluster)
    told.touch()
    came_out(prepared, build)
    build.wait_for("warning .*one: the output of one is sha256-A+= on liar; the lock records")
    build.wait_for("note .*three: on good")


@pytest.mark.long
def test_one_is_cut_off(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    started(cluster, "first")
    build = cluster.build(repository, "four")
    build.wait_for("note .*one: on first")
    cluster.networks.cut(cluster.places["first"])
    cluster.worker("second")
    cluster.worker("third")
    came_out(prepared, build)


@pytest.mark.long
def test_one_hangs(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    cluster.start()
    cluster.worker("stuck", spoilt=("hangs", "two"))
    joined(cluster)
    build = cluster.build(repository, "four")
    build.wait_for("note .*two: on stuck")
    cluster.worker("good")
    came_out(prepared, build)


@pytest.mark.long
def test_what_kills_three_workers_is_given_up(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    cluster.start()
    for name in ("first", "second", "third", "fourth"):
        cluster.worker(name, spoilt=("dies", "two"))
    joined(cluster)
    build = cluster.build(repository, "four")
    assert build.end() == KillsWorkers.exit_code, build.text
    build.wait_for("error: two was being built on .*, .*, .* when they died")
    assert sum(process.popen.poll() is None for process in cluster.workers.values()) == 1


@pytest.mark.long
def test_a_liar_alone_is_found_out(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    cluster.start()
    cluster.worker("liar", spoilt=("lies", "one"))
    joined(cluster)
    build = cluster.build(repository, "four")
    assert build.end() == 11, build.text
    build.wait_for("error: the output of one is sha256-A+= on liar; the lock records")


@pytest.mark.long
def test_everything_is_built_twice(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster, locked=False)
    started(cluster, "first", "second")
    build = cluster.build(repository, "four", "--verify", "2")
    came_out(prepared, build)
    for name in ("environment-small", "one", "two", "three", "four"):
        build.wait_for(f"note .*{name}: sha256-.* from (first and second|second and first)")
    # No lock says what is right: only the other worker's result shows that one is wrong.
    cluster.worker("liar", spoilt=("lies", "three"))
    cluster.workers["first"].stop()
    joined(cluster)
    build = cluster.build(repository, "four", "--verify", "2")
    assert build.end() == 11, build.text
    build.wait_for("error: three is sha256-.* on .* and sha256-.* on ")


@pytest.mark.long
def test_who_is_not_trusted_counts_by_the_lock_alone(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    locked = repository_for(prepared, cluster, trusted=False)
    cluster.start()
    cluster.worker("nameless", key=Path())
    joined(cluster)
    came_out(prepared, cluster.build(locked, "four"))
    unlocked = repository_for(prepared, cluster, locked=False, trusted=False)
    build = cluster.build(unlocked, "four", store="store-other")
    assert build.end() == UntrustedResult.exit_code, build.text
    build.wait_for("no worker signs with a key that is trusted")


@pytest.mark.long
def test_a_cache_that_one_worker_cannot_reach(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    started(cluster, "good")
    apart = cluster.folder / "apart"
    apart.mkdir()
    cluster.worker("apart", cache=apart)
    joined(cluster)
    build = cluster.build(repository, "four")
    came_out(prepared, build)
    build.wait_for(f"warning .*apart.* is given no work: it writes to {apart}")
    assert not any("on apart" in line for line in build.lines)
    cluster.workers["good"].stop()
    build = cluster.build(repository, "four", store="store-other")
    assert build.end() == NoWorker.exit_code, build.text
    build.wait_for("error: no worker writes to a cache that can be read here")


@pytest.mark.long
def test_a_cache_that_is_lost_on_the_way(prepared: Prepared, make_cluster: MakeCluster) -> None:
    # What one worker cannot write any more, another one does.
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    own = cluster.folder / "by-another-way"
    own.symlink_to(cluster.cache)
    cluster.start()
    cluster.worker("leaving", "--patience=1", cache=own)
    joined(cluster)
    build = cluster.build(repository, "four")
    build.wait_for("note .*one: on leaving")
    own.unlink()
    own.write_text("no folder any more")
    cluster.worker("good")
    came_out(prepared, build)
    build.wait_for("warning .*leaving leaves the cluster: the cache .* cannot be written")


@pytest.mark.long
def test_a_disk_that_is_too_small_for_a_build(prepared: Prepared, make_cluster: MakeCluster) -> None:
    # The build's own commands find no room, and fail in their own way: another worker has some.
    cluster = make_cluster()
    repository = repository_for(prepared, cluster, locked=False)
    recipe = repository / "recipes/packages/one.toml"
    large = "head -c 200000000 /dev/zero > /build/large; rm /build/large\nsleep"
    recipe.write_text(recipe.read_text().replace("sleep", large))
    cluster.start()
    with disk(cluster.folder / "store-cramped", prepared.template, spare=100):
        cluster.places["cramped"] = cluster.networks.add()
        cluster.worker("cramped", "--room=1 MB", "--patience=1")
        joined(cluster)
        build = cluster.build(repository, "four")
        build.wait_for("note .*one: on cramped")
        cluster.worker("good")
        came_out(prepared, build)
        cluster.workers["cramped"].stop()
    build.wait_for("warning .*cramped leaves the cluster: the disk is full: the build of one failed: ")
    build.wait_for("note .*one: on good")


@contextmanager
def disk(place: Path, template: Path, *, spare: int) -> Iterator[None]:
    """Mount a small disk that holds a copy of a store, and so many more megabytes."""
    place.mkdir()
    held = subprocess.run(["du", "-sm", str(template)], capture_output=True, text=True, check=True)
    size = int(held.stdout.split()[0]) + spare
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(place)], check=True)
    try:
        subprocess.run(["cp", "-a", f"{template}/.", str(place)], check=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.long
def test_nobody_offers_enough(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    cluster.start(hopeless_after=2)
    cluster.worker("small", "--memory=1 GiB")
    joined(cluster)
    build = cluster.build(repository, "four")
    assert build.end() == NoWorker.exit_code, build.text
    build.wait_for("warning .*it takes 2048 MiB of memory, more than any worker offers")
    build.wait_for(
        "error: no worker can build .*: it takes x86_64-linux and 2048 MiB .* the largest with 1024 MiB"
    )


@pytest.mark.long
def test_what_nobody_wants_any_more_is_stopped(prepared: Prepared, make_cluster: MakeCluster) -> None:
    cluster = make_cluster()
    repository = repository_for(prepared, cluster)
    recipe = repository / "recipes/packages/one.toml"
    recipe.write_text(recipe.read_text().replace("sleep 0.20", "sleep 600"))
    started(cluster, "only")
    build = cluster.build(repository, "four")
    build.wait_for("log .*one | building one")
    build.popen.send_signal(signal.SIGINT)
    assert build.end() == 130
    # The worker is free for others at once: its one build of ten minutes was ended.
    cluster.workers["only"].stop()
    assert cluster.workers["only"].popen.returncode == 0
    assert not list((cluster.folder / "store-only" / "tmp").glob("one*"))
