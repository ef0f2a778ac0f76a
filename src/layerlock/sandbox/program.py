"""Finding the program that makes sandboxes: bubblewrap pinned in the driver's own data, else the host's."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from layerlock.errors import LayerlockError, SandboxUnavailable
from layerlock.io.documents import read_record, read_table
from layerlock.model.recipe import Deb

Provide = Callable[[tuple[Deb, ...]], Path]
"""Gives a folder into which all the packages are unpacked, one over the other."""

DATA = Path(__file__).parent.parent / "data" / "bubblewrap.toml"
OLDEST = (0, 8)
HOST_FOLDERS = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """The pinned program for one machine; paths lead into the unpacked packages.

    `shell` and the packages that it takes besides are for containers, where it starts the program.
    """

    machine: str
    loader: str
    libraries: tuple[str, ...]
    program: str
    debs: tuple[Deb, ...]
    shell: str
    shell_debs: tuple[Deb, ...]

    def started(self, program: str, folder: Path) -> tuple[str, ...]:
        """Give the command that starts a program of the packages, unpacked into `folder`, by their own loader."""
        libraries = ":".join(str(folder / place) for place in self.libraries)
        return (str(folder / self.loader), "--library-path", libraries, str(folder / program))


@dataclass(frozen=True, kw_only=True, slots=True)
class Pins:
    """The data file as a whole."""

    programs: tuple[Pin, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """How bubblewrap is started: `command` begins with an absolute path; `origin` is pinned or host."""

    command: tuple[str, ...]
    origin: str


def pinned(machine: str, data: Path = DATA) -> Pin | None:
    """Give the pin for a machine as `uname -m` calls it, or None.

    Raises:
        InvalidRecipe: the data file does not follow its format.
    """
    pins = read_record(Pins, read_table(data, data.name), data, data.name)
    return next((pin for pin in pins.programs if pin.machine == machine), None)


def unpacked(pin: Pin, folder: Path) -> Program:
    """Give the program out of its unpacked packages, started by its own loader with its own libraries."""
    return Program(command=pin.started(pin.program, folder), origin="pinned")


def hosts_own(folders: str = HOST_FOLDERS) -> Program:
    """Give the host's bubblewrap.

    Raises:
        SandboxUnavailable: there is none, or it is too old.
    """
    oldest = ".".join(map(str, OLDEST))
    found = shutil.which("bwrap", path=folders)
    if found is None:
        raise SandboxUnavailable("the host has no bubblewrap", hint=f"install bubblewrap {oldest} or later")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    version = re.search(r"(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < OLDEST:
        raise SandboxUnavailable(
            f"the host's bubblewrap ({found}) is too old: {said or 'it does not tell its version'}",
            hint=f"install bubblewrap {oldest} or later",
        )
    return Program(command=(found,), origin="host")


def find(
    provide: Provide | None,
    probe: Callable[[Program], None],
    *,
    folders: str = HOST_FOLDERS,
    machine: str = "",
) -> Program:
    """Give the first program that `probe` lets pass: the pinned one (if `provide` is given), then the host's.

    Raises:
        SandboxUnavailable: neither works; the message has the reason of each.
    """
    machine = machine or platform.machine()
    refusals: list[tuple[str, LayerlockError]] = []
    pin = pinned(machine) if provide else None
    if provide is not None and pin is not None:
        try:
            program = unpacked(pin, provide(pin.debs))
            probe(program)
        except LayerlockError as error:
            refusals.append(("pinned bubblewrap", error))
        else:
            return program
    try:
        program = hosts_own(folders)
        probe(program)
    except SandboxUnavailable as error:
        refusals.append(("host's bubblewrap", error))
        raise _refused(refusals) from error
    return program


def _refused(refusals: Sequence[tuple[str, LayerlockError]]) -> SandboxUnavailable:
    reasons = "; ".join(f"{which}: {error.message}" for which, error in refusals)
    # The pinned program's trouble is the host's as well, unless it could not be had at all.
    return SandboxUnavailable(f"no sandbox works here ({reasons})", hint=refusals[0][1].hint)
