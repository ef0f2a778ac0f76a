"""Events and orders on their way between machines: events as plain values for Dask's log, orders as bytes."""

from __future__ import annotations

import dataclasses
import io
import pickle
import types
from collections.abc import Mapping
from typing import Any

from layerlock import events
from layerlock.events import Event

_KINDS: Mapping[str, type[Event]] = {
    name: kind
    for name, kind in vars(events).items()
    if isinstance(kind, type) and issubclass(kind, Event) and kind is not Event
}


def encode_event(event: Event) -> dict[str, Any]:
    """Give an event as plain values."""
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    return {"event": type(event).__name__, **fields}


def decode_event(message: Mapping[str, Any]) -> Event | None:
    """Give the event that a message tells of; None where it is none. What a worker sends is not trusted to be one."""
    kind = _KINDS.get(str(message.get("event")))
    if kind is None:
        return None
    # Dask adds who told it, and gives lists for tuples.
    known = {field.name for field in dataclasses.fields(kind)}
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in message.items()
        if key in known
    }
    try:
        return kind(**fields)
    except TypeError:
        return None


class _Pickler(pickle.Pickler):
    """Pickles plans too, in which mappings cannot be changed, and therefore not be pickled either."""

    dispatch_table = {types.MappingProxyType: lambda proxy: (dict, (dict(proxy),))}  # noqa: RUF012 - as pickle has it


def pack(record: object) -> bytes:
    """Write an order for a worker. Pickle is what Dask itself sends functions with: TLS says who may."""
    data = io.BytesIO()
    _Pickler(data, protocol=5).dump(record)
    return data.getvalue()


def unpack(data: bytes) -> Any:
    """Read what `pack` wrote, for the same version of the driver."""
    return pickle.loads(data)  # noqa: S301 - see `pack`
