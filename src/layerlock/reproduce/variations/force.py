"""Whether variations of a process really were in force, by what the process saw itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from layerlock.reproduce.variations.launch import ADDR_NO_RANDOMIZE, UNAME26, Launch

Seen = Mapping[str, Any]


def absent(names: frozenset[str], changes: Launch, seen: Seen, own_user: int) -> dict[str, str]:
    """Give the variations that should have been in force and were not, with what was seen in their place.

    Those of the sandbox alone, and those that are made by preloading, are not looked at here.
    """
    found = {}
    for name, (key, holds) in _LOOKS.items():
        if name in names and not holds(changes, seen, own_user):
            found[name] = f"the driver saw {key} {seen[key]!r}"
    return found


def _variables(changes: Launch, seen: Seen, names: tuple[str, ...]) -> bool:
    told: Mapping[str, str] = seen["variables"]
    return all(changes.environment[name] == told[name] for name in names)


_LOOKS: dict[str, tuple[str, Callable[[Launch, Seen, int], bool]]] = {
    "jobs": ("jobs", lambda changes, seen, _: bool(seen["jobs"] == changes.jobs)),
    "affinity": ("affinity", lambda changes, seen, _: bool(seen["affinity"] == [*(changes.affinity or ())])),
    "kernel": (
        "kernel",
        lambda _, seen, __: bool(seen["personality"] & UNAME26) and str(seen["kernel"]).startswith("2.6."),
    ),
    "address-space": ("personality", lambda _, seen, __: bool(seen["personality"] & ADDR_NO_RANDOMIZE)),
    "host-name": ("host_name", lambda changes, seen, _: bool(seen["host_name"] == changes.host_name)),
    "user": (
        "uid",
        lambda changes, seen, own: (
            seen["uid"] == seen["store_owner"] == changes.uid != own and seen["gid"] == changes.gid
        ),
    ),
    "umask": ("umask", lambda changes, seen, _: bool(seen["umask"] == changes.umask)),
    "time-zone": ("variables", lambda changes, seen, _: _variables(changes, seen, ("TZ",))),
    "locale": ("variables", lambda changes, seen, _: _variables(changes, seen, ("LC_ALL", "LANGUAGE"))),
    "store-folder": ("store", lambda changes, seen, _: str(seen["store"]).endswith(f"/{changes.store}")),
    "home": ("variables", lambda changes, seen, _: _variables(changes, seen, ("HOME",))),
    "environment": (
        "variables",
        lambda changes, seen, _: _variables(changes, seen, ("LAYERLOCK_VARIED", "SOURCE_DATE_EPOCH")),
    ),
    "python": ("python", lambda _, seen, __: bool(seen["python"][0] != os.path.realpath(sys.executable))),
}
