"""The time line of a run, with times and threads that a test sets."""

from __future__ import annotations

import json

from layerlock.events import (
    BuildFailedEvent,
    BuildFinished,
    BuildReused,
    BuildStarted,
    BuildStep,
    Event,
    FetchFinished,
    FetchRetried,
    FetchStarted,
    PlanMade,
    Waiting,
    Warned,
)
from layerlock.ui.timeline import Timeline
from tests.ui.script import events
from tests.ui.traces import spans_of

PLAN = PlanMade(name="cv", derivations=("numpy",), to_build=("numpy",), to_fetch=2, fetch_bytes=3)
BUILD = BuildStarted(name="numpy", planned="p", resolved="r", log="")
BUILT = BuildFinished(
    name="numpy",
    planned="p",
    resolved="r",
    output="sha256-x",
    size=7,
    seconds=3.0,
    command_seconds=2.5,
    peak_memory=9,
)


class Run:
    """A time line whose clock and threads are set by hand."""

    def __init__(self) -> None:
        self.now = 100.0
        self.thread = "MainThread"
        self.timeline = Timeline("build cv", lambda: self.now, lambda: self.thread)

    def at(self, seconds: float, thread: str, event: Event) -> None:
        """Let something happen, so many seconds after the run began, in a thread."""
        self.now, self.thread = 100.0 + seconds, thread
        self.timeline(event)

    def spans(self) -> dict[str, tuple[int, float, float]]:
        """Give lane, start and length (seconds) by category and name."""
        found = spans_of(self.timeline.document())
        return {
            f"{one['cat']}: {one['name']}": (one["tid"], one["ts"] / 1e6, one["dur"] / 1e6) for one in found
        }

    def lanes(self) -> dict[str, int]:
        """Give the numbers of the lanes by name."""
        written = json.loads(self.timeline.document())["traceEvents"]
        return {e["args"]["name"]: e["tid"] for e in written if e["name"] == "thread_name"}


def test_builds_fetches_steps_and_waits_stand_on_the_lanes_of_their_threads() -> None:
    run = Run()
    run.at(0.5, "MainThread", PLAN)
    run.at(0.6, "fetch_1", FetchStarted(name="numpy/numpy", url="https://me:pw@files.example/n.tgz", size=3))
    run.at(0.6, "fetch_0", Waiting(name="a/a", doing="fetches"))
    run.at(1.6, "fetch_1", FetchFinished(name="numpy/numpy", size=3, seconds=1.0))
    run.at(2.0, "build_0", BUILD)
    run.at(2.0, "build_0", BuildStep(name="numpy", step="unpack"))
    run.at(2.5, "build_0", BuildStep(name="numpy", step="run"))
    run.at(3.0, "fetch_0", FetchStarted(name="a/a", url="https://files.example/a", size=None))
    run.at(3.5, "fetch_0", FetchFinished(name="a/a", size=4, seconds=0.5))
    run.at(5.0, "build_0", BUILT)
    run.at(5.5, "MainThread", Warned(name="cv", message="large"))
    lanes = run.lanes()
    assert set(lanes) == {"driver", "build 1", "fetch 1", "fetch 2"}
    assert len(set(lanes.values())) == 4
    assert run.spans() == {
        "run: build cv": (lanes["driver"], 0.0, 5.5),
        "plan: plan": (lanes["driver"], 0.0, 0.5),
        "fetch: numpy/numpy": (lanes["fetch 2"], 0.6, 1.0),
        "wait: wait: another driver fetches a/a": (lanes["fetch 1"], 0.6, 2.4),
        "fetch: a/a": (lanes["fetch 1"], 3.0, 0.5),
        "build: numpy": (lanes["build 1"], 2.0, 3.0),
        "step: unpack": (lanes["build 1"], 2.0, 0.5),
        "step: run": (lanes["build 1"], 2.5, 2.5),
    }
    facts = {one["cat"]: one["args"] for one in spans_of(run.timeline.document())}
    assert facts["build"]["seconds of its commands"] == 2.5
    assert facts["build"]["peak memory, bytes"] == 9
    assert b"me:pw" not in run.timeline.document()


def test_a_wait_ends_with_what_another_driver_built() -> None:
    run = Run()
    run.at(1.0, "build_0", Waiting(name="numpy", doing="builds"))
    run.at(4.0, "build_0", BuildReused(name="numpy", planned="p", resolved="r", output="o"))
    assert run.spans()["wait: wait: another driver builds numpy"][1:] == (1.0, 3.0)
    marks = [e for e in json.loads(run.timeline.document())["traceEvents"] if e["ph"] == "i"]
    assert [mark["name"] for mark in marks] == ["numpy is there already"]


def test_a_retried_fetch_is_two_spans() -> None:
    run = Run()
    for start in (0.0, 2.0):
        run.at(start, "fetch_0", FetchStarted(name="a/a", url="https://x.example/a", size=None))
        if not start:
            run.at(1.0, "fetch_0", FetchRetried(name="a/a", url="https://x.example/a", reason="reset"))
    run.at(3.0, "fetch_0", FetchFinished(name="a/a", size=1, seconds=1.0))
    fetches = [one for one in spans_of(run.timeline.document()) if one["cat"] == "fetch"]
    assert [(one["ts"], one["dur"]) for one in fetches] == [(0, 1_000_000), (2_000_000, 1_000_000)]
    assert fetches[0]["args"]["failed"] == "reset"


def test_what_a_failure_cut_short_says_so() -> None:
    run = Run()
    run.at(1.0, "build_0", BUILD)
    run.at(1.0, "build_0", BuildStep(name="numpy", step="run"))
    run.at(1.5, "build_1", BuildStarted(name="scipy", planned="p", resolved="r", log=""))
    run.at(2.0, "build_0", BuildFailedEvent(name="numpy", reason="exit status 1", log=""))
    facts = {one["name"]: one["args"] for one in spans_of(run.timeline.document())}
    assert facts["numpy"]["failed"] == "exit status 1"
    assert facts["scipy"]["cut"]
    assert "cut" not in facts["build cv"]


def test_a_whole_run_with_hostile_text_is_a_valid_trace() -> None:
    """After each of its events: a run may end anywhere."""
    run = Run()
    for seconds, event in events():
        run.at(seconds, "MainThread", event)
        data = run.timeline.document()
        assert b"\x1b" not in data
        assert "secret" not in data.decode()
        json.loads(data)
