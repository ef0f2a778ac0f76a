"""Files on their way into an archive: what needs them, how they are brought, and how a manifest lists them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from layerlock.build.workshop import FETCHES
from layerlock.io.together import together
from layerlock.model.lock import LockedFile
from layerlock.reproduce.archive import Archive
from layerlock.reproduce.manifest import ArchivedFile
from layerlock.workflows.driver import Driver


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """A file that the archive shall have: its pin, and what needs it."""

    pin: LockedFile
    needed_by: str


class Tally:
    """Counts what was written; threads share it, and each only appends."""

    def __init__(self) -> None:
        self.sizes: list[int] = []


def keep_files(driver: Driver, archive: Archive, needs: Iterable[Need], tally: Tally) -> None:
    """Bring files into the archive, several at once, each once."""
    pins = {need.pin.sha256: need.pin for need in needs}
    together([partial(keep_file, driver, archive, pin, tally) for pin in pins.values()], most=FETCHES)


def keep_file(driver: Driver, archive: Archive, pin: LockedFile, tally: Tally) -> None:
    """Bring a file into the archive, by way of the store, unless it is there undamaged."""

    def fill(place: Path) -> None:
        shutil.copyfile(driver.supplier.fetch(pin), place)

    if archive.add_file(pin.sha256, fill):
        tally.sizes.append(pin.size)


def listed(needs: Iterable[Need]) -> tuple[ArchivedFile, ...]:
    """Write files as a manifest lists them."""
    by_hash: dict[str, list[Need]] = {}
    for need in needs:
        by_hash.setdefault(need.pin.sha256, []).append(need)
    return tuple(
        ArchivedFile(
            sha256=sha256,
            size=same[0].pin.size,
            name=min(unquote(need.pin.urls[0].rpartition("/")[2]) for need in same),
            needed_by=tuple(sorted({need.needed_by for need in same})),
        )
        for sha256, same in sorted(by_hash.items())
    )


def merged_files(files: Iterable[ArchivedFile]) -> tuple[ArchivedFile, ...]:
    """Sort files, each once: a source package may hold the very file that a recipe builds from."""
    made: dict[str, ArchivedFile] = {}
    for file in files:
        earlier = made.get(file.sha256, file)
        users = {*file.needed_by, *earlier.needed_by}
        made[file.sha256] = replace(earlier, needed_by=tuple(sorted(users)))
    return tuple(made[sha256] for sha256 in sorted(made))
