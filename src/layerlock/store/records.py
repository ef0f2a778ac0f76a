"""Realisations as JSON files: what came of a build, by resolved and by planned hash."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from layerlock.errors import StoreError
from layerlock.model.derivation import Realisation
from layerlock.model.digest import unsri


def encode_realisation(realisation: Realisation) -> bytes:
    """Give the JSON of a realisation."""
    return (json.dumps(asdict(realisation), indent=1, sort_keys=True) + "\n").encode()


def read_realisation(path: Path) -> Realisation | None:
    """Read the realisation at `path`, None where there is none. Raises StoreError where it is damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        found = Realisation(**json.loads(data))
        if path.stem not in (found.resolved, found.planned):
            raise ValueError("it tells of another build")
        if type(found.size) is not int:
            raise ValueError("its size is no number")
        unsri(found.output)
    except (ValueError, TypeError, AttributeError) as error:
        hint = "remove it: what it tells of is built again"
        raise StoreError(f"{path} is damaged: {error}", hint=hint) from error
    return found
