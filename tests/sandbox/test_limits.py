"""Every way of controlling memory and processes that this host offers, with the real thing."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerlock.errors import SandboxUnavailable
from layerlock.sandbox.groups import NoControl, make_group, own_group, sweep
from layerlock.sandbox.limits import Strategy, control
from layerlock.sandbox.program import Program
from layerlock.sandbox.run import run
from tests.sandbox.conftest import ROOMY, Backend, Specs, python

pytestmark = pytest.mark.sandbox
MIB = 1 << 20


def test_memory_runs_out_and_the_culprit_is_named(bwrap: Backend, spec: Specs, strategy: Strategy) -> None:
    script = (
        "(head -c 60M /dev/zero; sleep 0.5; head -c 300M /dev/zero) | dd bs=400M iflag=fullblock of=/dev/null"
    )
    ran = bwrap(spec("sh", "-c", script, limits={"memory": 100 * MIB}), strategy=strategy)
    assert ran.outcome.control == strategy
    assert ran.outcome.out_of_memory
    assert ran.outcome.killed_process == "dd"
    assert ran.outcome.seconds < 20


def test_memory_of_many_small_processes_counts_together(
    bwrap: Backend, spec: Specs, strategy: Strategy
) -> None:
    code = (
        "import os,time\nfor _ in range(8):\n if os.fork() == 0:\n  x = bytearray(30<<20); time.sleep(30)\n"
    )
    code += "time.sleep(30)"
    outcome = bwrap(spec(*python(code), limits={"memory": 150 * MIB}), strategy=strategy).outcome
    assert outcome.out_of_memory


def test_memory_that_processes_share_counts_once(bwrap: Backend, spec: Specs, strategy: Strategy) -> None:
    code = """
import os, time
heap = bytearray(60 << 20)
children = [os.fork() or (time.sleep(0.6), os._exit(0)) for _ in range(4)]
for child in children:
    os.waitpid(child, 0)
"""
    outcome = bwrap(spec(*python(code), limits={"memory": 150 * MIB}), strategy=strategy).outcome
    assert outcome.succeeded, outcome


def test_shared_memory_counts(bwrap: Backend, spec: Specs, strategy: Strategy) -> None:
    script = "head -c 60M /dev/zero > /dev/shm/a; head -c 60M /dev/zero > /dev/shm/b; sleep 30"
    outcome = bwrap(spec("sh", "-c", script, limits={"memory": 100 * MIB}), strategy=strategy).outcome
    # The kernel's groups kill; for the watchdog /dev/shm is full before it has seen too much.
    assert not outcome.succeeded
    assert outcome.out_of_memory or strategy == "watchdog"


def test_files_on_disk_do_not_count(bwrap: Backend, spec: Specs, strategy: Strategy) -> None:
    script = "for i in 1 2 3 4; do head -c 50M /dev/zero > /build/$i; done; cat /build/* > /dev/null"
    outcome = bwrap(spec("sh", "-c", script, limits={"memory": 100 * MIB}), strategy=strategy).outcome
    assert outcome.succeeded, outcome
    assert outcome.peak_memory < 50 * MIB


def test_a_fork_bomb_is_ended(bwrap: Backend, spec: Specs, strategy: Strategy) -> None:
    outcome = bwrap(
        # Without its complaints, which would fill the log first.
        spec("bash", "-c", "exec 2> /dev/null; f() { f | f & }; f; sleep 60", limits={"processes": 100}),
        strategy=strategy,
    ).outcome
    assert outcome.process_overflow, outcome
    assert outcome.seconds < 50


def test_processes_within_the_limit_pass(bwrap: Backend, spec: Specs, strategy: Strategy) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.3 & done; wait"
    assert bwrap(spec("sh", "-c", script, limits={"processes": 20}), strategy=strategy).outcome.succeeded


def test_no_group_is_left_behind(bwrap: Backend, spec: Specs) -> None:
    bwrap(spec("sh", "-c", ":"))
    assert list(Path("/sys/fs/cgroup").glob(f"**/layerlock-{os.getpid()}-*")) == []


def test_groups_of_killed_drivers_are_swept() -> None:
    try:
        parent = own_group("cgroup", "memory")
        make_group(parent).rmdir()
    except NoControl as error:
        pytest.skip(str(error))
    stale = parent / "layerlock-99999999-1"
    stale.mkdir()
    sweep(parent)
    assert not stale.exists()


@pytest.mark.parametrize("kind", ["cgroup2", "cgroup1"])
def test_a_strategy_that_is_impossible_says_why(kind: Strategy) -> None:
    try:
        held = control(kind, ROOMY)
    except SandboxUnavailable as error:
        assert kind in error.message
        assert "Delegate=yes" in error.hint
    else:
        assert held.name == kind
        held.close()


def test_some_control_is_always_found() -> None:
    held = control("auto", ROOMY)
    held.close()
    assert held.name in ("cgroup2", "cgroup1", "watchdog")


BOMB = "exec 2> /dev/null; f() { f | f & }; f; sleep 60"


def test_a_neighbour_does_not_feel_a_fork_bomb(
    program: Program, spec: Specs, tmp_path: Path, strategy: Strategy
) -> None:
    """A bomb never has more processes than its limit and a little, so the host's are not used up for the others."""
    counts: list[int] = []
    over = threading.Event()

    def count() -> None:
        while not over.wait(0.005):
            counts.append(sum(entry.name.isdecimal() for entry in Path("/proc").iterdir()))

    neighbour = spec("sh", "-c", "for i in $(seq 300); do env true || exit 9; done", limits={"processes": 50})
    bomb = spec("bash", "-c", BOMB, build=None, out=None, tmp=None, cwd="/", limits={"processes": 200})
    with ThreadPoolExecutor() as pool:
        watching = pool.submit(count)
        beside = pool.submit(
            run,
            neighbour,
            program=program,
            log=tmp_path / "beside",
            on_line=lambda _: None,
            strategy=strategy,
        )
        ended = run(bomb, program=program, log=tmp_path / "bomb", on_line=lambda _: None, strategy=strategy)
        fine = beside.result()
        over.set()
        watching.result()
    assert ended.process_overflow, ended
    assert fine.succeeded, (tmp_path / "beside").read_text()
    # Other tests may run beside this one, but none of them starts processes by the thousand.
    assert max(counts) - counts[0] < 200 + 500, (counts[0], max(counts))
