"""Realisations as JSON files: what came of a build, by resolved and by planned hash."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from layerlock.errors import StoreError
from layerlock.model.derivation import Realisation
from layerlock.model.digest import unsri

CHECK: Final = "check"
"""The field that holds the sha256 of the others: a record says what its name does not tell."""


def encode_realisation(realisation: Realisation) -> bytes:
    """Give the JSON of a realisation, with its checksum."""
    return encode(asdict(realisation))


def read_realisation(path: Path) -> Realisation | None:
    """Read the realisation at `path`, None where there is none. Raises StoreError where it is damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = Realisation(**decode(data))
        if path.stem not in (found.resolved, found.planned):
            raise ValueError("it tells of another build")
        if type(found.size) is not int:
            raise ValueError("its size is no number")
        unsri(found.output)
    except (ValueError, TypeError, AttributeError) as error:
        raise damaged(path, str(error)) from error
    return found


def encode(fields: dict[str, Any]) -> bytes:
    """Give the JSON of a record's fields, sorted, with their checksum."""
    return (json.dumps({**fields, CHECK: _check(fields)}, indent=1, sort_keys=True) + "\n").encode()


def decode(data: bytes) -> dict[str, Any]:
    """Read what `encode` wrote; records of before there were checksums have none. Raises ValueError, TypeError."""
    fields: dict[str, Any] = dict(json.loads(data))
    if CHECK in fields and fields.pop(CHECK) != _check(fields):
        raise ValueError("its contents do not match its checksum")
    return fields


def damaged(path: Path, problem: str) -> StoreError:
    """Make the error of an entry that is not what it was."""
    return StoreError(f"{path} is damaged: {problem}", hint="mend the store: layerlock verify --repair")


def _check(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
