"""Why the contents of a file differ: the few causes that can be told for certain from the bytes alone."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

_SPAN: Final = 1 << 16
_SHOWN: Final = 3

_PATHS: Final = re.compile(rb"/(?:build|tmp|home|root|var/tmp|private/tmp|workspace)/[!#-&+-:=?-Z_a-z~@]+")
"""Folders that things are built in, up to what cannot stand in such a name unquoted."""
_HOSTS: Final = re.compile(rb"(?<![\w.+-])[a-z_][a-z0-9_-]{0,31}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}(?!@)")
"""A user on a host, as kernels, compilers and packaging tools write down where they ran."""
_STRINGS: Final = re.compile(rb"[ -~]{4,}")
"""What strings(1) lists."""
_DATES: Final = re.compile(
    rb"(?<!\d)(?:19|20)\d\d-[01]\d-[0-3]\d(?:[T ][0-2]\d:[0-5]\d(?::[0-5]\d)?)?(?!\d)"
    rb"|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-3]\d (?:19|20)\d\d(?!\d)"
)
"""ISO dates, and what `__DATE__` gives."""
_TIMES: Final = re.compile(rb"(?<!\d)[0-2]\d:[0-5]\d:[0-5]\d(?!\d)")
"""What `__TIME__` gives."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """One cause: what it is, what was seen, and whether the files are alike but for it."""

    name: str
    detail: str
    alone: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ByteDifference:
    """Where two contents part. `differing` counts bytes, where both are of one size."""

    first: int
    differing: int | None
    causes: tuple[Cause, ...] = ()


def compare_bytes(path: str, before: bytes, after: bytes) -> ByteDifference:
    """Say where two different contents of one path part, and why, as far as that is certain."""
    first, differing = _where(before, after)
    return ByteDifference(
        first=first,
        differing=differing if len(before) == len(after) else None,
        causes=_causes(path, before, after),
    )


def _where(before: bytes, after: bytes) -> tuple[int, int]:
    first, differing = -1, 0
    shared = min(len(before), len(after))
    for start in range(0, shared, _SPAN):
        left, right = before[start : start + _SPAN], after[start : start + _SPAN]
        left, right = left[: shared - start], right[: shared - start]
        if left == right:
            continue
        if first < 0:
            first = start + next(
                i for i, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1]
            )
            if len(before) != len(after):
                break
        differing += sum(map(operator.ne, left, right))
    return (shared if first < 0 else first), differing


def _causes(path: str, before: bytes, after: bytes) -> tuple[Cause, ...]:
    for rule in (_bytecode_time, _gzip_time, _line_order):
        found = rule(path, before, after)
        if found is not None:
            return (found,)
    rules: tuple[tuple[str, re.Pattern[bytes]], ...] = (
        ("build path", _PATHS),
        ("user and host name", _HOSTS),
        ("date", _DATES),
        ("time of day", _TIMES),
    )
    seen: list[tuple[str, str]] = []
    left, right = before, after
    for name, pattern in rules:
        detail = _strings(pattern, left, right)
        if detail:
            seen.append((name, detail))
        # A time that belongs to a date is told with it, and not once more.
        left, right = pattern.sub(b"", left), pattern.sub(b"", right)
    order = _string_order(before, after)
    made = [Cause(name=name, detail=detail, alone=left == right) for name, detail in seen]
    return (*made, order) if order is not None else tuple(made)


def _strings(pattern: re.Pattern[bytes], before: bytes, after: bytes) -> str:
    """Name strings of a kind that one has and the other has not; empty if there are none."""
    left, right = set(pattern.findall(before)), set(pattern.findall(after))
    if left == right:
        return ""
    return f"{_some(left - right)} before, {_some(right - left)} after"


def _some(strings: set[bytes]) -> str:
    if not strings:
        return "none"
    shown = [text.decode("ascii", "replace")[:100] for text in sorted(strings)[:_SHOWN]]
    more = len(strings) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _bytecode_time(path: str, before: bytes, after: bytes) -> Cause | None:
    """Look at a .pyc that is checked by its source's time: magic, flags, time and size of the source."""
    dated = path.endswith(".pyc") and min(len(before), len(after)) >= 16 and before[4:8] == bytes(4)
    return _one_time("bytecode time", 8, before, after) if dated else None


def _gzip_time(path: str, before: bytes, after: bytes) -> Cause | None:
    del path
    return _one_time("gzip time", 4, before, after) if before[:3] == b"\x1f\x8b\x08" else None


def _one_time(name: str, at: int, before: bytes, after: bytes) -> Cause | None:
    """Say whether four bytes, a time, are all that differs."""
    if before[:at] != after[:at] or before[at + 4 :] != after[at + 4 :]:
        return None
    stamps = [
        datetime.fromtimestamp(int.from_bytes(data[at : at + 4], "little"), UTC).strftime("%Y-%m-%d %H:%M:%S")
        for data in (before, after)
    ]
    return Cause(name=name, detail=f"{stamps[0]} before, {stamps[1]} after, in its header", alone=True)


def _string_order(before: bytes, after: bytes) -> Cause | None:
    """Look for the same strings in another order: in an ELF file, mostly symbols that a linker met in that order."""
    left, right = _STRINGS.findall(before), _STRINGS.findall(after)
    if left == right or len(left) != len(right) or sorted(left) != sorted(right):
        return None
    moved = sum(map(operator.ne, left, right))
    name = "symbol order" if before[:4] == after[:4] == b"\x7fELF" else "string order"
    return Cause(name=name, detail=f"the same strings, {moved:,} of {len(left):,} elsewhere")


def _line_order(path: str, before: bytes, after: bytes) -> Cause | None:
    del path
    if len(before) != len(after) or b"\0" in before or b"\0" in after:
        return None
    left, right = before.splitlines(), after.splitlines()
    if sorted(left) != sorted(right):
        return None
    moved = sum(map(operator.ne, left, right))
    return Cause(
        name="line order", detail=f"the same lines, {moved:,} of {len(left):,} elsewhere", alone=True
    )
