"""Hashes: their spellings, and the one canonical encoding that derivations are hashed in."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence

Canonical = None | bool | int | str | Sequence["Canonical"] | Mapping[str, "Canonical"]
"""What has a canonical encoding."""


def sri(hexdigest: str) -> str:
    """Spell a sha256 in hexadecimal as Subresource Integrity text, `sha256-<base64>`, as Nix does."""
    return "sha256-" + base64.b64encode(bytes.fromhex(hexdigest)).decode()


def unsri(text: str) -> str:
    """Give the hexadecimal sha256 of an SRI text.

    Raises:
        ValueError: the text is not `sha256-` and the base64 of 32 bytes.
    """
    prefix, _, encoded = text.partition("-")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raw = b""
    if prefix != "sha256" or len(raw) != 32 or sri(raw.hex()) != text:
        raise ValueError(f"not a sha256 in SRI form: {text!r}")
    return raw.hex()


def canonical(value: Canonical) -> bytes:
    """Encode a value so that equal values give equal bytes: JSON, sorted keys, no white space, UTF-8.

    Mappings are sorted here; sequences keep their order and multiplicity. Floating-point numbers are refused,
    because their spelling is not unique.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_refuse
    ).encode()


def digest(value: Canonical) -> str:
    """Give the hexadecimal sha256 of a value's canonical encoding."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _refuse(value: object) -> Canonical:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no canonical encoding")
