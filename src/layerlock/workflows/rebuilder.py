"""Running rebuilds under variations: one store of their own, moved and given away as the variations ask for it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from layerlock.errors import LayerlockError
from layerlock.events import CheckStarted
from layerlock.io.atomic import remove_tree
from layerlock.model.derivation import Derivation, GuestRun, Realisation
from layerlock.reproduce.child import ChildFailed, start
from layerlock.reproduce.judging import Came
from layerlock.reproduce.orders import Answer, Orders, Rebuilt, Wanted, decode_answer, encode_orders
from layerlock.reproduce.seeding import give
from layerlock.reproduce.variations import launch as launches
from layerlock.reproduce.variations.catalogue import ordered
from layerlock.reproduce.variations.emulator import Emulator, pinned, take_out
from layerlock.reproduce.variations.force import absent
from layerlock.reproduce.variations.host import OTHER_USER, Host
from layerlock.reproduce.variations.machine import kernel_files, processor_files
from layerlock.reproduce.variations.preload import INTO_DRIVER, PRELOADS, compile_library
from layerlock.reproduce.variations.varied import LIBRARY
from layerlock.store.local import LocalStore
from layerlock.workflows.driver import Driver
from layerlock.workflows.planning import deb_pin

_NOT_PRELOADED = "the driver does this work itself, and nothing was preloaded into it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A derivation that is rebuilt: with these realisations as inputs."""

    derivation: Derivation
    planned: str
    inputs: Mapping[str, Realisation]


