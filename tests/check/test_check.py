"""Checks of small packages for real: every variation is in force, and what differs is found out and explained."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.errors import UsageError
from layerlock.events import BuildStarted, Checked, CheckStarted
from layerlock.model.derivation import GuestRun
from layerlock.reproduce.variations.catalogue import VARIATIONS, availability
from layerlock.reproduce.variations.host import look
from layerlock.reproduce.variations.preload import compile_library
from layerlock.workflows.building import build_layer, build_package, record_layer
from layerlock.workflows.checking import Asked, Check, check
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.planning import load
from tests.build.conftest import Bench
from tests.check.conftest import HIDDEN, TELLTALES, Telltale

# The first one fetches and unpacks an environment; a rebuilt layer unpacks it again.
pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]

NONE = Asked(variations=())
LARGE = ("environment-bullseye", "environment-bullseye-glibc2.26")
# What a check takes by itself; `instructions` has tests of its own.
NAMES = tuple(variation.name for variation in VARIATIONS if not variation.named)


def checked(bench: Bench, name: str, asked: Asked) -> Check:
    """Check, with the environment of this process."""
    bench.events.clear()
    return check(bench.driver(), name, asked, dict(os.environ))


def of(found: Check, name: str) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """Give a derivation's verdict and causes."""
    judged = next(judged for judged in found.derivations if judged.standing.name == name)
    return judged.verdict, judged.causes


def test_each_variation_is_in_force_and_changes_what_it_says_alone(bench: Bench, telltale: Telltale) -> None:
    """A table of packages by variations: each package notices the one that it was made for, and no other.

    That the variations of the driver's process are in force, each run finds out itself by asking the process:
    one that is not makes the verdict inconclusive. Those that no package may notice have one run together.
    """
    telltale.write({**TELLTALES, "hidden": HIDDEN})
    build_package(bench.driver(), "all-of-them")
    names = (*TELLTALES, "hidden")
    visited = (bench.folder / "recipes",)
    host = look(dict(os.environ), sandbox="", named_python="", visited=visited, user=True)
    obstacles = {each.name: each.obstacle for each in availability(host) if each.obstacle}
    if os.geteuid() == 0 and len(os.sched_getaffinity(0)) > 1:
        assert set(obstacles) <= {"python"}, obstacles
    noticed = tuple(name for name in NAMES if name in TELLTALES and name not in obstacles)
    others = tuple(name for name in NAMES if name not in TELLTALES and name not in obstacles)
    asked = Asked(bisect=False, derivations=names)
    judged = (
        *checked(bench, "all-of-them", replace(asked, each=True, variations=noticed)).derivations,
        *checked(bench, "all-of-them", replace(asked, variations=others)).derivations,
    )
    attempts = [(each.standing.name, attempt) for each in judged for attempt in each.attempts]
    assert [attempt.reason for _, attempt in attempts if attempt.verdict == "inconclusive"] == []
    assert {(name, attempt.variations): attempt.verdict for name, attempt in attempts} == {
        (name, group): "mismatch" if (name,) == group else "match"
        for name in names
        for group in (*((variation,) for variation in noticed), others)
    }
    assert all(attempt.missing == () for _, attempt in attempts)


def test_all_at_once_hides_nothing_and_the_causes_are_found(bench: Bench, telltale: Telltale) -> None:
    """A difference that two variations make, each by itself, is traced to both; one that is random to none."""
    telltale.write(
        {
            "two-causes": f"{TELLTALES['clock']}; mv /out/told /out/year; {TELLTALES['jobs']}",
            "random": "od -N 8 -A n -t x1 /dev/urandom > /out/told",
            "moment": "date +%s%N > /out/told",
            "sound": HIDDEN,
        }
    )
    build_package(bench.driver(), "all-of-them")
    before = sorted((bench.store / "trees").iterdir())
    found = checked(
        bench, "all-of-them", Asked(derivations=("two-causes", "random", "moment", "sound", "all-of-them"))
    )
    assert "instructions" not in found.groups[0]
    assert of(found, "two-causes") == ("mismatch", (("jobs",), ("clock",)))
    assert of(found, "random") == ("mismatch", ((),))
    assert of(found, "moment") == ("mismatch", ((),))
    assert of(found, "sound") == ("match", ())
    # Its inputs did not come out the same, but it was given the stored ones.
    assert of(found, "all-of-them") == ("match", ())
    assert not found.matched

    kept = found.kept["two-causes"]
    assert kept.stored is not None
    assert kept.comparison is not None
    assert {change.path for change in kept.comparison.changed} == {"told", "year"}
    now, then = ((place / "year").read_text().split() for place in (kept.rebuilt, kept.stored))
    assert int(now[0]) == int(then[0]) + 5 or int(now[0]) == int(then[0]) + 6
    assert set(found.kept) == {"two-causes", "random", "moment"}
    # Never repaired, never replaced, and nothing left behind.
    assert sorted((bench.store / "trees").iterdir()) == before
    assert list((bench.store / "tmp").iterdir()) == []
    verdicts = {event.name: event.verdict for event in bench.events if isinstance(event, Checked)}
    assert verdicts["random"] == "mismatch"
    assert verdicts["sound"] == "match"


