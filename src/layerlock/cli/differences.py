"""How differences of trees, zips and locks are written for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.ui.text import count, names, printable, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from layerlock.reproduce.causes import ByteDifference
    from layerlock.reproduce.compare import Change, Comparison
    from layerlock.reproduce.locks import DerivationChange, LockComparison, SourceChange, SourceSide

SHOWN = 40
"""Rows of one kind that are shown without --all."""

_PARTS = {
    "guest": "the guest code",
    "parameters": "links or floor",
    "root": "the environment",
    "data": "a file of the recipe",
}


def comparison_text(found: Comparison, *, everything: bool = False) -> str:
    """Write what differs between two trees or zips, what matters most first."""
    if found.identical:
        return "\n".join(["identical", *_section("oddities:", found.oddities, everything)])
    content = [change for change in found.changed if not change.packed_only]
    packed = [change for change in found.changed if change.packed_only]
    lines = [_headline(found, content)]
    lines += _section(
        "added:", (f"{e.path} ({_entry_size(e.kind, e.size)})" for e in found.added), everything
    )
    lines += _section(
        "removed:", (f"{e.path} ({_entry_size(e.kind, e.size)})" for e in found.removed), everything
    )
    lines += _section("changed:", (row for change in content for row in _change(change)), everything)
    lines += _section(
        "the same contents, packed differently:",
        (f"{change.path}: {_packing(change)}" for change in packed),
        everything,
    )
    lines += _section("the zips also differ in:", found.archive, everything)
    lines += _section("not compared:", found.unread, everything)
    lines += _section("oddities:", found.oddities, everything)
    return "\n".join(lines)


def locks_text(found: LockComparison, *, everything: bool = False) -> str:
    """Write what differs between two locks."""
    if found.identical:
        return "identical"
    bytes_changed = [change for change in found.sources if not change.addresses_only]
    addresses = [change.key for change in found.sources if change.addresses_only]
    own = [c for c in found.derivations if c.replanned and not c.follows]
    following = [f"{c.name}{_grown(c)}" for c in found.derivations if c.follows]
    outputs = [c for c in found.derivations if not c.replanned]
    lines = [_locks_headline(found)]
    if found.layers[0] != found.layers[1]:
        lines.append(f"layers: {found.layers[0]} before, {found.layers[1]} after")
    lines += _section("sources:", map(_source, bytes_changed), everything)
    lines += _section("sources with other addresses, the same bytes:", addresses, everything)
    lines += _section("signed indexes:", found.indexes, everything)
    lines += _section("derivations:", map(_derivation, own), everything)
    lines += _section("derivations that follow from their inputs:", following, everything)
    lines += _section("recorded outputs alone:", map(_output, outputs), everything)
    return "\n".join([*lines, *_zip_rows(found)])


def locks_line(found: LockComparison) -> str:
    """Write the gist of a comparison of two locks in one line."""
    sources = [change for change in found.sources if not change.addresses_only]
    own = [c.name for c in found.derivations if c.replanned and not c.follows]
    said = []
    if sources:
        said.append(f"sources: {names([_brief(change) for change in sources], 3)}")
    elif found.sources:
        said.append(f"addresses of {count(len(found.sources), 'source')}")
    if own:
        said.append(f"derivations: {names(own, 3)}")
    unexplained = [c.name for c in found.derivations if c.unexplained]
    if unexplained:
        said.append(f"other outputs of the same plan: {names(unexplained, 3)}")
    elif not said and found.derivations:
        said.append("records only")
    return "; ".join(said) or ("nothing" if found.identical else "records only")


def _section(title: str, rows: Iterable[str], everything: bool) -> list[str]:
    # Names that are not UTF-8 are shown with their odd bytes spelled out.
    spelled = (row.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for row in rows)
    listed = [f"  {printable(row)}" for row in spelled]
    if not listed:
        return []
    rest = 0 if everything else len(listed) - SHOWN
    shown = listed[:SHOWN] if rest > 0 else listed
    return [title, *shown, *([f"  and {rest:,} more lines (--all shows them)"] if rest > 0 else [])]


def _headline(found: Comparison, content: list[Change]) -> str:
    if found.same_contents:
        return "different archives of the same contents"
    counts = (
        (len(found.added), "added"),
        (len(found.removed), "removed"),
        (len(content), "changed"),
        (len(found.unread), "not comparable"),
    )
    said = ", ".join(f"{number:,} {what}" for number, what in counts if number)
    return f"different: {said}; {size(found.bytes[0])} before, {size(found.bytes[1])} after"


def _entry_size(kind: str, number: int) -> str:
    return size(number) if kind == "file" else kind


def _change(change: Change) -> Iterator[str]:
    what = []
    if change.kind:
        what.append(f"{change.kind[0]} before, {change.kind[1]} after")
    if change.mode:
        what.append(f"mode {change.mode[0]} before, {change.mode[1]} after")
    if change.target:
        what.append(f"links to {change.target[0]} before, {change.target[1]} after")
    if change.contents is not None:
        what.append(_bytes(change.contents, change.size))
    elif change.contents_differ:
        what.append(f"other contents, {change.size[0]:,} bytes before, {change.size[1]:,} after")
    yield f"{change.path}: {'; '.join(what)}"
    for cause in change.contents.causes if change.contents else ():
        yield f"  {cause.name}{', and nothing else' if cause.alone else ''}: {cause.detail}"


def _bytes(found: ByteDifference, sizes: tuple[int, int]) -> str:
    first = f"first at offset {found.first:,}"
    if found.differing is not None:
        return f"{found.differing:,} of {count(sizes[0], 'byte')} differ, {first}"
    return f"{sizes[0]:,} bytes before, {sizes[1]:,} after, {first}"


def _packing(change: Change) -> str:
    return "; ".join(
        f"{name} {was or 'none'} before, {now or 'none'} after" for name, was, now in change.packing
    )


def _locks_headline(found: LockComparison) -> str:
    if found.same_zip:
        return "different locks of the same zip"
    unexplained = sum(change.unexplained for change in found.derivations)
    if unexplained:
        return f"different: {count(unexplained, 'derivation')} with other outputs of the same plan"
    return f"different: {count(len(found.sources), 'source')}, {count(len(found.derivations), 'derivation')}"


def _source(change: SourceChange) -> str:
    match change.before, change.after:
        case (None, after) if after is not None:
            return f"{change.key}: added, {_side(after)}"
        case (before, None) if before is not None:
            return f"{change.key}: removed, {_side(before)}"
        case (before, after) if before is not None and after is not None:
            return f"{change.key}: {_side(before)} before, {_side(after)} after"
    return change.key


def _side(side: SourceSide) -> str:
    return f"{side.version} ({side.hash[:16]})".lstrip()


def _brief(change: SourceChange) -> str:
    if change.before is None or change.after is None:
        return f"{'+' if change.before is None else '-'}{change.key}"
    was, now = change.before.version, change.after.version
    return f"{change.key} {was} to {now}" if was != now else f"{change.key} (other bytes)"


def _derivation(change: DerivationChange) -> str:
    if change.what != "changed":
        return f"{change.name}: {change.what}"
    parts = ", ".join(_PARTS.get(part, part) for part in change.parts) or "not known, the locks tell no parts"
    was, now = change.output
    came = ""
    if was is not None and now is not None:
        came = "; the output is the same" if was == now else f"; another output{_grown(change)}"
    return f"{change.name}: {parts}{came}"


def _grown(change: DerivationChange) -> str:
    was, now = change.size
    return "" if was is None or now is None else f", {now - was:+,} bytes ({size(was)} to {size(now)})"


def _output(change: DerivationChange) -> str:
    was, now = change.output
    return f"{change.name}: {was or 'not recorded'} before, {now or 'not recorded'} after"


def _zip_rows(found: LockComparison) -> list[str]:
    was, now = found.zip
    if was == now:
        return []
    rows = [
        "not recorded"
        if made is None
        else f"{made.sha256[:16]}, {made.size:,} bytes, {made.unzipped:,} unzipped"
        for made in (was, now)
    ]
    lines = ["zip:", f"  before  {rows[0]}", f"  after   {rows[1]}"]
    if was is not None and now is not None:
        lines.append(f"  change  {now.size - was.size:+,} bytes, {now.unzipped - was.unzipped:+,} unzipped")
    return lines
