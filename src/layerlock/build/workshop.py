"""What a build has at hand: the store, the sandbox, the repository's files, and where to report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Protocol

from layerlock.events import Listener
from layerlock.model.derivation import Needs
from layerlock.model.lock import LockedSource
from layerlock.sandbox.spec import Outcome, SandboxSpec
from layerlock.store.local import LocalStore

FETCHES = 8
"""Downloads at once: enough to hide latency, few enough to be polite."""


class Sandbox(Protocol):
    """A program that runs a specification and says how it ended."""

    def run(self, spec: SandboxSpec, *, log: Path, on_line: Callable[[str], None], cancel: Event) -> Outcome:
        """Run it to its end, or until `cancel` is set; nothing of it is left running."""

    def prepare(self) -> object:
        """Have everything at hand that a run needs of this host and the network."""

    def shell(self, spec: SandboxSpec) -> int:
        """Run it with the terminal attached, and give its exit status."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """The collaborators of every build.

    `repository` is the folder that recipes' files (patches, data, smoke tests) are read from, `guest` the folder
    of guest code. `jobs` is how many processes a build may run at once, and `memory` the bytes that there are for
    builds; their bytes depend on neither.
    """

    store: LocalStore
    sandbox: Sandbox
    repository: Path
    guest: Path
    jobs: int
    memory: int
    emit: Listener
    keep_failed: bool = False
    cancel: Event = field(default_factory=Event)


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What the machine gives to builds: how many at once, and bytes of memory for all of them."""

    builds: int
    memory: int


def jobs_of(needs: Needs, jobs: int, memory: int) -> int:
    """Give how many processes a build runs at once: as many as its own memory, and the machine's, have room for.

    `jobs` is the most, `memory` the machine's bytes. A recipe that does not say what a process takes gets them all.
    """
    if not needs.memory_per_job:
        return jobs
    return max(1, min(jobs, min(needs.memory, memory) // needs.memory_per_job))


@dataclass(frozen=True, kw_only=True, slots=True)
class Supply:
    """How sources come: `missing` says which of some pins are not in the store, `fetch` brings one."""

    pins: Mapping[str, LockedSource]
    missing: Callable[[LockedSource], bool]
    fetch: Callable[[LockedSource], Path]
