"""The image of workers: the same bytes wherever it is made, and a worker in it that builds what the lock says."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from layerlock.io.atomic import remove_tree
from tests.cluster.bench import Process
from tests.cluster.conftest import Prepared
from tests.required import without
from tools.worker_image import NAME, USER, write_image

pytestmark = [pytest.mark.sandbox, pytest.mark.long]

# What an engine's own measures must let through, so that there can be a sandbox in a container.
OPEN = tuple(f"--security-opt={one}=unconfined" for one in ("seccomp", "apparmor", "systempaths"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give a folder for stores, which are not left behind."""
    made = tmp_path_factory.mktemp("image")
    yield made
    remove_tree(made)


@pytest.fixture(scope="module")
def image(folder: Path) -> Path:
    """Make the image in a store that is empty."""
    write_image(folder / "store", folder / "worker.tar")
    return folder / "worker.tar"


def sha256(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def test_it_is_the_same_made_anew_by_somebody_with_other_habits(image: Path, folder: Path) -> None:
    other = folder / "other"
    other.mkdir()
    subprocess.run(["cp", "-a", str(folder / "store/files"), str(other / "files")], check=True)
    before = os.umask(0o077)
    try:
        write_image(other, folder / "again.tar")
    finally:
        os.umask(before)
    assert sha256(folder / "again.tar") == sha256(image)


@contextmanager
def started(*line: str, **variables: str) -> Iterator[Process]:
    """Run a program for the length of a `with`."""
    process = Process(
        subprocess.Popen(
            line,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **variables},
        )
    )
    try:
        yield process
    finally:
        process.stop()


def test_a_worker_in_a_container_builds_what_the_lock_says(
    image: Path, prepared: Prepared, engine_host: str, tmp_path: Path
) -> None:
    if shutil.which("docker") is None:
        without("docker", "the command `docker` is not installed (Debian: docker.io)")
    engine = {"DOCKER_HOST": engine_host}
    subprocess.run(["docker", "load", "-i", str(image)], env={**os.environ, **engine}, check=True)
    cache, key, store = tmp_path / "cache", tmp_path / "key.pem", tmp_path / "store"
    cache.mkdir(mode=0o777)
    cache.chmod(0o777)
    shutil.copy(prepared.key, key)
    os.chown(key, USER, USER)
    # A volume that holds the environment already, but no build.
    subprocess.run(["cp", "-a", str(prepared.template), str(store)], check=True)
    subprocess.run(["chown", "-R", f"{USER}:{USER}", str(store)], check=True)
    repository = tmp_path / "repository"
    shutil.copytree(prepared.repository, repository)
    (repository / "recipes/caches.toml").write_text(
        f'[[caches]]\nname = "shared"\nurl = "{cache}"\n[[keys]]\nname = "workers"\nkey = "{prepared.public}"\n'
    )
    command = (sys.executable, "-m", "layerlock")
    mounts = tuple(f"--volume={one}" for one in (f"{store}:/store", f"{cache}:/cache", f"{key}:/key.pem:ro"))
    with started(*command, "scheduler", "tcp://127.0.0.1:0") as scheduler:
        address = scheduler.wait_for(r"tcp://[0-9.:]+")[0]
        offered = ("--cores=2", "--memory=8GiB", "--room=50 MB", "--cache=/cache", "--key=/key.pem")
        words = ("worker", address, "--name=boxed", *offered)
        run = ("docker", "run", "--rm", "--network=host", *OPEN, *mounts, NAME, *words)
        with started(*run, **engine) as worker:
            worker.wait_for("boxed joined ")
            places = ("--store", str(tmp_path / "mine"), "--repo", str(repository), "--verbose")
            with started(*command, *places, "build", "four", "--scheduler", address) as build:
                assert build.end(120) == 0, build.text
        assert prepared.outputs["four"] in build.lines[-1]
        for name in ("one", "two", "three", "four"):
            build.wait_for(f"note .*{name}: on boxed")
        # It was let go as a worker on a host is: it had time to say that it leaves.
        assert worker.popen.returncode == 0, worker.text
