"""Signed envelopes: DSSE (Dead Simple Signing Envelope, version 1) with ed25519 keys.

The signature is over the pre-authentication encoding, which binds the payload's type and both lengths. A key id in
an envelope is a hint that nothing here relies on: every signature is tried with the key that was handed in.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from layerlock.errors import BadAttestation

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
LARGEST: Final = 64 << 20
"""Bytes of an envelope that is read."""
_PUBLISH: Final = "openssl pkey -in key.pem -pubout -out key.pub"
_MAKE_KEY: Final = f"make a pair: openssl genpkey -algorithm ed25519 -out key.pem; {_PUBLISH}"


def read_private_key(pem: bytes, shown: str, password: bytes | None = None) -> Ed25519PrivateKey:
    """Read an ed25519 private key in PEM; `shown` is what messages call it, never its contents.

    Raises:
        BadAttestation: it is no such key, or its password is missing or wrong.
    """
    try:
        key = load_pem_private_key(pem, password)
    except TypeError:
        wanted = "needs a password" if password is None else "is not encrypted, and a password was given"
        raise BadAttestation(
            f"the key {shown} {wanted}",
            hint="LAYERLOCK_KEY_PASSWORD holds the password, where the key has one",
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        wrong = (
            "is no private key in PEM"
            if password is None
            else "is no private key in PEM, or its password is wrong"
        )
        raise BadAttestation(f"{shown} {wrong}", hint=_MAKE_KEY) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadAttestation(f"{shown} is a key of another kind; ed25519 is wanted", hint=_MAKE_KEY)
    return key


def read_public_key(pem: bytes, shown: str) -> Ed25519PublicKey:
    """Read an ed25519 public key in PEM.

    Raises:
        BadAttestation: it is none; a private key is refused too, since checking must not need one.
    """
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        told = (
            "is a private key; checking takes the public one"
            if b"PRIVATE KEY" in pem
            else "is no public key in PEM"
        )
        raise BadAttestation(f"{shown} {told}", hint=_PUBLISH) from None
    if not isinstance(key, Ed25519PublicKey):
        raise BadAttestation(f"{shown} is a key of another kind; ed25519 is wanted", hint=_MAKE_KEY)
    return key


def key_id(key: Ed25519PublicKey) -> str:
    """Give a key's id: the sha256 of its SubjectPublicKeyInfo, hexadecimal."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def seal(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """Sign a payload, and give the envelope as JSON. ed25519 signs without chance: equal inputs give equal bytes."""
    signature = key.sign(pre_authentication(PAYLOAD_TYPE, payload))
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()},
        ],
    }
    return (json.dumps(envelope, indent=2) + "\n").encode()


def opened(envelope: bytes, key: Ed25519PublicKey) -> bytes:
    """Give the payload of an envelope that this key signed.

    Raises:
        BadAttestation: it is no envelope, is of another kind, or was not signed by the key.
    """
    kind, payload, signatures = _parts(envelope)
    if kind != PAYLOAD_TYPE:
        raise BadAttestation(f"the envelope holds {kind!r}, not {PAYLOAD_TYPE}")
    signed = pre_authentication(kind, payload)
    for _, signature in signatures:
        try:
            key.verify(signature, signed)
        except InvalidSignature:
            continue
        return payload
    mine = key_id(key)
    if any(name == mine for name, _ in signatures):
        raise BadAttestation(
            "the signature is not that of the payload",
            hint="it names this very key: the payload was changed after it was signed, or the signature was",
        )
    # Whoever wrote the envelope chose these: enough of them to compare, and no more.
    ids = sorted({name[:64] or "a key without an id" for name, _ in signatures})
    signers = ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")
    raise BadAttestation("no signature is by this key", hint=f"the key's id is {mine}; signed by {signers}")


def pre_authentication(kind: str, payload: bytes) -> bytes:
    """Give what is signed, DSSE's PAE: `DSSEv1 LENGTH TYPE LENGTH PAYLOAD`."""
    encoded = kind.encode()
    return b"DSSEv1 %d %b %d %b" % (len(encoded), encoded, len(payload), payload)


def _parts(envelope: bytes) -> tuple[str, bytes, list[tuple[str, bytes]]]:
    if len(envelope) > LARGEST:
        raise BadAttestation(f"the envelope has more than {LARGEST >> 20} MiB")
    try:
        document = json.loads(envelope)
    except (ValueError, RecursionError):
        raise BadAttestation("the envelope is not JSON", hint="DSSE envelopes are JSON objects") from None
    match document:
        case {"payloadType": str(kind), "payload": str(payload), "signatures": [_, *_] as signatures}:
            return kind, _decoded(payload, "payload"), [_signature(each) for each in signatures]
        case {"_type": str()}:
            raise BadAttestation(
                "this is a statement that nobody signed",
                hint="layerlock attest signs it and writes an envelope",
            )
        case _:
            raise BadAttestation(
                "this is no DSSE envelope",
                hint="it needs `payloadType`, `payload` and at least one of `signatures`",
            )


def _signature(value: Any) -> tuple[str, bytes]:
    match value:
        case {"sig": str(text)}:
            name = value.get("keyid", "")
            return name if isinstance(name, str) else "", _decoded(text, "signature")
        case _:
            raise BadAttestation("a signature of the envelope has no `sig`")


def _decoded(text: str, called: str) -> bytes:
    """Decode base64, the standard or the URL-safe one: DSSE allows both."""
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise BadAttestation(f"the envelope's {called} is not base64") from None
