"""Memory of builds: whose limit it was, how many jobs there is room for, and what runs side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from layerlock.build.workshop import jobs_of
from layerlock.errors import OutOfMemory
from layerlock.events import BuildFinished, BuildStarted, Warned
from layerlock.model.derivation import Needs
from layerlock.sandbox.groups import NoControl, make_group, own_group, put, remove_group
from layerlock.workflows.building import build_layer, build_package
from layerlock.workflows.locking import lock_layer
from tests.build.conftest import ROOT, Bench
from tests.build.test_realise import script

MIB = 1 << 20


@pytest.mark.parametrize(
    ("memory", "per_job", "jobs", "free", "expected"),
    [
        (1000, None, 8, 100, 8),  # a recipe that says nothing gets what it got before
        (1000, 300, 8, 9000, 3),
        (1000, 300, 2, 9000, 2),
        (9000, 300, 8, 700, 2),  # the machine has less than the recipe allows
        (1000, 300, 8, 100, 1),
        (100, 300, 8, 9000, 1),
    ],
)
def test_jobs_that_there_is_room_for(
    memory: int, per_job: int | None, jobs: int, free: int, expected: int
) -> None:
    needs = Needs(memory=memory * MIB, memory_per_job=None if per_job is None else per_job * MIB)
    assert jobs_of(needs, jobs, free * MIB) == expected


@pytest.mark.sandbox
def test_a_build_is_told_how_many_jobs_fit(bench: Bench) -> None:
    script(
        bench,
        'echo "jobs: $LAYERLOCK_JOBS"; mkdir -p /out/lib',
        limits='memory = "500 MiB"\nmemory_per_job = "200 MiB"',
    )
    made, _ = build_package(bench.driver(jobs=6), "tiny-c")
    log = bench.driver().store.log_path(made.planned).read_text()
    assert "jobs: 2\n" in log


@pytest.mark.sandbox
def test_a_compiler_that_runs_out_of_memory_is_named(bench: Bench) -> None:
    """The compiler proper is killed, below make, the script and the guest's Python: the message names it."""
    commands = """
    (echo 'int numbers[] = {'; seq -f '%.0f,' 4000000; echo '};') > numbers.c
    echo 'all: numbers.o' > Makefile
    make -j "$LAYERLOCK_JOBS"
    """
    script(bench, commands, limits='memory = "100 MiB"')
    with pytest.raises(OutOfMemory) as caught:
        build_package(bench.driver(jobs=4), "tiny-c")
    assert caught.value.message == "the build of tiny-c reached its memory limit of 100 MiB: `cc1` was killed"
    assert caught.value.exit_code == 9
    assert caught.value.hint.startswith(
        "raise `build.limits.memory` in its recipe, or run fewer than 4 jobs "
        "(--jobs, or `build.limits.memory_per_job`); the full log: "
    )


@pytest.mark.sandbox
def test_builds_run_side_by_side_only_as_far_as_memory_goes(bench: Bench, tmp_path: Path) -> None:
    """The limits of builds that run at once never sum up to more than is free; one alone runs all the same."""
    for name in ("tiny-c", "tiny-cpp", "tiny-fortran", "tiny-module"):
        # What no other test has built: they share a store.
        bench.edit(
            f"recipes/packages/{name}.toml",
            lambda text: text.replace("script = '''", "script = '''\nsleep 0.5 # side by side"),
        )
    lock_layer(bench.driver(), "tiny")

    def most_at_once(memory: int) -> int:
        bench.events.clear()
        build_layer(bench.driver(jobs=4, memory=memory), "tiny", tmp_path)
        running, most = 0, 0
        for event in bench.events:
            if isinstance(event, BuildStarted | BuildFinished) and event.name.startswith("tiny-"):
                running += 1 if isinstance(event, BuildStarted) else -1
                most = max(most, running)
        return most

    # Nothing says more than the two gigabytes that are the default.
    assert most_at_once(3 << 30) == 1
    assert not [event for event in bench.events if isinstance(event, Warned)]
    bench.edit("recipes/packages/tiny-c.toml", lambda text: text.replace("sleep 0.5", "sleep 0.6"))
    bench.edit("recipes/packages/tiny-module.toml", lambda text: text.replace("sleep 0.5", "sleep 0.6"))
    lock_layer(bench.driver(), "tiny")
    assert most_at_once(1 << 30) == 1
    told = [event.message for event in bench.events if isinstance(event, Warned)]
    assert "it may use 2048 MiB of memory, and 1024 MiB are free" in told[0]
    bench.edit("recipes/packages/tiny-c.toml", lambda text: text.replace("sleep 0.6", "sleep 0.7"))
    bench.edit("recipes/packages/tiny-module.toml", lambda text: text.replace("sleep 0.6", "sleep 0.7"))
    lock_layer(bench.driver(), "tiny")
    assert most_at_once(64 << 30) == 2


def test_the_limit_of_a_container_is_memory_that_there_is_not() -> None:
    """A process in a group with a limit counts no more than that as free, whatever the machine has."""
    for kind, most in (("cgroup2", "memory.max"), ("cgroup", "memory.limit_in_bytes")):
        try:
            group = make_group(own_group(kind, "memory"))
        except NoControl:
            continue
        try:
            if not (group / most).exists():
                continue
            put(group / most, 300 * MIB)
            code = (
                "import os, pathlib, sys\n"
                f"pathlib.Path({str(group / 'cgroup.procs')!r}).write_text(str(os.getpid()))\n"
                "from layerlock.cli.construct import memory\n"
                "print(memory())\n"
            )
            done = subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
                capture_output=True,
                text=True,
                check=False,
            )
            if "Device or resource busy" in done.stderr:
                continue
            assert done.returncode == 0, done.stderr
            assert 200 * MIB < int(done.stdout) <= 300 * MIB
            return
        except NoControl:
            continue
        finally:
            remove_group(group)
    pytest.skip("this host lets us make no control group with a memory limit")
