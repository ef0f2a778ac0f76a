"""Verdicts and causes, on made-up builds: pure functions of which variations are on."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlock.reproduce.bisect import causes, minimise
from layerlock.reproduce.judging import Came, Judged, Standing, judge
from layerlock.reproduce.orders import Rebuilt

NAMES = tuple("abcdefghij")
SAME, OTHER = "sha256-same", "sha256-other"
Output = Callable[[frozenset[str]], str]


@given(st.sets(st.sampled_from(NAMES), min_size=1))
def test_the_smallest_set_is_found(guilty: set[str]) -> None:
    """Where a failure needs all of some names, just they are found, with far fewer tries than there are subsets."""
    tries: list[tuple[str, ...]] = []

    def fails(names: tuple[str, ...]) -> bool:
        tries.append(names)
        return guilty <= {*names}

    assert {*minimise(NAMES, fails)} == guilty
    assert len(tries) <= len(NAMES) ** 2


@given(st.sets(st.frozensets(st.sampled_from(NAMES), min_size=1, max_size=2), min_size=1, max_size=3))
def test_every_independent_cause_is_found(sets: set[frozenset[str]]) -> None:
    """Causes that share no name are all found, each as small as it gets."""
    apart = [one for one in sets if all(one is other or not one & other for other in sets)]
    if len(apart) != len(sets):
        return
    found = causes(NAMES, lambda names: any(one <= {*names} for one in sets))
    assert {frozenset(one) for one in found} == sets


def told(
    output: Output, groups: tuple[tuple[str, ...], ...], *, bisect: bool = True, missing: tuple[str, ...] = ()
) -> tuple[Judged, list[tuple[str, ...]]]:
    """Judge one derivation whose output depends on the variations; give the verdict and the runs."""
    runs: list[tuple[str, ...]] = []

    def run(variations: tuple[str, ...], names: tuple[str, ...]) -> dict[str, Came]:
        runs.append(variations)
        lacking = {name: "why not" for name in missing if name in variations}
        made = output(frozenset(variations))
        return {
            n: Came(rebuilt=Rebuilt(name=n, output=made, reason="no luck"), missing=lacking) for n in names
        }

    standing = Standing(name="zlib", planned="0" * 64, recorded=SAME, stored=SAME)
    (judged,) = judge([standing], groups, run, strict=False, bisect=bisect, tell=lambda _: None)
    return judged, runs


def test_a_match_takes_one_run() -> None:
    judged, runs = told(lambda _: SAME, (NAMES,))
    assert (judged.verdict, judged.causes, runs) == ("match", (), [NAMES])


def test_what_differs_by_itself_is_told_after_one_more_run() -> None:
    judged, runs = told(lambda _: OTHER, (NAMES,))
    assert (judged.verdict, judged.causes, runs) == ("mismatch", ((),), [NAMES, ()])
    assert judged.different == OTHER


def test_the_cause_is_named() -> None:
    judged, runs = told(lambda on: OTHER if on & {"c", "h"} else SAME, (NAMES,))
    assert (judged.verdict, judged.causes) == ("mismatch", (("c",), ("h",)))
    assert runs.count(()) == 2
    assert len(set(runs)) == len(runs) - 1, "nothing but the run without variations is done twice"


def test_two_that_only_together_make_the_difference() -> None:
    judged, _ = told(lambda on: OTHER if on >= {"c", "h"} else SAME, (NAMES,))
    assert judged.causes == (("c", "h"),)


@pytest.mark.parametrize("lucky", range(1, 12))
def test_what_comes_and_goes_is_blamed_on_nothing(lucky: int) -> None:
    """A build that differs from some run on, whatever is varied: the last run without variations tells."""
    count = itertools.count()
    judged, _ = told(lambda _: OTHER if (n := next(count)) == 0 or n > lucky else SAME, (NAMES,))
    assert judged.causes == ((),)


def test_what_differed_once_is_blamed_on_nothing() -> None:
    count = itertools.count()
    judged, _ = told(lambda _: OTHER if next(count) == 0 else SAME, (NAMES,))
    assert (judged.verdict, judged.causes) == ("mismatch", ((),))


def test_one_run_each_needs_no_search() -> None:
    judged, runs = told(lambda on: OTHER if "c" in on else SAME, tuple((name,) for name in NAMES))
    assert [each.verdict for each in judged.attempts[: len(NAMES)]].count("mismatch") == 1
    assert judged.causes == (("c",),)
    assert len(runs) == len(NAMES) + 2


def test_a_failed_rebuild_is_inconclusive() -> None:
    judged, _ = told(lambda _: "", (NAMES,))
    assert (judged.verdict, judged.reason) == ("inconclusive", "the rebuild failed: no luck")


def test_variations_that_were_not_in_force() -> None:
    """Some of many leave a match, which tells them; all of them leave nothing to say."""
    some, _ = told(lambda _: SAME, (NAMES,), missing=("a",))
    assert (some.verdict, some.attempts[0].missing) == ("match", ("a",))
    whole, _ = told(lambda _: SAME, (("a",),), missing=("a",))
    assert (whole.verdict, whole.reason) == ("inconclusive", "a was not in force: why not")


def test_store_and_lock_have_to_agree() -> None:
    standing = Standing(name="zlib", planned="0" * 64, recorded=SAME, stored=OTHER)
    came = {"zlib": Came(rebuilt=Rebuilt(name="zlib", output=SAME), missing={})}
    (judged,) = judge([standing], ((),), lambda *_: came, strict=True, bisect=False, tell=lambda _: None)
    assert judged.verdict == "mismatch"
    assert f"the store holds {OTHER}" in judged.reason
