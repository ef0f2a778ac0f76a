"""Nothing of a sandbox outlives its run, however the run or the driver ends."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from layerlock.errors import BuildFailed
from layerlock.sandbox.program import Program
from layerlock.sandbox.run import run
from layerlock.sandbox.spec import SandboxSpec
from tests.sandbox.conftest import Backend, Specs

pytestmark = pytest.mark.sandbox
Find = Callable[[str], list[int]]

DRIVER = """
import sys
from pathlib import Path
from layerlock.sandbox.run import run
from layerlock.sandbox.program import Program
from layerlock.sandbox.spec import *
try:
    run({spec}, program={program}, log=Path({log!r}), on_line=lambda line: print(line, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


def _unique() -> str:
    return f"{3000 + time.time_ns() % 10**9 / 10**9:.9f}"


def _gone(find: Find, word: str, seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while find(word):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("after", ["exit 0", "exit 1", "kill -9 $$", "sleep 60", "yes"])
def test_nothing_runs_afterwards(backend: Backend, spec: Specs, processes_named: Find, after: str) -> None:
    word = _unique()
    script = f"(trap '' TERM HUP INT; sleep {word} & setsid sleep {word} >/dev/null 2>&1 & exec sleep {word}) & {after}"
    limits = {"seconds": 0.7, "log_bytes": 10_000}
    started = time.monotonic()
    backend(spec("bash", "-c", script, limits=limits))
    assert processes_named(word) == []
    # An engine waits for whoever reads the output, for longer than this.
    assert time.monotonic() - started < 60


def test_a_background_process_that_holds_the_output_does_not_delay_the_end(
    backend: Backend, spec: Specs
) -> None:
    ran = backend(spec("sh", "-c", "sleep 50 & echo done"))
    assert ran.outcome.succeeded
    assert ran.outcome.seconds < 5


def test_closed_output_does_not_end_the_wait(backend: Backend, spec: Specs) -> None:
    ran = backend(spec("sh", "-c", "exec >&- 2>&-; sleep 0.5; touch /out/late"))
    assert ran.outcome.succeeded
    assert ran.outcome.seconds > 0.4


def _driver(spec: SandboxSpec, program: Program, tmp_path: Path) -> subprocess.Popen[str]:
    code = DRIVER.format(spec=_source(spec), program=repr(program), log=str(tmp_path / "driver.log"))
    process = subprocess.Popen(
        [sys.executable, "-c", f"from pathlib import *\n{code}"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def _source(spec: SandboxSpec) -> str:
    return repr(spec)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_drivers_end_is_the_sandboxes(
    spec: Specs, program: Program, tmp_path: Path, processes_named: Find, how: signal.Signals
) -> None:
    word = _unique()
    script = f"trap '' HUP INT TERM; sleep {word} & (setsid sleep {word} &); echo ready; sleep {word}"
    driver = _driver(spec("bash", "-c", script), program, tmp_path)
    until = time.monotonic() + 5
    while len(processes_named(word)) < 3 and time.monotonic() < until:
        time.sleep(0.02)
    assert len(processes_named(word)) >= 3
    driver.send_signal(how)
    status = driver.wait(timeout=10)
    assert _gone(processes_named, word)
    assert driver.stdout is not None
    said = driver.stdout.read()
    driver.stdout.close()
    if how == signal.SIGINT:
        assert (status, said) == (130, "interrupted\n")
    else:
        assert status == -signal.SIGKILL


def test_a_driver_killed_during_the_start_leaves_nothing(
    spec: Specs, program: Program, tmp_path: Path, processes_named: Find
) -> None:
    word = _unique()
    made = spec("sleep", word)
    code = DRIVER.format(spec=_source(made), program=repr(program), log=str(tmp_path / "log"))
    for step in range(20):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from pathlib import *\n{code}".replace("\ntry:", "\nprint('go', flush=True)\ntry:"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(step * 0.002)
        process.kill()
        process.wait()
        process.stdout.close()
    assert _gone(processes_named, word), [
        Path(f"/proc/{p}/cmdline").read_text() for p in processes_named(word)
    ]


def test_what_is_missing_is_named(backend: Backend, spec: Specs) -> None:
    with pytest.raises(BuildFailed, match="the command cannot be used: nonesuch"):
        backend(spec("nonesuch"))
    with pytest.raises(BuildFailed, match="the working folder cannot be used: /build/none"):
        backend(spec("sh", cwd="/build/none"))


def test_a_failing_listener_ends_the_sandbox(
    spec: Specs, program: Program, tmp_path: Path, processes_named: Find
) -> None:
    def refuse(line: str) -> None:
        raise RuntimeError(line)

    word = _unique()
    with pytest.raises(RuntimeError, match="hello"):
        run(
            spec("sh", "-c", f"echo hello; sleep {word}"), program=program, log=tmp_path / "l", on_line=refuse
        )
    assert processes_named(word) == []


def test_no_descriptor_is_left_open(bwrap: Backend, spec: Specs) -> None:
    bwrap(spec("sh", "-c", ":"))
    before = sorted(path.name for path in Path("/proc/self/fd").iterdir())
    for _ in range(3):
        bwrap(spec("sh", "-c", "echo x"))
    with pytest.raises(BuildFailed):
        bwrap(spec("nonesuch"))
    assert sorted(path.name for path in Path("/proc/self/fd").iterdir()) == before


def test_the_start_is_quick(bwrap: Backend, spec: Specs) -> None:
    made = spec("sh", "-c", ":")
    times = []
    for _ in range(5):
        begun = time.monotonic()
        bwrap(made)
        times.append(time.monotonic() - begun)
    assert min(times) < 0.25, shlex.join(map(str, times))
