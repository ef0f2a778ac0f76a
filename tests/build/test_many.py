"""The order of builds on one machine: by the longest way to the end, side by side, within the machine's memory.

The derivations are real transforms of empty roots, which need neither sandbox nor network.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from layerlock.build.many import realise_all
from layerlock.build.workshop import Capacity, Supply, Workshop
from layerlock.errors import SandboxUnavailable
from layerlock.events import BuildFinished, BuildReused, BuildStarted, Event, Listener, Warned
from layerlock.model.derivation import Derivation, Input, Needs, Realisation, Transform
from layerlock.model.lock import LockedSource
from layerlock.model.times import Took
from layerlock.plan.resolve import Plan
from layerlock.store.local import LocalStore
from layerlock.workflows.driver import Bubblewrap

SHAPE: Mapping[str, tuple[str, ...]] = {
    "root": (),
    "short": ("root",),
    "long": ("root",),
    "longer": ("long",),
    "aside": (),
    "layer": ("short", "longer", "aside"),
}
SECONDS = {"root": 1, "short": 2, "long": 10, "longer": 10, "aside": 15, "layer": 1}


def plan_of(shape: Mapping[str, tuple[str, ...]], memory: Mapping[str, int] | None = None) -> Plan:
    """Plan empty roots; what differs between them is a link."""
    planned: dict[str, str] = {}
    made = []
    for name, inputs in shape.items():
        derivation = Derivation(
            name=name,
            version="",
            system="x86_64-linux",
            action=Transform(name="oci-root/1", parameters={"diff_ids": [], "links": {"name": name}}),
            inputs=tuple(Input(name=one, mount=None) for one in inputs),
            needs=Needs(memory=(memory or {}).get(name, 1)),
        )
        planned[name] = derivation.hash(planned)
        made.append(derivation)
    return Plan(derivations=tuple(made), planned=planned)


def build(
    store: Path,
    plan: Plan,
    capacity: Capacity,
    emit: Listener,
    *,
    seconds: Mapping[str, int] | None = None,
    done: Mapping[str, Realisation] | None = None,
) -> dict[str, Realisation]:
    """Build all of a plan."""

    def none() -> object:
        raise SandboxUnavailable("nothing here needs a sandbox")

    def fetch(pin: LockedSource) -> Path:
        raise AssertionError(f"nothing here has a source: {pin}")

    workshop = Workshop(
        store=LocalStore(store),
        sandbox=Bubblewrap(none),  # type: ignore[arg-type] # it is never asked
        repository=store,
        guest=store,
        jobs=1,
        memory=capacity.memory,
        emit=emit,
    )
    took = {
        name: Took(name=name, planned=plan.planned[name], seconds=each)
        for name, each in (seconds or {}).items()
    }
    supply = Supply(pins={}, missing=lambda _: False, fetch=fetch)
    return realise_all(plan, tuple(plan.planned), workshop, supply, capacity, {}, done or {}, took=took)


def started(events: list[Event]) -> list[str]:
    """Give what was built, in order."""
    return [event.name for event in events if isinstance(event, BuildStarted)]


def test_the_longest_way_is_begun_first(tmp_path: Path) -> None:
    events: list[Event] = []
    plan = plan_of(SHAPE)
    build(tmp_path, plan, Capacity(builds=1, memory=1), events.append, seconds=SECONDS)
    assert started(events) == ["root", "long", "aside", "longer", "short", "layer"]


def test_without_any_record_the_longest_chain_is(tmp_path: Path) -> None:
    events: list[Event] = []
    build(tmp_path, plan_of(SHAPE), Capacity(builds=1, memory=1), events.append)
    assert started(events) == ["root", "long", "short", "longer", "aside", "layer"]


def test_what_was_built_is_not_built_again_however_it_comes(tmp_path: Path) -> None:
    """As made before, or as found for the resolved hash; and what needs it goes on at once."""
    events: list[Event] = []
    plan = plan_of(SHAPE)
    made = build(tmp_path, plan, Capacity(builds=2, memory=9), events.append)
    events.clear()
    done = {name: made[name] for name in ("root", "aside")}
    assert build(tmp_path, plan, Capacity(builds=2, memory=9), events.append, done=done) == made
    assert started(events) == []
    reused = [event.name for event in events if isinstance(event, BuildReused)]
    assert sorted(reused) == ["layer", "long", "longer", "short"]


def test_as_many_run_side_by_side_as_there_is_room_for(tmp_path: Path) -> None:
    """Three wait for each other: were there fewer at a time, none would go on."""
    together = threading.Barrier(3)

    def emit(event: Event) -> None:
        if isinstance(event, BuildStarted) and event.name.startswith("part"):
            together.wait(timeout=20)

    shape = {f"part{index}": () for index in range(6)} | {"layer": tuple(f"part{n}" for n in range(6))}
    made = build(tmp_path, plan_of(shape), Capacity(builds=3, memory=9), emit)
    assert set(made) == set(shape)


@pytest.mark.parametrize("builds", [2, 4])
def test_no_more_run_than_there_is_memory_for(tmp_path: Path, builds: int) -> None:
    """A build that needs more than there is runs alone, and it is told; what is small goes on beside what is large."""
    lock = threading.Lock()
    running: dict[str, int] = {}
    most: list[tuple[int, int]] = []
    memory = {"large1": 3, "large2": 3, "huge": 9, **{f"small{index}": 1 for index in range(6)}}
    warned: list[str] = []

    def emit(event: Event) -> None:
        with lock:
            if isinstance(event, BuildStarted):
                running[event.name] = memory[event.name]
                most.append((len(running), sum(running.values())))
            elif isinstance(event, BuildFinished):
                del running[event.name]
            elif isinstance(event, Warned):
                warned.append(event.name)

    plan = plan_of(dict.fromkeys(memory, ()), memory)
    build(tmp_path, plan, Capacity(builds=builds, memory=4), emit)
    assert len(most) == len(memory)
    assert max(number for number, _ in most) <= builds
    assert all(taken <= 4 or (number, taken) == (1, 9) for number, taken in most)
    assert warned == []  # only what runs in the sandbox is held to a limit
