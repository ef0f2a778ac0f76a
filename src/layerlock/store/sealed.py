"""JSON that holds a checksum of itself: a record says what its name does not tell."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

CHECK: Final = "check"
"""The field that holds the sha256 of the others."""


def encode(fields: dict[str, Any]) -> bytes:
    """Give the JSON of a record's fields, sorted, with their checksum."""
    return (json.dumps({**fields, CHECK: _check(fields)}, indent=1, sort_keys=True) + "\n").encode()


def decode(data: bytes) -> dict[str, Any]:
    """Read what `encode` wrote; records of before there were checksums have none. Raises ValueError, TypeError."""
    fields: dict[str, Any] = dict(json.loads(data))
    if CHECK in fields and fields.pop(CHECK) != _check(fields):
        raise ValueError("its contents do not match its checksum")
    return fields


def _check(fields: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
