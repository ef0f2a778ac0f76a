"""Realisations as JSON files: what came of a build, by resolved and by planned hash."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from layerlock.errors import StoreError
from layerlock.model.derivation import Realisation
from layerlock.model.digest import unsri
from layerlock.store.sealed import decode, encode


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


def damaged(path: Path, problem: str) -> StoreError:
    """Make the error of an entry that is not what it was."""
    return StoreError(f"{path} is damaged: {problem}", hint="mend the store: layerlock verify --repair")
