"""What every verb works with, constructed once by the command line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, Protocol, TypeVar

import layerlock
from layerlock.build.workshop import Capacity, Sandbox, Workshop
from layerlock.errors import SandboxUnavailable
from layerlock.events import Listener
from layerlock.io.repository import Repository
from layerlock.model.derivation import Realisation
from layerlock.model.lock import LockedSource, SignedIndex
from layerlock.model.recipe import Deb, EnvironmentRecipe, PackageRecipe, PinnedImage, Source
from layerlock.model.recipes import GuestCode
from layerlock.model.requirements import PinnedWheel, Resolved
from layerlock.plan import guestcode
from layerlock.plan.requirements import Asked
from layerlock.plan.resolve import Plan
from layerlock.sandbox.spec import Outcome, SandboxSpec
from layerlock.store.local import LocalStore

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from layerlock.cluster.dask import Client
    from layerlock.sandbox.engine.station import Station
    from layerlock.sandbox.program import Program
    from layerlock.sources.debian_sources import SourcePackage
    from layerlock.workflows.caches import Substitutes

T = TypeVar("T")

GUEST = Path(layerlock.__file__).parent / "guest"
"""The driver's own guest code."""


class Supplier(Protocol):
    """Where sources come from."""

    def missing(self, pin: LockedSource) -> bool:
        """Say whether the store lacks a pinned source."""

    def fetch(self, pin: LockedSource) -> Path:
        """Bring a pinned source into the store, or find it there."""

    def pin(
        self, recipe: PackageRecipe, source: Source, previous: LockedSource | None, *, upgrade: bool
    ) -> LockedSource:
        """Pin a package's source; a previous pin that still fits is kept."""

    def folder_hash(self, folder: Path) -> str | None:
        """Hash a folder of the repository as a source of kind `path`; None where there is none."""

    def vouch(self, environment: EnvironmentRecipe, debs: tuple[Deb, ...]) -> SignedIndex:
        """Hold Debian packages against the archive's signed index."""

    def source_packages(
        self, environment: EnvironmentRecipe, wanted: Collection[tuple[str, str]]
    ) -> tuple[SourcePackage, ...]:
        """Find Debian's source packages, by name and version, in the signed index of sources."""

    def closure(self, environment: EnvironmentRecipe, place: Path) -> None:
        """Pin an environment's packages anew, and write them to `place`."""

    def image(self, environment: EnvironmentRecipe, place: Path) -> None:
        """Pin an environment's image anew, and write the pins to `place`."""

    def wheels(
        self,
        recipe: PackageRecipe,
        asked: Asked,
        kept: tuple[PinnedWheel, ...],
        pylock: tuple[Path, str] | None,
    ) -> Resolved:
        """Find the wheels that a package asks for, or take those of a `pylock.toml`: its place, and what to call it."""

    def confirm_image(self, environment: EnvironmentRecipe, pinned: PinnedImage) -> None:
        """Hold pins of an image against the registry."""


class Realiser(Protocol):
    """Who realises plans instead of this machine; see `workflows.clustering.Cluster`."""

    def realise(
        self,
        driver: Driver,
        plan: Plan,
        targets: tuple[str, ...],
        pins: Mapping[str, LockedSource],
        recorded: Mapping[str, str],
    ) -> Mapping[str, Realisation]:
        """Have targets realised, and bring their outputs into the store."""

    def client(self) -> AbstractContextManager[Client]:
        """Lend a client of the scheduler."""


class Bubblewrap:
    """The sandbox of bubblewrap, looked for when the first build needs it: with nothing to do it is not needed."""

    def __init__(self, find: Callable[[], Program]) -> None:
        self._found = _once(find)

    def run(self, spec: SandboxSpec, *, log: Path, on_line: Callable[[str], None], cancel: Event) -> Outcome:
        """Run a specification; see `sandbox.run.run`."""
        from layerlock.sandbox.run import run  # noqa: PLC0415 - not needed where nothing is built

        return run(spec, program=self._found(), log=log, on_line=on_line, cancel=cancel)

    def prepare(self) -> object:
        """Find the program, or fetch it."""
        return self._found()

    def shell(self, spec: SandboxSpec) -> int:
        """Run a specification with the terminal attached; see `sandbox.run.shell`."""
        from layerlock.sandbox.run import shell  # noqa: PLC0415 - as above

        return shell(spec, program=self._found())


