"""What a build has at hand: the store, the sandbox, the repository's files, and where to report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Protocol

from layerlock.events import Listener
from layerlock.sandbox.spec import Outcome, SandboxSpec
from layerlock.store.local import LocalStore


class Sandbox(Protocol):
    """A program that runs a specification and says how it ended."""

    def run(
        self, spec: SandboxSpec, *, log: Path, on_line: Callable[[str], None], cancel: Event
    ) -> Outcome:
        """Run it to its end, or until `cancel` is set; nothing of it is left running."""

    def shell(self, spec: SandboxSpec) -> int:
        """Run it with the terminal attached, and give its exit status."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workshop:
    """The collaborators of every build.

    `repository` is the folder that recipes' files (patches, data, smoke tests) are read from, `guest` the folder
    of guest code. `jobs` is how many processes a build may run at once; its bytes do not depend on it.
    """

    store: LocalStore
    sandbox: Sandbox
    repository: Path
    guest: Path
    jobs: int
    emit: Listener
    keep_failed: bool = False
    cancel: Event = field(default_factory=Event)
