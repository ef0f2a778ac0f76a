"""Signatures of indexes, with real keys."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pysequoia
import pytest

from layerlock.errors import Unverified
from layerlock.sources.debian_release import Listed, debian_keyring, read_release
from tests.sources.debian import Key, release_text

PLAIN = {"main/binary-amd64/Packages": b"x\n"}


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


def test_a_signed_index_is_read(key: Key) -> None:
    signed = key.sign(release_text(PLAIN, more="Valid-Until: Sat, 16 Aug 2025 09:16:30 UTC\n"))
    release = read_release(signed, keyring=key.keyring, where="debian/bullseye", suite="bullseye")
    assert release.date == datetime(2025, 8, 9, 9, 16, 30, tzinfo=UTC)
    assert release.valid_until == datetime(2025, 8, 16, 9, 16, 30, tzinfo=UTC)
    assert release.files == {
        "main/binary-amd64/Packages": Listed(sha256=hashlib.sha256(b"x\n").hexdigest(), size=2)
    }
    assert release.signed_by == key.fingerprint
    assert release.sha256 == hashlib.sha256(signed).hexdigest()
    assert not release.by_hash


def test_a_key_that_is_not_trusted(key: Key) -> None:
    with pytest.raises(Unverified, match="not signed by a trusted key"):
        read_release(key.sign(release_text(PLAIN)), keyring=Key().keyring, where="x", suite="bullseye")


def test_a_second_signature_by_a_stranger_takes_nothing_away(key: Key) -> None:
    both = pysequoia.Cert.split_bytes(Key().keyring + key.keyring)
    assert len(both) == 2
    release = read_release(
        key.sign(release_text(PLAIN)), keyring=b"".join(map(bytes, both)), where="x", suite="bullseye"
    )
    assert release.signed_by == key.fingerprint


def test_changed_text_is_refused(key: Key) -> None:
    signed = key.sign(release_text(PLAIN)).replace(b"Origin: Tests", b"Origin: Other")
    with pytest.raises(Unverified, match="no valid signatures"):
        read_release(signed, keyring=key.keyring, where="x", suite="bullseye")


@pytest.mark.parametrize("signed", [b"", b"not an index", release_text(PLAIN).encode(), b"\x00\xff" * 100])
def test_what_is_not_signed_is_refused(signed: bytes, key: Key) -> None:
    with pytest.raises(Unverified) as caught:
        read_release(signed, keyring=key.keyring, where="debian/bullseye", suite="bullseye")
    assert "\n" not in caught.value.message


def test_text_around_the_signed_part_does_not_count(key: Key) -> None:
    forged = f"SHA256:\n {'0' * 64} 1 main/binary-amd64/Packages.xz\n\n".encode()
    signed = key.sign(release_text(PLAIN))
    for text in (forged + signed, signed + forged):
        try:
            release = read_release(text, keyring=key.keyring, where="x", suite="bullseye")
        except Unverified:
            continue
        assert "main/binary-amd64/Packages.xz" not in release.files


def test_another_suites_index_is_no_answer(key: Key) -> None:
    signed = key.sign(release_text(PLAIN, suite="stable", codename="trixie"))
    with pytest.raises(Unverified, match="that of stable or trixie, not of bullseye"):
        read_release(signed, keyring=key.keyring, where="x", suite="bullseye")
    read_release(signed, keyring=key.keyring, where="x", suite="trixie")


def test_an_index_without_a_date(key: Key) -> None:
    signed = key.sign(release_text(PLAIN).replace("Date: Sat, 09 Aug 2025 09:16:30 UTC\n", ""))
    with pytest.raises(Unverified, match="no date"):
        read_release(signed, keyring=key.keyring, where="x", suite="bullseye")


def test_debians_keys_are_in_the_data() -> None:
    certificates = pysequoia.Cert.split_bytes(debian_keyring())
    users = " ".join(str(user) for certificate in certificates for user in certificate.user_ids)
    assert "(11/bullseye)" in users
    assert "(13/trixie)" in users
