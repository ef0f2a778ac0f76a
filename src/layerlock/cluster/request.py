"""What a submitter asks of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from layerlock.cache.keys import Trust
from layerlock.cluster.compose import Materials
from layerlock.events import Listener
from layerlock.model.times import Took
from layerlock.plan.resolve import Plan


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A plan to be realised by others.

    `targets` are what is wanted of it, `recorded` the lock's outputs by name, `seen` says which marks of workers are
    in one of our caches, `log` gives the place of a build's log here, `note` keeps what a build took.
    """

    materials: Materials
    targets: tuple[str, ...]
    recorded: Mapping[str, str]
    trust: Trust
    seen: Callable[[Collection[str]], Collection[str]]
    log: Callable[[str], Path]
    note: Callable[[Took], None]
    emit: Listener

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.materials.plan
