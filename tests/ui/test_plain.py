"""Plain lines: which events have one, and what it says."""

from __future__ import annotations

import dataclasses
import io
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from layerlock import events as all_events
from layerlock.events import BuildFinished, Event, FetchStarted, PlanMade
from layerlock.ui.lines import describe
from layerlock.ui.plain import Plain
from tests.ui.script import OUT, P, R, events
from tests.ui.snapshots import check_snapshot


def written(*, verbose: bool) -> str:
    stream = io.StringIO()
    listener = Plain(stream, verbose=verbose)
    for _, event in events():
        listener(event)
    return stream.getvalue()


@pytest.mark.parametrize("verbose", [False, True])
def test_a_run(verbose: bool) -> None:
    text = written(verbose=verbose)
    check_snapshot("plain-verbose" if verbose else "plain", text.rstrip("\n"))
    assert all(line.isprintable() for line in text.split("\n"))
    assert "secret" not in text
    assert ("linking" in text) is verbose


KINDS = [
    kind
    for kind in vars(all_events).values()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
]
SAMPLES: dict[str, Any] = {
    "str": "x",
    "int": 100,
    "bool": True,
    "float": 1.0,
    "int | None": 9_000_000,
    "tuple[str, ...]": ("x",),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_has_words_but_those_of_progress(kind: type[Event]) -> None:
    event = kind(**{field.name: SAMPLES[str(field.type)] for field in dataclasses.fields(kind)})
    assert (describe(event) is None) is (kind.__name__ == "FetchProgressed")


def test_small_downloads_are_told_once() -> None:
    assert describe(FetchStarted(name="x", url="https://h.example/x", size=1000)) is None
    assert describe(FetchStarted(name="x", url="https://h.example/x", size=None)) is not None


def test_a_plan_with_nothing_to_do_has_no_line() -> None:
    assert describe(PlanMade(name="x", derivations=("a",), to_build=(), to_fetch=0, fetch_bytes=0)) is None


def test_lines_of_many_threads_stay_whole() -> None:
    stream = io.StringIO()
    listener = Plain(stream)

    def work(number: int) -> None:
        for _ in range(100):
            listener(
                BuildFinished(
                    name=f"n{number}",
                    planned=P,
                    resolved=R,
                    output=OUT,
                    size=number,
                    seconds=1.0,
                    command_seconds=1.0,
                    peak_memory=0,
                )
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 800
    assert all(re.fullmatch(r"built    n(\d) \(\1 B in 1\.0 s\)", line) for line in lines)
