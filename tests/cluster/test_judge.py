"""A result counts when a lock records it, or when a key that is trusted has signed it; nothing else does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from layerlock.cache.entry import Entry, entry_of
from layerlock.cache.keys import Trust, signed, spelled
from layerlock.cluster.judge import judge
from layerlock.errors import LayerlockError, NotReproducible, UntrustedResult
from layerlock.model.derivation import Derivation, Input, Realisation, Transform
from layerlock.model.digest import sri

KEY = Ed25519PrivateKey.generate()
TRUST = Trust(keys=frozenset({spelled(KEY.public_key())}))
BELOW, RIGHT, WRONG = (sri(digit * 64) for digit in "123")
DERIVATION = Derivation(
    name="made",
    version="1",
    system="x86_64-linux",
    action=Transform(name="t/1", parameters={}),
    inputs=(Input(name="below", mount=None),),
)
PLANNED = DERIVATION.hash({"below": "0" * 64})


def entry(output: str = RIGHT, below: str = BELOW, key: Ed25519PrivateKey | None = KEY) -> Entry:
    """Make what a worker would give."""
    made = Realisation(
        name="made", planned=PLANNED, resolved=DERIVATION.hash({"below": below}), output=output, size=1
    )
    found = entry_of(made, {"below": below})
    return found if key is None else signed(found, (key,))


def judged(found: Entry, recorded: str | None = None) -> LayerlockError | None:
    """Judge it, where the input came out as `BELOW`."""
    return judge(found, DERIVATION, PLANNED, {"below": BELOW}, recorded, TRUST, "somebody")


def test_what_counts() -> None:
    assert judged(entry()) is None
    assert judged(entry(), RIGHT) is None
    assert judged(entry(key=None), RIGHT) is None  # the lock outranks signatures


@pytest.mark.parametrize(
    ("found", "recorded", "kind", "said"),
    [
        (entry(WRONG), RIGHT, NotReproducible, "the lock records"),
        (entry(key=None), None, UntrustedResult, "nobody signed it"),
        (entry(key=Ed25519PrivateKey.generate()), None, UntrustedResult, "is not one of those"),
        (replace(entry(), output=WRONG), None, UntrustedResult, "is not that of the entry"),
        (entry(below=WRONG), RIGHT, UntrustedResult, "was made from below"),
        (replace(entry(), resolved="0" * 64), RIGHT, UntrustedResult, "resolved hash"),
        (replace(entry(), name="other"), RIGHT, UntrustedResult, "another build"),
    ],
)
def test_what_does_not(found: Entry, recorded: str | None, kind: type[LayerlockError], said: str) -> None:
    error = judged(found, recorded)
    assert type(error) is kind
    assert said in error.message
    assert "somebody" in error.message
