"""JSON lines: every event, whole and with its time."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from layerlock.errors import InvalidRecipe, Location, UsageError
from layerlock.events import BuildLine
from layerlock.ui.jsonl import JsonLines
from tests.ui.script import HOSTILE, events
from tests.ui.snapshots import check_snapshot

BEGAN = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


def parsed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.split("\n")[:-1]]


def test_a_run() -> None:
    stream = io.StringIO()
    moments = iter(moment for moment, _ in events())
    listener = JsonLines(stream, lambda: BEGAN + timedelta(seconds=next(moments)))
    for _, event in events():
        listener(event)
    check_snapshot("jsonl", stream.getvalue().rstrip("\n"))
    assert "secret" not in stream.getvalue()
    rows = parsed(stream.getvalue())
    assert len(rows) == len(events())
    for row, (_, event) in zip(rows, events(), strict=True):
        assert row["event"] == type(event).__name__.removesuffix("Event")
        assert row["name"] == event.name
        assert datetime.fromisoformat(row["time"]).tzinfo is not None
    assert rows[12]["line"].endswith(HOSTILE)


def test_output_is_ascii_with_nothing_to_obey() -> None:
    stream = io.StringIO()
    JsonLines(stream, lambda: BEGAN)(BuildLine(name="x", line=HOSTILE + "\udcff\n"))
    (line, rest) = stream.getvalue().split("\n")
    assert rest == ""
    assert line.isascii()
    assert line.isprintable()


def test_errors_and_results_are_events_too() -> None:
    stream = io.StringIO()
    lines = JsonLines(stream, lambda: BEGAN)
    place = Location(file="recipes/packages/x.toml", line=3, path="build")
    lines.error(InvalidRecipe("wrong", hint="mend it", location=place))
    lines.error(UsageError("no"))
    lines.write("Result", {"verb": "build", "names": ("a", "b")})
    first, second, third = parsed(stream.getvalue())
    assert first == {
        "event": "Error",
        "time": "2026-11-21T09:30:00.000Z",
        "kind": "InvalidRecipe",
        "message": "wrong",
        "hint": "mend it",
        "location": {"file": "recipes/packages/x.toml", "line": 3, "path": "build"},
        "exit_code": 3,
    }
    assert second["location"] is None
    assert third["names"] == ["a", "b"]


def test_lines_of_many_threads_are_whole_and_in_the_order_of_their_times() -> None:
    stream = io.StringIO()
    ticks = count()
    listener = JsonLines(stream, lambda: BEGAN + timedelta(milliseconds=next(ticks)))

    def work(number: int) -> None:
        for _ in range(100):
            listener(BuildLine(name=f"n{number}", line="x"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    times = [row["time"] for row in parsed(stream.getvalue())]
    assert len(times) == 800
    assert times == sorted(times)
