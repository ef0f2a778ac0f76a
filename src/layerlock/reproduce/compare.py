"""Two trees or zips side by side: what was added, removed and changed, and which bytes, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from layerlock.io.entries import Entry, Holding, ZipHolding
from layerlock.reproduce.causes import ByteDifference, compare_bytes

_LARGEST: Final = 128 << 20
"""Contents above this size are compared by hash alone: the causes are looked for in memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A path that both have, and what of it differs; each pair is before and after.

    Args:
        path: the name.
        size: of the contents.
        kind: file, link, folder or other.
        contents: where the bytes part, if they differ and could be read.
        contents_differ: whether they differ.
        mode: permission bits in octal, or `executable` and `plain` where only that is compared.
        target: where a link points.
        packing: facts that only the zips tell (times, compression), with both values.
    """

    path: str
    size: tuple[int, int]
    kind: tuple[str, str] | None = None
    contents: ByteDifference | None = None
    contents_differ: bool = False
    mode: tuple[str, str] | None = None
    target: tuple[str, str] | None = None
    packing: tuple[tuple[str, str, str], ...] = ()

    @property
    def packed_only(self) -> bool:
        """Whether only the zips' own facts differ: what is unpacked is the same."""
        return bool(self.packing) and not (self.kind or self.contents_differ or self.mode or self.target)

    def __bool__(self) -> bool:
        """Say whether anything differs."""
        return bool(self.kind or self.contents_differ or self.mode or self.target or self.packing)


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """What comparing two trees or zips found."""

    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    changed: tuple[Change, ...]
    archive: tuple[str, ...]
    """What differs about two zips beside their entries."""
    oddities: tuple[str, ...]
    """What is wrong with one of them, whether it differs or not."""
    unread: tuple[str, ...]
    """Contents that both have and that could not be compared."""
    bytes: tuple[int, int]

    @property
    def same_contents(self) -> bool:
        """Whether the same would be unpacked from both."""
        packed = all(change.packed_only for change in self.changed)
        return packed and not (self.added or self.removed or self.unread)

    @property
    def identical(self) -> bool:
        """Whether nothing differs."""
        return self.same_contents and not (self.changed or self.archive)


def compare(before: Holding, after: Holding) -> Comparison:
    """Compare two trees or zips.

    Of two zips everything counts. Where one is a tree, times and modes other than the owner's executable bit do
    not, as in a NAR; where only one is a tree, folders do not either: a zip need not name them.
    """
    zips = isinstance(before, ZipHolding) and isinstance(after, ZipHolding)
    mixed = not zips and (isinstance(before, ZipHolding) or isinstance(after, ZipHolding))
    left, right = _named(before.entries, mixed), _named(after.entries, mixed)
    both = sorted(left.keys() & right.keys())
    changes = tuple(filter(None, (_change(left[path], right[path], before, after, zips) for path in both)))
    unread = tuple(
        f"{path}: {left[path].problem or right[path].problem}"
        for path in both
        if left[path].kind == right[path].kind and (left[path].problem or right[path].problem)
    )
    added = tuple(right[path] for path in sorted(right.keys() - left.keys()))
    removed = tuple(left[path] for path in sorted(left.keys() - right.keys()))
    return Comparison(
        added=added,
        removed=removed,
        changed=changes,
        archive=_archive(before, after, explained=bool(changes or added or removed)),
        oddities=(
            *(f"before: {oddity}" for oddity in before.oddities),
            *(f"after: {oddity}" for oddity in after.oddities),
        ),
        # Of two zips with the same bytes nothing needs to be read.
        unread=() if before.sha256 and before.sha256 == after.sha256 else unread,
        bytes=(_total(before), _total(after)),
    )


def _named(entries: Iterable[Entry], mixed: bool) -> dict[str, Entry]:
    return {entry.path: entry for entry in entries if not (mixed and entry.kind == "folder")}


def _total(holding: Holding) -> int:
    return sum(entry.size for entry in holding.entries)


def _change(left: Entry, right: Entry, before: Holding, after: Holding, zips: bool) -> Change:
    alike = left.kind == right.kind
    differ = alike and bool(left.sha256 and right.sha256) and left.sha256 != right.sha256
    small = max(left.size, right.size) <= _LARGEST
    return Change(
        path=left.path,
        size=(left.size, right.size),
        kind=None if alike else (left.kind, right.kind),
        contents_differ=differ,
        contents=_contents(left, before, after) if differ and small else None,
        mode=_mode(left, right, zips) if alike else None,
        target=(left.target, right.target) if alike and left.target != right.target else None,
        packing=tuple(
            (name, was, now)
            for (name, was), (_, now) in zip(left.packing, right.packing, strict=False)
            # Other contents have another compressed size; that says nothing.
            if was != now and not (differ and name == "compression")
        ),
    )


def _contents(entry: Entry, before: Holding, after: Holding) -> ByteDifference | None:
    with before.open(entry.path) as left, after.open(entry.path) as right:
        was, now = left.read(_LARGEST), right.read(_LARGEST)
    # A tree may have changed since it was hashed.
    return compare_bytes(entry.path, was, now) if was != now else None


def _mode(left: Entry, right: Entry, zips: bool) -> tuple[str, str] | None:
    if zips:
        shown = tuple("none" if entry.mode is None else f"{entry.mode:04o}" for entry in (left, right))
    elif left.kind == "file":
        shown = tuple("executable" if entry.executable else "plain" for entry in (left, right))
    else:
        return None
    return (shown[0], shown[1]) if shown[0] != shown[1] else None


def _archive(before: Holding, after: Holding, *, explained: bool) -> tuple[str, ...]:
    if not (isinstance(before, ZipHolding) and isinstance(after, ZipHolding)):
        return ()
    if before.sha256 == after.sha256:
        return ()
    found = []
    if before.order != after.order and sorted(before.order) == sorted(after.order):
        found.append("the order of the entries")
    if not found and not explained:
        found.append("bytes that entries do not tell: compressed streams of one size, a comment, or gaps")
    return tuple(found)
