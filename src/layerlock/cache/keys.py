"""ed25519 keys of caches: making, reading, signing, and which of them are trusted on a day.

Private keys are PEM, as `openssl genpkey -algorithm ed25519` writes them; nothing here puts one into a message.
Public keys are spelled `ed25519:` and the base64 of their 32 bytes: short enough for a line of `caches.toml`.
"""

from __future__ import annotations

import base64
import datetime
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from layerlock.cache.entry import Entry, Signature
from layerlock.errors import UsageError
from layerlock.io.atomic import write_all
from layerlock.model.caches import Caches

_LARGEST: Final = 1 << 16
_MAKE: Final = "layerlock cache keygen FILE makes one"


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """The keys whose signatures count, and why others that are named do not."""

    keys: frozenset[str]
    refused: tuple[tuple[str, str], ...] = ()

    def doubt(self, entry: Entry) -> str:
        """Say why an entry does not count; empty where a trusted key signed it."""
        if not entry.signatures:
            return "nobody signed it"
        problems = []
        for one in sorted(entry.signatures, key=lambda each: each.key):
            if one.key not in self.keys:
                why = dict(self.refused).get(one.key, "is not one of those that recipes/caches.toml trusts")
                problems.append(f"the key {one.key} {why}")
            elif not _signed(entry, one):
                problems.append(f"the signature by {one.key} is not that of the entry")
            else:
                return ""
        return "; ".join(dict.fromkeys(problems))


def trust(caches: Caches, today: datetime.date) -> Trust:
    """Work out which keys count on a day (UTC). A revocation outranks whatever else is said of a key."""
    refused: dict[str, str] = {}
    for key in caches.keys:
        if key.not_after is not None and today > key.not_after:
            refused[key.key] = f"({key.name}) was good until {key.not_after}"
    refused |= {one.key: f"was revoked: {one.reason}" for one in caches.revoked}
    return Trust(
        keys=frozenset(one.key for one in caches.keys) - refused.keys(), refused=tuple(refused.items())
    )


def signed(entry: Entry, keys: Iterable[Ed25519PrivateKey]) -> Entry:
    """Add the signatures of some keys to an entry; ed25519 signs without chance, so that equal gives equal."""
    made = {one.key: one for one in entry.signatures}
    for key in keys:
        text = spelled(key.public_key())
        made[text] = Signature(key=text, signature=base64.b64encode(key.sign(entry.statement)).decode())
    return replace(entry, signatures=tuple(made[key] for key in sorted(made)))


def spelled(key: Ed25519PublicKey) -> str:
    """Spell a public key as `caches.toml` has it."""
    return "ed25519:" + base64.b64encode(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


def read_private_key(pem: bytes, shown: str) -> Ed25519PrivateKey:
    """Read a private key in PEM; `shown` is what messages call it, never its contents.

    Raises:
        UsageError: it is no ed25519 key, or is encrypted.
    """
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise UsageError(f"{shown} is no private key in PEM without a password", hint=_MAKE) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{shown} is a key of another kind; ed25519 is wanted", hint=_MAKE)
    return key


def read_key_file(path: Path) -> Ed25519PrivateKey:
    """Read a private key from a file that nobody but its owner may read.

    Raises:
        UsageError: others may read or write it, it cannot be read, or it is no key.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"the key {path} cannot be read: {error.strerror}", hint=_MAKE) from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UsageError(f"the key {path} is no file")
        if status.st_mode & 0o077:
            raise UsageError(
                f"the key {path} may be read or written by others (mode {stat.S_IMODE(status.st_mode):04o})",
                hint=f"chmod 600 {path}; if others had access to it, make another one and revoke this one",
            )
        return read_private_key(file.read(_LARGEST), str(path))


def make_key(path: Path) -> str:
    """Write a new private key to a file that is not there yet, mode 0600; give the public key.

    Its folder is made where it is missing, for its owner alone.

    Raises:
        UsageError: the file exists, or cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    try:
        path.parent.mkdir(0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if path.exists():
            raise UsageError(
                f"{path} is there already", hint="a key is never overwritten: name another file"
            ) from None
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    try:
        os.fchmod(descriptor, 0o600)
        write_all(descriptor, pem)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return spelled(key.public_key())


def _signed(entry: Entry, one: Signature) -> bool:
    raw = base64.b64decode(one.key.removeprefix("ed25519:"))
    try:
        Ed25519PublicKey.from_public_bytes(raw).verify(base64.b64decode(one.signature), entry.statement)
    except (InvalidSignature, ValueError):
        return False
    return True