@dataclass(kw_only=True)
class Rebuilder:
    """Rebuilds tasks under variations, each run in a process of its own; the store has to be seeded.

    `folder` is the folder of the check, `arguments` what the command is started with beside its own options.
    """

    driver: Driver
    target: str
    tasks: Mapping[str, Task]
    host: Host
    folder: Path
    variables: Mapping[str, str]
    arguments: tuple[str, ...] = ()
    since: int = field(default_factory=lambda: int(time.time()))
    _store: Path | None = None
    _owner: int | None = None
    _emulator: Emulator | None = None
    _libraries: dict[tuple[str, frozenset[str]], tuple[Path | None, str]] = field(default_factory=dict)

    @property
    def store(self) -> LocalStore:
        """The store of the rebuilds, where it stands now."""
        return LocalStore(self._store or self.folder / "store")

    def run(self, variations: tuple[str, ...], names: tuple[str, ...]) -> dict[str, Came]:
        """Rebuild derivations under variations.

        A variation that is not in force for a derivation is told beside what came of it.
        """
        wanted = frozenset(variations)
        self.driver.emit(CheckStarted(name=self.target, derivations=names, variations=variations))
        libraries = {name: self._library(name, wanted) for name in names}
        changes = launches.launch(wanted, self._choices(wanted, libraries))
        self._move(self.folder / changes.store)
        self._give(OTHER_USER if changes.uid is not None else os.geteuid())
        _open_folder(self.folder / launches.HOME_FOLDER)
        orders = self.folder / "orders.json"
        orders.write_bytes(encode_orders(self._orders(wanted, names, libraries)))
        orders.chmod(0o644)
        try:
            told = start(
                changes, self._command(changes, orders), self.variables, self.folder, self.driver.emit
            )
            answer = decode_answer(told)
        except ChildFailed as error:
            failed = {name: Rebuilt(name=name, reason=error.message) for name in names}
            return {name: Came(rebuilt=failed[name], missing={}) for name in names}
        missing = absent(wanted, changes, answer.seen, os.getuid())
        return self._sorted(answer, wanted, missing, libraries)

    def _sorted(
        self,
        answer: Answer,
        wanted: frozenset[str],
        missing: Mapping[str, str],
        libraries: Mapping[str, tuple[Path | None, str]],
    ) -> dict[str, Came]:
        came = {}
        for rebuilt in answer.rebuilt:
            library, why = libraries[rebuilt.name]
            lacking = dict(missing)
            if why and library is None:
                lacking |= dict.fromkeys(ordered(wanted & PRELOADS), why)
            own_work = not isinstance(self.tasks[rebuilt.name].derivation.action, GuestRun)
            if own_work and not answer.seen["preloaded"]:
                lacking |= dict.fromkeys(ordered(wanted & INTO_DRIVER), _NOT_PRELOADED)
            came[rebuilt.name] = Came(rebuilt=rebuilt, missing=lacking)
        return came

    def _choices(
        self, wanted: frozenset[str], libraries: Mapping[str, tuple[Path | None, str]]
    ) -> launches.Choices:
        # The driver gets one of the libraries too. Where the host's C library is too old for it, the loader says so
        # on standard error and goes on; builds are what counts.
        made = [library for library, _ in libraries.values() if library is not None]
        return launches.Choices(
            folder=self.folder,
            processor=max(os.sched_getaffinity(0)),
            user=OTHER_USER,
            jobs=self.driver.jobs,
            python=self.host.python,
            user_python=self.host.user_python,
            user_other_python=self.host.user_other_python,
            preload=made[0] if made and wanted & INTO_DRIVER else None,
        )

    def _library(self, name: str, wanted: frozenset[str]) -> tuple[Path | None, str]:
        """Give the library to preload into a derivation's build, compiled once for each root."""
        task = self.tasks[name]
        action = task.derivation.action
        asked = wanted & PRELOADS
        if not asked or not isinstance(action, GuestRun):
            return None, ""
        root = task.inputs[action.root].output
        key = (root, asked)
        if key not in self._libraries:
            try:
                emulator = self._emulated() if "instructions" in asked else None
            except LayerlockError as error:
                self._libraries[key] = None, f"the emulator cannot be had: {error.message}"
                return self._libraries[key]
            folder = self.folder / f"preload-{len(self._libraries)}"
            _open_folder(folder)
            tree, sandbox = self.driver.store.held_tree(root), self.driver.sandbox
            self._libraries[key] = compile_library(tree, action, asked, self.since, sandbox, folder, emulator)
        return self._libraries[key]

    def _emulated(self) -> Emulator | None:
        """Give the emulator, fetched when it is first asked for; None where none is pinned for this machine."""
        pin = pinned(self.host.machine)
        if self._emulator is None and pin is not None:
            package = self.driver.supplier.fetch(deb_pin("emulator", pin.deb))
            self._emulator = take_out(pin, package, self.folder / "emulator")
        return self._emulator

    def _orders(
        self,
        wanted: frozenset[str],
        names: tuple[str, ...],
        libraries: Mapping[str, tuple[Path | None, str]],
    ) -> Orders:
        files: dict[str, str] = {}
        if "processor" in wanted:
            files |= processor_files(self.host.machine)
        if "kernel" in wanted:
            files |= kernel_files()
        roots = {}
        for name in names:
            action, (library, _) = self.tasks[name].derivation.action, libraries[name]
            if library is not None and isinstance(action, GuestRun):
                roots[self.tasks[name].inputs[action.root].output] = str(library)
        return Orders(
            target=self.target,
            wanted=tuple(
                Wanted(name=name, planned=self.tasks[name].planned, inputs=self.tasks[name].inputs)
                for name in names
            ),
            files={
                path: str(self._shown(path.strip("/").replace("/", "-"), text))
                for path, text in files.items()
            },
            libraries=roots,
            listed=str(self._shown("ld.so.preload", f"{LIBRARY}\n")),
            emulator=str(self._emulator.program)
            if self._emulator is not None and "instructions" in wanted
            else "",
        )

    def _shown(self, name: str, text: str) -> Path:
        path = self.folder / f"shown-{name}"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o444)
        return path

    def _command(self, changes: launches.Launch, orders: Path) -> list[str]:
        places = ["--repo", str(self.driver.repository.root.absolute()), "--store", str(self._store)]
        building = ["--jobs", str(changes.jobs), "--offline", *self.arguments]
        return ["--json", *places, "rebuild", str(orders), *building]

    def _move(self, place: Path) -> None:
        here = self._store or self.folder / "store"
        if here != place:
            for folder in reversed(place.relative_to(self.folder).parents[:-1]):
                _open_folder(self.folder / folder)
            here.rename(place)
        self._store = place

    def _give(self, user: int) -> None:
        """Make the store a user's own; with a group of the same number, or the driver's own for the driver's user."""
        owner = os.geteuid() if self._owner is None else self._owner
        if self._store is not None and owner != user:
            give(self._store, user, OTHER_USER if user == OTHER_USER else os.getegid())
        self._owner = user

    def take_back(self) -> None:
        """Make everything the driver's own again, so that it can be removed."""
        if self._store is not None:
            self._give(os.geteuid())
            remove_tree(self._store)


def _open_folder(place: Path) -> None:
    """Make a folder that every user can go through, whatever the umask is."""
    place.mkdir(exist_ok=True)
    place.chmod(0o755)