def test_a_layer_with_its_record(bench: Bench, tmp_path: Path) -> None:
    """What a layer is made of matches under all variations, transforms of the driver included, but its smoke tests."""
    lock_layer(bench.driver(), "tiny")
    record_layer(bench.driver(), "tiny", tmp_path / "dist")
    able = [each.name for each in load(bench.driver(), "tiny").plan.derivations if "smoke" not in each.name]
    found = checked(bench, "tiny", Asked(derivations=tuple(name for name in able if name not in LARGE)))
    assert {judged.standing.name: (judged.verdict, judged.reason) for judged in found.derivations} == {
        judged.standing.name: ("match", "") for judged in found.derivations
    }
    names = {judged.standing.name for judged in found.derivations}
    assert {"environment-lambda-al2", "tiny-c", "layer-tiny-tree", "layer-tiny-zip"} <= names
    assert all(judged.standing.recorded for judged in found.derivations)
    assert len([event for event in bench.events if isinstance(event, CheckStarted)]) == 1
    bench.events.clear()
    build_layer(bench.driver(), "tiny", tmp_path / "dist")
    assert bench.of(BuildStarted) == []

    with pytest.raises(UsageError, match="no derivation `layer-tiny-smoke` that can be checked"):
        checked(bench, "tiny", Asked(derivations=("layer-tiny-smoke",)))

    # A record that nothing comes to is a mismatch by itself, and what needs that output cannot be judged.
    path = bench.folder / "lockfiles" / "tiny.lock"
    output = next(j.standing.recorded for j in found.derivations if j.standing.name == "tiny-c")
    path.write_text(path.read_text().replace(output, "sha256-" + "A" * 43 + "="))
    found = checked(bench, "tiny", replace(NONE, derivations=("tiny-c", "tiny-cpp")))
    assert of(found, "tiny-c") == ("mismatch", ((),))
    assert of(found, "tiny-cpp")[0] == "inconclusive"
    assert "tiny-c, which it needs" in found.derivations[1].reason
    assert found.kept["tiny-c"].stored is None, "what the store has is what was rebuilt; nobody has the other"


@pytest.mark.long
def test_large_environments(bench: Bench) -> None:
    """So do the roots that builds run in: unpacked, and given a floor, on one processor."""
    build_package(bench.driver(), "tiny-c")
    found = checked(bench, "tiny-c", Asked(derivations=LARGE))
    assert [(judged.verdict, judged.reason) for judged in found.derivations] == [("match", "")] * len(LARGE)


def test_what_cannot_be_compared_is_inconclusive(bench: Bench, telltale: Telltale, tmp_path: Path) -> None:
    """Not built before, an input not built, a rebuild that fails: each says so, and is no match."""
    telltale.write({"once": "[ ! -e /proc/cpuinfo ] || grep -q Varied /proc/cpuinfo && exit 3; touch /out/x"})
    found = checked(bench, "all-of-them", replace(NONE, derivations=("once", "all-of-them")))
    assert [judged.reason for judged in found.derivations] == [
        "it was not built before, and the lock records no output",
        "its input once is not in the store: build it first",
    ]
    assert bench.of(BuildStarted) == []
    build_package(bench.driver(), "once")
    found = checked(bench, "once", Asked(variations=("processor",), derivations=("once",)))
    assert of(found, "once") == ("inconclusive", ())
    assert "the rebuild failed: the build of once failed" in found.derivations[0].reason
    with pytest.raises(UsageError, match="no derivation `twice`"):
        checked(bench, "once", Asked(derivations=("twice",)))
    with pytest.raises(UsageError, match="no variation `moon`"):
        checked(bench, "once", Asked(variations=("moon",), derivations=("once",)))
    nowhere = Asked(
        variations=("python",), derivations=("once",), python=str(tmp_path / "nothing"), keep=tmp_path
    )
    found = checked(bench, "once", nowhere)
    assert of(found, "once")[0] == "inconclusive"
    assert "the variation python cannot be had here" in found.derivations[0].reason


def test_an_environment_without_sh_or_without_anything(bench: Bench, tmp_path: Path) -> None:
    """What is preloaded is compiled by the shell that recipes have; where there is none, that is told, no more."""
    build_package(bench.driver(), "tiny-c")
    driver = bench.driver()
    action = load(driver, "tiny-c").plan["tiny-c"].action
    assert isinstance(action, GuestRun)
    (whole,) = (bench.store / "trees").glob("*-environment-bullseye")
    with driver.store.scratch("roots") as scratch:
        told = {}
        for name in ("without-sh", "empty"):
            root, folder = scratch / name, scratch / f"{name}-work"
            folder.mkdir()
            if name == "empty":
                root.mkdir()
            else:
                shutil.copytree(whole, root, symlinks=True, copy_function=os.link)
                (root / "bin" / "sh").unlink()
            library, told[name] = compile_library(
                root, action, frozenset({"clock"}), 0, driver.sandbox, folder
            )
            assert (library is None) == (name == "empty"), told
        assert told["without-sh"] == ""
        assert told["empty"].startswith("nothing can be preloaded in its environment: ")
        assert "/bin/bash" in told["empty"]


def test_nothing_is_left_of_a_check_whose_driver_is_killed(bench: Bench, telltale: Telltale) -> None:
    """The rebuilding process ends with the one that started it, and takes the sandbox along."""
    telltale.write({"slow": "[ -e /proc/1 ] && grep -q Varied /proc/cpuinfo && sleep 271828; touch /out/x"})
    build_package(bench.driver(), "slow")
    command = ["--repo", str(bench.folder), "--store", str(bench.store), "check", "slow", "slow"]
    process = subprocess.Popen(
        [sys.executable, "-m", "layerlock", *command, "--vary", "processor"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert _until(lambda: bool(_running("271828")), 60), "the build did not begin"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert _until(lambda: not _running("271828"), 30)
    assert _until(lambda: not _running(str(bench.store)), 30), "the rebuilding process goes on"
    bench.driver().store.sweep()
    assert list((bench.store / "tmp").iterdir()) == []


def _until(holds: object, seconds: float) -> bool:
    assert callable(holds)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.1)
    return False


def _running(word: str) -> list[int]:
    """Find live processes by a word in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if word.encode() in line:
                found.append(int(entry.name))
    return found
