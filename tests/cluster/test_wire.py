"""Events and orders survive the way from machine to machine."""

from __future__ import annotations

import types
from typing import Any

import pytest

from layerlock.cluster.wire import decode_event, encode_event, pack, unpack
from layerlock.events import BuildFinished, BuildLine, Event, PlanMade
from layerlock.model.derivation import Derivation, Transform

EVENTS = (
    BuildLine(name="a", line="über \udcff"),
    PlanMade(name="a", derivations=("a", "b"), to_build=("b",), to_fetch=1, fetch_bytes=2),
    BuildFinished(
        name="a",
        planned="p",
        resolved="r",
        output="o",
        size=1,
        seconds=0.5,
        command_seconds=0.1,
        peak_memory=3,
    ),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_events_come_back(event: Event) -> None:
    message = encode_event(event)
    # As Dask passes it on: lists for tuples, and who told it.
    message = {key: list(value) if isinstance(value, tuple) else value for key, value in message.items()}
    assert decode_event({**message, "worker": "tls://10.0.0.1:1"}) == event


@pytest.mark.parametrize(
    "message",
    [{}, {"event": "Event"}, {"event": "Listener"}, {"event": "BuildLine"}, {"event": 3, "name": "a"}],
)
def test_other_messages_are_no_events(message: dict[str, Any]) -> None:
    assert decode_event(message) is None


def test_a_derivation_keeps_its_hash() -> None:
    parameters = types.MappingProxyType({"links": types.MappingProxyType({"a": "b"})})
    derivation = Derivation(
        name="a", version="1", system="x86_64-linux", action=Transform(name="t/1", parameters=parameters)
    )
    found = unpack(pack(derivation))
    assert found == derivation
    assert found.hash({}) == derivation.hash({})
