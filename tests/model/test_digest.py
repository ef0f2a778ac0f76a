"""Hashes and the canonical encoding."""

from __future__ import annotations

import hashlib
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlock.model.digest import Canonical, canonical, digest, sri, unsri

EMPTY = hashlib.sha256(b"").hexdigest()


def test_sri_is_what_nix_writes() -> None:
    # `nix hash to-sri --type sha256 e3b0...` of the empty file's sha256.
    assert sri(EMPTY) == "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    assert unsri(sri(EMPTY)) == EMPTY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256-",
        "sha512-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
        "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
        "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=",
        "sha256-AAAA",
    ],
)
def test_what_is_no_sri_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a sha256 in SRI form"):
        unsri(text)


def test_canonical_sorts_keys_and_keeps_sequences() -> None:
    value: Canonical = MappingProxyType({"b": ("x", "x", "a"), "a": {"ü": None, "t": True, "n": 1}})
    assert canonical(value) == '{"a":{"n":1,"t":true,"ü":null},"b":["x","x","a"]}'.encode()


def test_digest_is_the_sha256_of_the_encoding() -> None:
    assert digest({}) == hashlib.sha256(b"{}").hexdigest()


@pytest.mark.parametrize("value", [{1, 2}, 1j, b"bytes", float("nan")])
def test_what_has_no_one_spelling_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        canonical({"key": value})  # type: ignore[dict-item]  # what the types refuse, the encoder refuses too


LEAVES = st.none() | st.booleans() | st.integers() | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(st.dictionaries(st.text(), VALUES))
def test_the_order_of_keys_does_not_count(value: dict[str, object]) -> None:
    assert digest(dict(reversed(value.items()))) == digest(value)  # type: ignore[arg-type]  # of strategies


@given(VALUES, VALUES)
def test_different_values_have_different_encodings(one: object, other: object) -> None:
    def same(a: object, b: object) -> bool:
        return type(a) is type(b) and a == b and repr(a) == repr(b)

    if canonical(one) == canonical(other):  # type: ignore[arg-type]  # of strategies
        assert same(one, other) or isinstance(one, list | dict)
    else:
        assert not same(one, other)
