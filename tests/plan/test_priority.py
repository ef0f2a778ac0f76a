"""What is begun first: by graphs whose best order is known."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerlock.model.derivation import Derivation, Input, Needs, Transform
from layerlock.model.times import History, Took
from layerlock.plan.priority import Cost, costs, first_to_last, priorities
from tools.schedules import bound, list_schedule

Shape = Mapping[str, tuple[str, ...]]


def graph(shape: Shape) -> tuple[Derivation, ...]:
    """Make derivations of a shape: names, inputs first, and what each needs."""
    return tuple(
        Derivation(
            name=name,
            version="1",
            system="x86_64-linux",
            action=Transform(name="test/1", parameters={}),
            inputs=tuple(Input(name=one, mount=None) for one in inputs),
        )
        for name, inputs in shape.items()
    )


def taking(seconds: Mapping[str, float]) -> dict[str, Cost]:
    """Give costs that differ in time alone."""
    return {name: Cost(seconds=each, memory=1) for name, each in seconds.items()}


DIAMOND: Shape = {"root": (), "long": ("root",), "short": ("root",), "layer": ("long", "short"), "other": ()}
SECONDS = {"root": 2, "long": 10, "short": 1, "layer": 3, "other": 4}


def test_a_rank_is_the_longest_way_to_the_end() -> None:
    assert priorities(graph(DIAMOND), taking(SECONDS)) == {
        "root": 15,
        "long": 13,
        "short": 4,
        "layer": 3,
        "other": 4,
    }
    assert first_to_last(graph(DIAMOND), taking(SECONDS)) == ("root", "long", "short", "other", "layer")


def test_of_equals_the_one_that_needs_more_memory_goes_first() -> None:
    needs = taking(SECONDS) | {"other": Cost(seconds=4, memory=2)}
    assert first_to_last(graph(DIAMOND), needs) == ("root", "long", "other", "short", "layer")


def test_what_is_done_counts_no_more() -> None:
    left = tuple(one for one in graph(DIAMOND) if one.name not in {"root", "other"})
    assert priorities(left, taking(SECONDS)) == {"long": 13, "short": 4, "layer": 3}


@pytest.mark.parametrize(
    ("shape", "seconds", "machines", "best"),
    [
        # The chain has to be begun at once: in the order of names it would end after 6.
        ({"a": (), "b": (), "c": (), "d": ("c",), "e": ("d",)}, dict.fromkeys("abcde", 1), 2, 3),
        # Longest processing time first (Graham, 1969): its worst case, 11/9 of the best, which is 9.
        (dict.fromkeys("abcdefg", ()), dict(zip("abcdefg", (5, 5, 4, 4, 3, 3, 3), strict=True)), 3, 11),
        # Two halves join in the end; the heavier one goes first.
        (
            {"x1": (), "x2": ("x1",), "y1": (), "y2": ("y1",), "z": (), "end": ("x2", "y2", "z")},
            {"x1": 3, "x2": 3, "y1": 2, "y2": 2, "z": 2, "end": 1},
            2,
            7,
        ),
    ],
)
def test_known_schedules(shape: Shape, seconds: Mapping[str, float], machines: int, best: float) -> None:
    derivations, each = graph(shape), taking(seconds)
    order = first_to_last(derivations, each)
    assert list_schedule(derivations, seconds, order, machines) == best


@st.composite
def trees(draw: st.DrawFn) -> Shape:
    """Give trees in which everything leads to one end, as packages lead to a layer; inputs stand first."""
    size = draw(st.integers(1, 7))
    users = {index: draw(st.integers(0, index - 1)) for index in range(1, size)}
    return {
        str(index): tuple(str(other) for other, user in users.items() if user == index)
        for index in reversed(range(size))
    }


@settings(max_examples=60, deadline=None)
@given(trees(), st.integers(2, 3))
def test_trees_of_equal_builds_end_as_early_as_any_order_lets_them(shape: Shape, machines: int) -> None:
    """By Hu (Parallel sequencing and assembly line problems, 1961) the highest level first is the best there is."""
    derivations, seconds = graph(shape), dict.fromkeys(shape, 1.0)
    mine = list_schedule(derivations, seconds, first_to_last(derivations, taking(seconds)), machines)
    assert mine == min(
        list_schedule(derivations, seconds, order, machines) for order in itertools.permutations(shape)
    )


@settings(max_examples=100, deadline=None)
@given(trees(), st.lists(st.floats(0.5, 100), min_size=7, max_size=7), st.integers(1, 4))
def test_no_order_ends_before_the_bound(shape: Shape, times: list[float], machines: int) -> None:
    derivations, seconds = graph(shape), dict(zip(shape, times, strict=False))
    least = bound(derivations, seconds, machines)
    order = first_to_last(derivations, taking(seconds))
    took = list_schedule(derivations, seconds, order, machines)
    assert least * (1 - 1e-9) <= took <= (2 - 1 / machines) * least * (1 + 1e-9)


def took(name: str, seconds: int, memory: int = 0) -> Took:
    """Give what an earlier build took."""
    return Took(name=name, planned="0" * 64, seconds=seconds, memory=memory)


def test_what_is_not_known_counts_as_what_is_usual() -> None:
    derivations = graph({"a": (), "b": (), "c": (), "d": ()})
    known: Sequence[Took] = (took("a", 100, 1 << 20), took("b", 7), took("c", 0))
    history = History(elsewhere=tuple(known))
    found = costs(derivations, history.of((one.name, "f" * 64) for one in derivations))
    assert {name: one.seconds for name, one in found.items()} == {"a": 100, "b": 7, "c": 0.5, "d": 7}
    assert found["a"].memory == 1 << 20
    assert found["b"].memory == found["d"].memory == Needs().memory
    assert {one.seconds for one in costs(derivations, {}).values()} == {1.0}
