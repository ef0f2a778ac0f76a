"""What a run says beforehand, and what it notes for later ones, with real builds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from layerlock.events import BuildFinished, Event, PlanMade, RoomExpected, TimeExpected
from layerlock.io.lockfile import read_lock
from layerlock.io.times import read_note, read_times
from layerlock.model.times import History
from layerlock.store.local import LocalStore
from layerlock.workflows.building import build_package, record_layer
from layerlock.workflows.foreseeing import Foreseeing, read_history
from layerlock.workflows.locking import lock_layer

from .conftest import Bench

pytestmark = pytest.mark.sandbox

TINY_C = "recipes/packages/tiny-c.toml"


def flags(bench: Bench, other: str) -> None:
    """Have tiny-c built with flags that no other test has: they share a store."""
    bench.edit(TINY_C, lambda text: re.sub(r"-Os|-O1 -DFORESEEN=\d", f"-O1 -DFORESEEN={other}", text))


def expected(bench: Bench) -> TimeExpected:
    """Give what was said of the time; it comes right after the plan, and the room after it."""
    kinds = [type(event) for event in bench.events]
    at = kinds.index(PlanMade)
    assert kinds[at : at + 3] == [PlanMade, TimeExpected, RoomExpected]
    event = bench.events[at + 1]
    assert isinstance(event, TimeExpected)
    return event


def test_what_builds_took_is_noted_recorded_and_told(bench: Bench, tmp_path: Path) -> None:
    flags(bench, "1")
    lock_layer(bench.driver(), "tiny")
    record_layer(bench.driver(), "tiny", tmp_path / "dist")
    store = bench.driver().store
    finished = {event.name: event for event in bench.events if isinstance(event, BuildFinished)}
    lock = read_lock(bench.folder / "lockfiles" / "tiny.lock", "tiny")
    times = {took.name: took for took in read_times(bench.folder / "lockfiles" / "tiny.times.toml")}
    assert {"tiny-c", "layer-tiny-tree", "layer-tiny-zip"} <= set(finished)
    for name, event in finished.items():
        note = read_note(store.log_path(event.planned))
        assert note is not None
        assert note == times[name]
        assert (note.seconds, note.size) == (round(event.seconds), event.size)
        assert note.memory == event.peak_memory
        assert note.processors >= 1
    assert [*times] == [d.name for d in lock.derivations if d.name in times]
    # Elsewhere, the lock tells how much room everything will take.
    history = read_history(LocalStore(tmp_path / "elsewhere"), bench.driver().repository, [])
    assert history.sizes == {d.planned: d.size for d in lock.derivations if d.size is not None}
    assert history.sizes
    # Recorded again, nothing changes, though the store may have forgotten.
    text = (bench.folder / "lockfiles" / "tiny.times.toml").read_text()
    for event in finished.values():
        store.log_path(event.planned).with_suffix(".json").unlink()
    record_layer(bench.driver(), "tiny", tmp_path / "dist")
    assert (bench.folder / "lockfiles" / "tiny.times.toml").read_text() == text
    # A little change, and a build that was never made takes as long as the one that was recorded.
    flags(bench, "2")
    bench.events.clear()
    build_package(bench.driver(), "tiny-c")
    told = expected(bench)
    assert (told.builds, told.known, told.here) == (1, 1, 0)
    assert told.seconds == times["tiny-c"].seconds
    assert told.processors == times["tiny-c"].processors


def test_a_file_that_cannot_be_read_keeps_nothing_from_being_built(bench: Bench) -> None:
    (bench.folder / "lockfiles").mkdir(exist_ok=True)
    (bench.folder / "lockfiles" / "tiny.times.toml").write_text("version = [")
    flags(bench, "3")
    build_package(bench.driver(), "tiny-c")
    told = expected(bench)
    assert (told.builds, told.known, told.seconds) == (1, 0, 0)
    room = next(event for event in bench.events if isinstance(event, RoomExpected))
    assert room.store == str(bench.store)
    assert room.free > 0


def test_notes_go_with_the_logs(bench: Bench) -> None:
    flags(bench, "4")
    made, _ = build_package(bench.driver(), "tiny-c")
    store = bench.driver().store
    log = store.log_path(made.planned)
    assert log.is_file()
    assert read_note(log) is not None
    # What a collection looks at are the names of logs: both are of the one build.
    assert {path.stem for path in log.parent.glob(f"{made.planned}.*")} == {made.planned}


@pytest.mark.parametrize(
    ("trees", "new"), [((), True), (("sandbox-program",), True), (("sandbox-program", "tiny-c"), False)]
)
def test_a_store_is_new_to_builds_though_doctor_has_used_it(
    tmp_path: Path, trees: tuple[str, ...], new: bool
) -> None:
    """What `doctor` tries a sandbox with stays in the store; it is no build."""
    store = LocalStore(tmp_path)
    store.layout.make()
    for name in trees:
        (store.layout.trees / f"{'0' * 64}-{name}").mkdir()
    told: list[Event] = []
    foreseeing = Foreseeing(told.append, store, {"tiny-c": "a" * 64}, History(here=(), elsewhere=()))
    foreseeing(PlanMade(name="tiny-c", derivations=(), to_build=("tiny-c",), to_fetch=1, fetch_bytes=7))
    (room,) = (event for event in told if isinstance(event, RoomExpected))
    assert (room.store, room.needed, room.new) == (str(tmp_path), 7, new)
