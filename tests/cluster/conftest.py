"""What tests of clusters share: a store with an environment and a sandbox, made once, and clusters over it."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from layerlock.cache.keys import make_key
from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import silent
from layerlock.io.lockfile import write_lock
from layerlock.model.lock import VERSION, Lock, LockedDerivation
from layerlock.store.keep import Keep
from layerlock.workflows.building import build_package, realise_targets
from layerlock.workflows.planning import load
from tests.cluster.bench import Cluster, networks, write_repository
from tests.required import without

PACKAGES = {"one": (), "two": ("one",), "three": ("one",), "four": ("two", "three")}


@dataclass(frozen=True)
class Prepared:
    """A repository whose packages were built here: their outputs stand in its lock. `template` is a worker's store."""

    repository: Path
    template: Path
    key: Path
    public: str
    outputs: dict[str, str]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Build everything on this machine, with what a worker's store begins with copied before."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("nsenter") is None:
        without("networks", "network namespaces take root, iproute2 and util-linux")
    folder = tmp_path_factory.mktemp("prepared")
    repository = write_repository(folder / "repository", 0.2, **PACKAGES)
    key = folder / "worker.key"
    public = make_key(key)
    return _build(folder, repository, key, public)


def _build(folder: Path, repository: Path, key: Path, public: str) -> Prepared:
    settings = Settings(repository=repository, store=folder / "template", environment=dict(os.environ))
    driver = construct(settings, silent)
    with driver.store.pin(Keep()):
        loaded = load(driver, "one")
        realise_targets(driver, loaded.plan, ("environment-small",), loaded.pins, {})
        driver.sandbox.prepare()
    subprocess.run(["cp", "-al", str(folder / "template"), str(folder / "store")], check=True)
    driver = construct(Settings(repository=repository, store=folder / "store", environment={}), silent)
    build_package(driver, "four")
    planned = load(driver, "four").plan.planned
    made = {name: driver.store.planned(each) for name, each in planned.items()}
    outputs = {name: one.output for name, one in made.items() if one is not None}
    derivations = tuple(
        LockedDerivation(name=name, planned=planned[name], output=output) for name, output in outputs.items()
    )
    # Only its record of outputs is read, for packages: there is no such layer.
    (repository / "recipes/layers/all.toml").write_text("")
    (repository / "lockfiles").mkdir()
    write_lock(repository / "lockfiles/all.lock", Lock(version=VERSION, layer="all", derivations=derivations))
    return Prepared(
        repository=repository, template=folder / "template", key=key, public=public, outputs=outputs
    )


_numbers = itertools.count(1)

MakeCluster = Callable[[], Cluster]


@pytest.fixture
def make_cluster(prepared: Prepared, tmp_path: Path) -> Iterator[MakeCluster]:
    """Give what makes clusters without scheduler and workers; a repository that uses it is `repository`."""
    with ExitStack() as stack:

        def make() -> Cluster:
            number = next(_numbers)
            folder = tmp_path / f"cluster{number}"
            folder.mkdir()
            (folder / "cache").mkdir()
            cluster = Cluster(
                folder,
                stack.enter_context(networks(number)),
                prepared.template,
                folder / "cache",
                prepared.key,
            )
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.callback(cluster.close)
            return cluster

        yield make


def repository_for(
    prepared: Prepared, cluster: Cluster, *, locked: bool = True, trusted: bool = True
) -> Path:
    """Copy the repository, with the cluster's cache listed, with or without its lock and trust in the workers' key."""
    copy = Path(tempfile.mkdtemp(dir=cluster.folder)) / "repository"
    shutil.copytree(prepared.repository, copy)
    if not locked:
        shutil.rmtree(copy / "lockfiles")
        (copy / "recipes/layers/all.toml").unlink()
    text = f'[[caches]]\nname = "shared"\nurl = "{cluster.cache}"\n'
    if trusted:
        text += f'[[keys]]\nname = "workers"\nkey = "{prepared.public}"\n'
    (copy / "recipes/caches.toml").write_text(text)
    return copy


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
