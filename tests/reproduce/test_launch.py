"""The launcher for real: what a process is told to be changed in, it and its children have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from layerlock.reproduce.child import environment
from layerlock.reproduce.variations.catalogue import NAMES, availability, ordered
from layerlock.reproduce.variations.force import absent
from layerlock.reproduce.variations.host import OTHER_USER, Host
from layerlock.reproduce.variations.launch import LAUNCHER, Choices, launch, python_path
from layerlock.reproduce.variations.machine import kernel_files, processor_files

# What a process started by the launched one sees.
LOOK = """
import json, os, platform, socket, subprocess, sys
look = '''
import json, os, platform, socket, time
umask = os.umask(0)
print(json.dumps({
    "affinity": sorted(os.sched_getaffinity(0)), "host_name": socket.gethostname(), "uid": os.getuid(),
    "gid": os.getgid(), "groups": os.getgroups(), "umask": umask, "kernel": platform.release(),
    "personality": int(open("/proc/self/personality").read(), 16), "variables": dict(os.environ),
    "zone": time.strftime("%z"), "stack": [row for row in open("/proc/self/maps") if "[stack]" in row],
}))
'''
for _ in range(2):
    subprocess.run([sys.executable, "-I", "-c", look], check=True)
"""
CHOICES = Choices(
    folder=Path("/nonexistent/check"),
    processor=max(os.sched_getaffinity(0)),
    user=OTHER_USER,
    jobs=2,
    python="",
    user_python="",
    user_other_python="",
)


def seen_under(*names: str) -> list[dict[str, object]]:
    """Start a process under variations; give what two children of it see."""
    changes = launch(frozenset(names), CHOICES)
    # A user that nobody gave access to anything can run the system's interpreter at best.
    python = "/usr/bin/python3" if "user" in names else sys.executable
    done = subprocess.run(
        [sys.executable, "-I", str(LAUNCHER), changes.encode(), python, "-c", LOOK],
        env=environment(changes, {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": "/nonexistent"}),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_nothing_is_changed_without_variations() -> None:
    first, _ = seen_under()
    assert first["affinity"] == sorted(os.sched_getaffinity(0))
    assert first["kernel"] == os.uname().release
    assert first["personality"] == int(Path("/proc/self/personality").read_text(), 16)
    assert first["uid"] == os.getuid()
    assert "XDG_CACHE_HOME" in dict(first["variables"])  # type: ignore[call-overload]


def test_what_any_user_may_change() -> None:
    first, second = seen_under(
        "affinity", "kernel", "address-space", "umask", "time-zone", "locale", "home", "environment"
    )
    assert first["affinity"] == [max(os.sched_getaffinity(0))]
    assert str(first["kernel"]).startswith("2.6.")
    assert first["stack"] == second["stack"]
    assert first["umask"] == 0o077
    assert first["zone"] == "+1445"
    variables = first["variables"]
    assert isinstance(variables, dict)
    assert variables["LC_ALL"] == "tr_TR.UTF-8"
    assert variables["HOME"] == "/nonexistent/check/another home"
    assert variables["CC"] == "false"
    assert "XDG_CACHE_HOME" not in variables


@pytest.mark.skipif(os.geteuid() != 0, reason="another host name and user need root")
def test_what_root_may_change() -> None:
    if not Path("/usr/bin/python3").exists():
        pytest.skip("the other user has no /usr/bin/python3 to look with")
    own = os.uname().nodename
    first, _ = seen_under("host-name", "user")
    assert first["host_name"] == "another-host.example"
    assert (first["uid"], first["gid"], first["groups"]) == (OTHER_USER, OTHER_USER, [])
    assert os.uname().nodename == own


def test_addresses_differ_where_they_are_not_fixed() -> None:
    """So that the test of fixed ones says something."""
    if Path("/proc/sys/kernel/randomize_va_space").read_text().strip() == "0":
        pytest.skip("this kernel randomises no addresses")
    first, second = seen_under("umask")
    assert first["stack"] != second["stack"]


def test_a_refused_change_starts_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(LAUNCHER), '{"affinity": [4095]}', "/bin/echo", "started"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "started" not in done.stdout


def test_what_is_not_in_force_is_noticed() -> None:
    """The process says what it sees; each variation of the process is held against it."""
    names = frozenset(NAMES)
    changes = launch(names, CHOICES)
    nothing = {
        "affinity": [0, 1],
        "gid": 0,
        "host_name": "here",
        "jobs": 2,
        "kernel": "6.1.0",
        "personality": 0,
        "python": [os.path.realpath(sys.executable), "3.11.2"],
        "store": "/home/me/store",
        "store_owner": 0,
        "uid": 0,
        "umask": 0o022,
        "variables": dict.fromkeys(
            ("HOME", "LANGUAGE", "LAYERLOCK_VARIED", "LC_ALL", "SOURCE_DATE_EPOCH", "TZ"), ""
        ),
    }
    by_preload_or_sandbox = {"processor", "clock", "directory-order", "instructions"}
    assert set(absent(names, changes, nothing, 0)) == names - by_preload_or_sandbox
    everything = {
        **nothing,
        "affinity": [CHOICES.processor],
        "gid": OTHER_USER,
        "host_name": changes.host_name,
        "jobs": 3,
        "kernel": "2.6.61",
        "personality": changes.personality,
        "python": ["/opt/another/bin/python3.13", "3.13.5"],
        "store": f"/home/me/{changes.store}",
        "store_owner": OTHER_USER,
        "uid": OTHER_USER,
        "umask": 0o077,
        "variables": changes.environment,
    }
    assert absent(names, changes, everything, 0) == {}


def test_a_host_tells_what_it_lacks() -> None:
    host = Host(
        root=False,
        processors=1,
        machine="riscv64",
        sandbox="docker",
        python="",
        python_obstacle="there is none",
        user_python="",
        user_other_python="",
        user_obstacle="",
    )
    obstacles = {each.name: each.obstacle for each in availability(host) if each.obstacle}
    assert set(obstacles) == {
        "address-space",
        "affinity",
        "host-name",
        "instructions",
        "kernel",
        "processor",
        "python",
        "user",
    }
    assert obstacles["affinity"] == "there is one processor only"
    assert "`docker`" in obstacles["kernel"]
    assert "`docker`" in obstacles["instructions"]
    assert ordered({"clock", "jobs"}) == ("jobs", "clock")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_another_processor_is_none_that_there_is(machine: str) -> None:
    files = {**processor_files(machine), **kernel_files()}
    assert "avx" not in files["/proc/cpuinfo"]
    assert files["/proc/cpuinfo"].count("Varied Processor") == 3
    assert files["/proc/stat"].count("\ncpu") == 3
    assert python_path({"PYTHONPATH": "/x"}).endswith(":/x")
