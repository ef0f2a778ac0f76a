"""Lock files: reading every version there ever was, and the one writer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w

from layerlock.errors import InvalidRecipe, Location, StaleLock
from layerlock.io.atomic import write_bytes
from layerlock.io.documents import parse_table, read_record, read_table
from layerlock.model.decode import DecodeError, decode
from layerlock.model.lock import VERSION, Lock, RecordedZip

HEADER = "# Written by `nox -s lock` and `nox -s record`; not for editing by hand.\n"


def read_lock(path: Path, layer: str) -> Lock:
    """Read a layer's lock.

    Raises:
        StaleLock: there is none.
        InvalidRecipe: it is not a lock, or one of a version from the future.
    """
    shown = f"lockfiles/{path.name}"
    if not path.is_file():
        raise StaleLock(f"the layer `{layer}` has no lock ({shown})", hint=f"run: nox -s lock -- {layer}")
    table = read_table(path, shown)
    _check_version(table, shown)
    return read_record(Lock, table, path, shown)


def read_zip(path: Path) -> RecordedZip | None:
    """Read what a lock records of the zip, and nothing else of it: that is fast. None where it records none.

    Raises:
        InvalidRecipe: the head of the lock is not that of one.
    """
    if not path.is_file():
        return None
    shown = f"lockfiles/{path.name}"
    head, _, _ = path.read_bytes().partition(b"\n[[sources]]")
    table = parse_table(head, shown)
    _check_version(table, shown)
    try:
        return decode(RecordedZip, table["zip"]) if "zip" in table else None
    except DecodeError as error:
        raise InvalidRecipe(
            error.problem, location=Location(file=shown, path=error.within("zip").path)
        ) from None


def parse_lock(text: bytes, shown: str) -> Lock:
    """Read a lock that is no file here, such as one out of a repository's history.

    Raises:
        InvalidRecipe: it is not a lock, or one of a version from the future.
    """
    table = parse_table(text, shown)
    _check_version(table, shown)
    try:
        return decode(Lock, table)
    except DecodeError as error:
        raise InvalidRecipe(error.problem, location=Location(file=shown, path=error.path)) from None


def dump_lock(lock: Lock) -> str:
    """Spell a lock: sources sorted by key, derivations in build order, absent values left out."""
    ordered = dataclasses.replace(lock, sources=tuple(sorted(lock.sources, key=lambda source: source.key)))
    return HEADER + tomli_w.dumps(_table(ordered))


def write_lock(path: Path, lock: Lock) -> None:
    """Write a lock in one step: a reader sees the old one or the new one."""
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, dump_lock(lock).encode())


def _check_version(table: Mapping[str, Any], shown: str) -> None:
    version = table.get("version")
    if isinstance(version, int) and version > VERSION:
        raise InvalidRecipe(
            f"the lock has version {version}; this layerlock reads up to {VERSION}",
            hint="use a newer layerlock",
            location=Location(file=shown, line=1),
        )


def _table(record: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if value is None or value == () or (isinstance(value, Mapping) and not value):
            continue
        made[field.name] = _value(value)
    return made


def _value(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return _table(value)
    if isinstance(value, tuple):
        return [_value(item) for item in value]
    if isinstance(value, Mapping):
        return {name: _value(value[name]) for name in sorted(value)}
    return value
