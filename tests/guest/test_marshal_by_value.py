"""Bytecode written by value: read back equal, and the same whatever the hashes and the references were."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys

import marshal_by_value
import pytest

from .conftest import GUEST

VALUES = (
    None,
    True,
    False,
    ...,
    *(0, -1, 2**31 - 1, -(2**31), 2**31, -(2**31) - 1, 10**60, -(10**60)),
    *(0.0, -0.0, 1.5, float("inf"), 2j, complex(-0.0, 3)),
    *("", "name", "x" * 255, "x" * 256, "ü", "\udc80", "变" * 200, b"", b"bytes" * 100),
    ((), ((1, "one"), (1, "one")), ("one", "one", b"one", "seldom")),
    frozenset({None, "one", 1.5, b"one", (None, "two"), frozenset({"one", "two"})}),
)
WRITE = """
import marshal_by_value
writer = marshal_by_value._Writer(frozenset({b"z\\x05first"}))
words = ["first", "second", "third", None, ..., 1.5, b"x", ("first", None), *map(str, range(100))]
writer.write((frozenset(words), "first", frozenset(words[::-1])))
print(bytes(writer.out).hex())
"""


def written(value: object) -> bytes:
    """Write a value as `dumps` writes code: what occurs more than once is referred to."""
    first = marshal_by_value._Writer()
    first.write(value)
    writer = marshal_by_value._Writer(frozenset(text for text, times in first.seen.items() if times > 1))
    writer.write(value)
    return bytes(writer.out)


def test_values_are_read_back() -> None:
    """By Python's own reader; the sign of zero and the type of each survive."""
    assert repr(marshal.loads(written(VALUES[:-1]))) == repr(VALUES[:-1])
    assert marshal.loads(written(VALUES)) == VALUES
    assert len(written(("a long word",) * 100)) < 550
    with pytest.raises(ValueError, match="type list"):
        written(([],))


def test_hashes_do_not_matter() -> None:
    """Other seeds, and other addresses of None."""
    told = {
        subprocess.run(
            [sys.executable, "-c", WRITE],
            env={**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(GUEST)},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in range(1, 5)
    }
    assert len(told) == 1
    assert marshal.loads(bytes.fromhex(told.pop().decode()))[1] == "first"
