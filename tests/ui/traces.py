"""The rules of Chrome's trace format, as its description and Perfetto's importer have them."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any


def spans_of(data: bytes) -> list[dict[str, Any]]:
    """Hold a trace against the format; give its complete events.

    Raises:
        AssertionError: a viewer would refuse it, or show something else than what is meant.
    """
    document = json.loads(data)
    assert isinstance(document, dict)
    assert document["displayTimeUnit"] in ("ms", "ns")
    named = set()
    lanes: dict[tuple[int, int], list[dict[str, Any]]] = defaultdict(list)
    for event in document["traceEvents"]:
        assert isinstance(event["name"], str)
        assert event["name"]
        assert isinstance(event["pid"], int)
        assert isinstance(event.get("args", {}), dict)
        match event["ph"]:
            case "M":
                assert event["name"] in ("process_name", "thread_name", "thread_sort_index")
                if event["name"] == "thread_name":
                    assert isinstance(event["args"]["name"], str)
                    named.add((event["pid"], event["tid"]))
            case "X":
                assert event["ts"] >= 0
                assert event["dur"] >= 0
                assert isinstance(event["cat"], str)
                lanes[event["pid"], event["tid"]].append(event)
            case "i":
                assert event["ts"] >= 0
                assert event["s"] in ("t", "p", "g")
            case other:
                raise AssertionError(f"an event of a kind that is not written here: {other}")
    assert set(lanes) <= named, "a lane has no name"
    for spans in lanes.values():
        _check_nesting(spans)
    return [span for spans in lanes.values() for span in spans]


def _check_nesting(spans: list[dict[str, Any]]) -> None:
    """On one lane a span lies within another or beside it: viewers cut off what overlaps."""
    above: list[dict[str, Any]] = []
    for span in sorted(spans, key=lambda span: (span["ts"], -span["dur"])):
        while above and above[-1]["ts"] + above[-1]["dur"] <= span["ts"]:
            above.pop()
        if above:
            assert span["ts"] + span["dur"] <= above[-1]["ts"] + above[-1]["dur"], (span, above[-1])
        above.append(span)