class Docker:
    """The sandbox inside containers of a docker engine, which is spoken to when the first build needs it."""

    def __init__(self, find: Callable[[], Station]) -> None:
        self._found = _once(find)

    def run(self, spec: SandboxSpec, *, log: Path, on_line: Callable[[str], None], cancel: Event) -> Outcome:
        """Run a specification; see `sandbox.engine.run.run`."""
        from layerlock.sandbox.engine.run import run  # noqa: PLC0415 - as above

        return run(spec, station=self._found(), log=log, on_line=on_line, cancel=cancel)

    def prepare(self) -> object:
        """Make the engine ready, and fetch what it takes."""
        return self._found()

    def shell(self, spec: SandboxSpec) -> int:
        """Run a specification with the terminal attached; see `sandbox.engine.shell.shell`."""
        from layerlock.sandbox.engine.shell import shell  # noqa: PLC0415 - as above

        return shell(spec, station=self._found())


class FirstThatWorks:
    """Two sandboxes in the order of preference; which one it is shows when the first build needs it."""

    def __init__(self, first: Sandbox, second: Sandbox) -> None:
        self._choose = _once(lambda: _chosen(first, second))

    def run(self, spec: SandboxSpec, *, log: Path, on_line: Callable[[str], None], cancel: Event) -> Outcome:
        """Run a specification in the one that works."""
        return self._choose().run(spec, log=log, on_line=on_line, cancel=cancel)

    def prepare(self) -> object:
        """Find out which one works."""
        return self._choose()

    def shell(self, spec: SandboxSpec) -> int:
        """Run a specification with the terminal attached in the one that works."""
        return self._choose().shell(spec)


def _chosen(first: Sandbox, second: Sandbox) -> Sandbox:
    try:
        first.prepare()
    except SandboxUnavailable as error:
        try:
            second.prepare()
        except SandboxUnavailable as other:
            raise SandboxUnavailable(f"{error.message}; {other.message}", hint=error.hint) from other
        return second
    return first


def _once(find: Callable[[], T]) -> Callable[[], T]:
    """Make a search of which the first success counts for good, whichever thread asks."""
    found: list[T] = []
    finding = Lock()

    def ask() -> T:
        with finding:
            if not found:
                found.append(find())
            return found[0]

    return ask


@dataclass(frozen=True, kw_only=True, slots=True)
class Driver:
    """The repository, the store, and everything that a verb may be told on the command line.

    `guest` is the folder of the guest code that builds run: the driver's own, or that of a past revision.
    `substitutes` are the caches that outputs are looked for in before they are built. `cluster` is who builds instead
    of this machine.
    """

    repository: Repository
    store: LocalStore
    supplier: Supplier
    sandbox: Sandbox
    emit: Listener
    jobs: int
    memory: int
    guest: Path = GUEST
    keep_failed: bool = False
    cancel: Event = field(default_factory=Event)
    substitutes: Substitutes | None = None
    cluster: Realiser | None = None

    @property
    def workshop(self) -> Workshop:
        """The collaborators of builds."""
        return Workshop(
            store=self.store,
            sandbox=self.sandbox,
            repository=self.repository.root,
            guest=self.guest,
            jobs=self.jobs,
            memory=self.memory,
            emit=self.emit,
            keep_failed=self.keep_failed,
            cancel=self.cancel,
        )

    @property
    def capacity(self) -> Capacity:
        """What the machine gives to builds."""
        return Capacity(builds=self.jobs, memory=self.memory)

    @property
    def guest_code(self) -> GuestCode:
        """What guest scripts use, by content: it is hashed into the derivations that run them."""
        return _guest_code(self.guest)


@cache
def _guest_code(folder: Path) -> GuestCode:
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.py"))}
    return guestcode.guest_code(files) if folder == GUEST else guestcode.past_guest_code(files)
