"""What a run is told to take, in words."""

from __future__ import annotations

import pytest

from layerlock.events import BuildFailedEvent, Event, RoomExpected, TimeExpected
from layerlock.model.times import History, Took, expect
from layerlock.ui.lines import describe


def time(**changes: int) -> TimeExpected:
    values = {"builds": 16, "known": 16, "here": 0, "seconds": 1426, "processors": 2, **changes}
    return TimeExpected(name="layer-cv-smoke", **values)


def room(*, new: bool, needed: int, free: int) -> RoomExpected:
    return RoomExpected(
        name="layer-cv-smoke", store="/home/\x1b[31muser/.cache", new=new, needed=needed, free=free
    )


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (time(), "time     16 took 23 min 46 s elsewhere, with 2 processors, one after the other"),
        (time(processors=0), "time     16 took 23 min 46 s elsewhere, one after the other"),
        (time(known=12, here=12), "time     12 of 16 took 23 min 46 s here, one after the other"),
        (
            time(here=4, processors=1),
            "time     16 took 23 min 46 s here and elsewhere, with 1 processor, one after the other",
        ),
        (time(seconds=59), None),
        (time(known=0, seconds=0), None),
        (
            room(new=True, needed=1_800_000_000, free=52_000_000_000),
            "room     1.8 GB or more go into /home/user/.cache, a new store (52.0 GB free); "
            "layerlock gc clears up",
        ),
        (room(new=False, needed=1_800_000_000, free=52_000_000_000), None),
        (
            room(new=False, needed=1_800_000_000, free=900_000_000),
            "room     /home/user/.cache will take 1.8 GB, and 900.0 MB are free: make room (layerlock gc), "
            "or name another folder with --store",
        ),
    ],
)
def test_what_to_expect(event: Event, line: str | None) -> None:
    described = describe(event)
    assert (str(described) if described is not None else None) == line


def test_a_failure_names_what_failed_once() -> None:
    reason = "layer-cv-smoke: the smoke test 'loads' ended with 1; the end of the log:\n  AssertionError"
    line = describe(BuildFailedEvent(name="layer-cv-smoke", reason=reason, log=""))
    assert str(line) == "failed   layer-cv-smoke: the smoke test 'loads' ended with 1"


def test_what_this_machine_took_counts_first_and_a_like_name_last() -> None:
    def took(name: str, planned: str, seconds: int, processors: int) -> Took:
        return Took(name=name, planned=planned * 64, seconds=seconds, size=10, processors=processors)

    history = History(
        here=(took("a", "1", 5, 2),),
        elsewhere=(
            took("a", "1", 50, 8),
            took("b", "2", 60, 8),
            took("c", "9", 70, 8),
            took("c", "3", 80, 8),
        ),
        sizes={"1" * 64: 999, "5" * 64: 7},  # of a build that was noted, and of one that only a lock has
    )
    wanted = [("a", "1" * 64), ("b", "2" * 64), ("c", "4" * 64), ("d", "5" * 64)]
    found = expect(wanted, history)
    assert (found.known, found.here, found.seconds, found.size, found.processors) == (
        3,
        1,
        5 + 60 + 80,
        30 + 7,
        8,
    )
