"""What a wheel says that it needs: read beside it where the index has that, else out of the wheel itself."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.metadata import parse_email
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, canonicalize_name
from packaging.version import InvalidVersion, Version

from layerlock.errors import FetchError, HashMismatch, UnsafeArchive
from layerlock.events import Listener
from layerlock.io.atomic import write_bytes
from layerlock.io.http import AllFailed
from layerlock.model.ports import SourceStore
from layerlock.sources.fetch import Reach, bring
from layerlock.sources.offers import Wheel

_LARGEST: Final = 4 << 20
"""Bytes of metadata that are read; the largest of the common projects have some hundred kilobytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Metadata:
    """What decides about a wheel's fitting in. `wrong` says why it cannot be used; empty where it can."""

    requires: tuple[Requirement, ...] = ()
    python: str | None = None
    extras: frozenset[str] = frozenset()
    wrong: str = ""


def metadata(wheel: Wheel, store: SourceStore, reach: Reach, emit: Listener) -> Metadata:
    """Give what a wheel needs, by the index if it says so, else by the wheel, which is fetched.

    Raises:
        FetchError, HashMismatch: neither can be had as the index states it.
    """
    held = store.file(wheel.sha256)
    if held is None and (data := _beside(wheel, store, reach)) is not None:
        return read_metadata(data, wheel)
    return read_metadata(_inside(held or fetch_wheel(wheel, store, reach, emit), wheel), wheel)


def fetch_wheel(wheel: Wheel, store: SourceStore, reach: Reach, emit: Listener) -> Path:
    """Bring a wheel into the store.

    Raises:
        FetchError: no index gives it.
        HashMismatch: its bytes are not those that the index states.
    """
    name = f"{wheel.project} {wheel.version}"
    return bring(name, (wheel.file,), wheel.sha256, wheel.filename, store=store, reach=reach, emit=emit)


def check_against_wheel(wheel: Wheel, known: Metadata, path: Path) -> None:
    """Hold what was resolved with against what the wheel itself says.

    Raises:
        HashMismatch: the index has other metadata than the wheel.
    """
    own = read_metadata(_inside(path, wheel), wheel)
    if own != known:
        raise HashMismatch(
            f"the metadata that the index gives of {wheel.file} is not the wheel's own",
            hint="do not use this index until it is known why",
        )


def read_metadata(data: bytes, wheel: Wheel) -> Metadata:
    """Read a `METADATA` file."""
    raw, _ = parse_email(data)
    try:
        theirs = (canonicalize_name(raw.get("name", ""), validate=True), Version(raw.get("version", "")))
    except (InvalidName, InvalidVersion):
        return Metadata(wrong="its metadata has no valid name and version")
    if theirs != (wheel.project, wheel.version):
        return Metadata(wrong=f"its metadata is that of {theirs[0]} {theirs[1]}")
    requires = []
    for text in raw.get("requires_dist", ()):
        try:
            requires.append(Requirement(text))
        except InvalidRequirement:
            return Metadata(wrong=f"its requirement `{text}` cannot be read")
    return Metadata(
        requires=tuple(requires),
        python=raw.get("requires_python"),
        extras=frozenset(canonicalize_name(extra) for extra in raw.get("provides_extra", ())),
    )


def _beside(wheel: Wheel, store: SourceStore, reach: Reach) -> bytes | None:
    found = reach.origins.metadata(wheel.project, wheel.filename)
    if found is None:
        return None
    address, sha256 = found

    def read() -> bytes:
        if address.file is not None:
            return address.file.read_bytes()
        try:
            return reach.fetcher.read(address.url, limit=_LARGEST)
        except AllFailed as error:
            reasons = "; ".join(dict.fromkeys(reason for _, reason in error.reasons))
            raise FetchError(f"{address.shown}: {reasons}") from None

    try:
        if sha256 is None:
            return read()
        return store.add_file(
            sha256, f"{wheel.filename}.metadata", lambda into: write_bytes(into, read())
        ).read_bytes()
    except (FetchError, FileNotFoundError):
        # The wheel has it too.
        return None


def _inside(path: Path, wheel: Wheel) -> bytes:
    """Read the metadata out of a wheel.

    Raises:
        UnsafeArchive: it is not where the specification of wheels has it, or too large.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                info
                for info in archive.infolist()
                if info.filename.endswith(".dist-info/METADATA") and info.filename.count("/") == 1
            ]
            if len(names) == 1 and names[0].file_size <= _LARGEST:
                with archive.open(names[0]) as file:
                    return file.read(_LARGEST)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error):
        raise UnsafeArchive(f"{wheel.file} is no wheel: its archive cannot be read") from None
    raise UnsafeArchive(f"{wheel.file} is no wheel: it has not one METADATA file of a bearable size")
