"""Debian's signed index of indexes, `InRelease`: its signature verified, its hashes read.

Formats: the Debian repository format (wiki.debian.org/DebianRepository/Format) and OpenPGP's cleartext signature
framework (RFC 9580, section 7). Only the text that the signature covers is ever parsed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.resources import files

from layerlock.errors import Unverified


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A file that the index states: its hexadecimal sha256 and its size in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A verified `InRelease`.

    `sha256` is that of the whole file, `signed_by` the fingerprint of the certificate whose signature held.
    """

    suite: str
    codename: str
    date: datetime
    valid_until: datetime | None
    components: tuple[str, ...]
    by_hash: bool
    files: Mapping[str, Listed]
    sha256: str
    signed_by: str


def debian_keyring() -> bytes:
    """Give the keys that Debian signs its archive with, from the driver's data."""
    return files("layerlock").joinpath("data/debian-archive-keyring.pgp").read_bytes()


def read_release(signed: bytes, *, keyring: bytes, where: str, suite: str) -> Release:
    """Verify and parse an `InRelease` file.

    Args:
        signed: the file.
        keyring: OpenPGP certificates, of which one must have signed it.
        where: what messages call the index.
        suite: the suite or code name that was asked for. Another suite's index is signed as well, and no answer.

    Raises:
        Unverified: no trusted key signed it, or it is another suite's.
    """
    text, fingerprint = _verified(signed, keyring, where)
    fields = _fields(text)
    named = {fields.get("Suite", ""), fields.get("Codename", "")}
    if suite not in named:
        raise Unverified(
            f"{where}: the index is that of {' or '.join(sorted(filter(None, named)))}, not of {suite}"
        )
    date = _moment(fields.get("Date", ""))
    if date is None:
        raise Unverified(f"{where}: the index states no date")
    return Release(
        suite=fields.get("Suite", ""),
        codename=fields.get("Codename", ""),
        date=date,
        valid_until=_moment(fields.get("Valid-Until", "")),
        components=tuple(fields.get("Components", "").split()),
        by_hash=fields.get("Acquire-By-Hash", "") == "yes",
        files=_listed(fields.get("SHA256", "")),
        sha256=hashlib.sha256(signed).hexdigest(),
        signed_by=fingerprint,
    )


def _verified(signed: bytes, keyring: bytes, where: str) -> tuple[str, str]:
    """Give the text that a trusted signature covers, and the signer's fingerprint."""
    import pysequoia  # noqa: PLC0415 -- only `lock` verifies signatures; builds need not load it

    certificates = pysequoia.Cert.split_bytes(keyring)
    try:
        # The library asks for certificates by key and accepts only signatures that one of them made, at a time at
        # which it could.
        result = pysequoia.verify(bytes=signed, store=lambda _keys: certificates)
    except Exception as error:  # a Rust error without a class of its own
        reason = str(error).partition("\n")[0].rstrip(".")
        raise Unverified(
            f"{where}: the index is not signed by a trusted key ({reason})",
            hint="a newer layerlock may know a newer key of Debian; a mirror that changes indexes must not be used",
        ) from None
    trusted = {certificate.fingerprint for certificate in certificates}
    signers = sorted(sig.certificate for sig in result.valid_sigs if sig.certificate in trusted)
    if not signers or result.bytes is None:
        raise Unverified(f"{where}: the index is not signed by a trusted key")
    return bytes(result.bytes).decode("utf-8", errors="replace"), signers[0]


def _fields(text: str) -> dict[str, str]:
    """Read one deb822 paragraph; continuation lines are joined by line feeds."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line[:1] in {" ", "\t"}:
            fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
        elif ":" in line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return fields


def _listed(text: str) -> dict[str, Listed]:
    found = re.findall(r"^([0-9a-f]{64})\s+(\d+)\s+(\S+)$", text, re.MULTILINE)
    return {path: Listed(sha256=sha256, size=int(size)) for sha256, size, path in found}


def _moment(text: str) -> datetime | None:
    """Read a date such as `Sat, 09 Aug 2025 09:16:30 UTC`."""
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
