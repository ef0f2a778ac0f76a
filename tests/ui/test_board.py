"""What the live display knows of a run."""

from __future__ import annotations

from layerlock.events import (
    BuildLine,
    BuildReused,
    BuildStarted,
    BuildStep,
    Event,
    FetchFinished,
    FetchProgressed,
    FetchStarted,
    PlanMade,
    Waiting,
)
from layerlock.ui.board import RATE_WINDOW, Board
from layerlock.ui.lines import describe
from tests.ui.script import P, R, events


def board_after(seconds: float) -> Board:
    board = Board()
    for moment, event in events():
        if moment <= seconds:
            board.apply(event, moment)
    return board


def test_in_the_middle_of_a_run() -> None:
    board = board_after(6.0)
    assert list(board.downloads) == ["numpy/numpy"]
    assert list(board.builds) == ["numpy"]
    assert board.builds["numpy"].step == "run"
    assert list(board.waiting) == ["scipy", "layer-cv-tree"]
    assert (board.built, board.to_build, board.fetched, board.to_fetch) == (1, 4, 1, 3)
    assert board.bytes_so_far() == 1_400_000 + 4_000_000


def test_at_the_end_of_a_run_nothing_runs() -> None:
    board = board_after(1000.0)
    assert not board.downloads
    assert not board.builds
    assert list(board.waiting) == ["layer-cv-tree"]
    assert board.built == 2  # python was reused, numpy built; scipy failed


def test_rate_is_that_of_the_last_seconds() -> None:
    board = Board()
    board.apply(FetchStarted(name="x", url="https://h.example/x", size=100_000_000), 0.0)
    assert board.downloads["x"].rate(0.0) == 0.0
    done = 0
    for second in range(100):
        done += 1_000_000 if second < 90 else 100_000
        board.apply(FetchProgressed(name="x", done=done, size=100_000_000), float(second))
    assert board.downloads["x"].rate(99.0) == 100_000
    assert len(board.downloads["x"].samples) <= RATE_WINDOW + 2


def test_a_download_that_begins_anew_has_no_negative_rate() -> None:
    board = Board()
    board.apply(FetchProgressed(name="x", done=5_000_000, size=None), 1.0)
    board.apply(FetchProgressed(name="x", done=0, size=None), 2.0)
    board.apply(FetchProgressed(name="x", done=2_000_000, size=None), 3.0)
    assert board.downloads["x"].rate(3.0) == 2_000_000


def test_plans_add_up() -> None:
    board = Board()
    for name in ("a", "b"):
        board.apply(
            PlanMade(name=name, derivations=(name,), to_build=(name,), to_fetch=2, fetch_bytes=10), 0.0
        )
    assert (board.to_build, board.to_fetch, board.fetch_bytes) == (2, 4, 20)


def test_a_build_that_another_driver_has_in_hand_is_shown_as_waited_for() -> None:
    board = Board()
    board.apply(PlanMade(name="cv", derivations=("x",), to_build=("x",), to_fetch=0, fetch_bytes=0), 0.0)
    event = Waiting(name="x", doing="builds")
    board.apply(event, 1.0)
    assert (board.builds["x"].step, list(board.waiting)) == ("waiting for another driver", [])
    assert str(describe(event)) == "waiting  x: another driver builds it"
    board.apply(BuildReused(name="x", planned=P, resolved=R, output=""), 2.0)
    assert (board.builds, board.built) == ({}, 1)


def test_stray_events_do_no_harm() -> None:
    board = Board()
    strays: tuple[Event, ...] = (
        BuildLine(name="x", line="l"),
        BuildStep(name="x", step="s"),
        FetchFinished(name="x", size=1, seconds=1.0),
    )
    for event in strays:
        board.apply(event, 0.0)
    assert not board.builds
    board.apply(BuildStarted(name="x", planned=P, resolved=R, log=""), 0.0)
    assert list(board.builds) == ["x"]


def test_what_caches_gave_before_the_plan_is_part_of_all() -> None:
    board = Board()
    board.apply(FetchStarted(name="python", url="/cache", size=30), 0.0)
    board.apply(FetchFinished(name="python", size=30, seconds=1.0), 1.0)
    plan = PlanMade(name="cv", derivations=(), to_build=("numpy",), to_fetch=2, fetch_bytes=7)
    board.apply(plan, 1.0)
    assert (board.fetched, board.to_fetch) == (1, 3)
    assert (board.bytes_so_far(), board.fetch_bytes) == (30, 37)
