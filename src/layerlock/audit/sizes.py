"""What of a layer weighs how much: by package, by kind of file, by file, and against another layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from layerlock.audit.survey import Survey
from layerlock.io.entries import Entry

By = Literal["package", "kind", "file"]

UNKNOWN: Final = "(no package)"
_SUFFIXES: Final = {
    ".py": "Python modules",
    ".pyc": "bytecode",
    ".pyi": "headers, stubs and sources",
    ".h": "headers, stubs and sources",
    ".hpp": "headers, stubs and sources",
    ".c": "headers, stubs and sources",
    ".f90": "headers, stubs and sources",
    ".pyx": "headers, stubs and sources",
    ".pxd": "headers, stubs and sources",
    ".a": "static libraries",
    ".o": "static libraries",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """What goes by one name: its files and their bytes, unpacked and, where a zip was read, in the zip."""

    name: str
    files: int
    bytes: int
    packed: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """What one name weighed before and weighs after; None where it was not, or is not there."""

    name: str
    before: Weight | None
    after: Weight | None

    @property
    def bytes(self) -> int:
        """The bytes that it grew by, unpacked."""
        return (self.after.bytes if self.after else 0) - (self.before.bytes if self.before else 0)

    @property
    def packed(self) -> int | None:
        """The bytes that it grew by in the zip; None where that is not known of both."""
        sides = [0 if side is None else side.packed for side in (self.before, self.after)]
        return None if sides[0] is None or sides[1] is None else sides[1] - sides[0]

    @property
    def files(self) -> int:
        """The files that there are more."""
        return (self.after.files if self.after else 0) - (self.before.files if self.before else 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """What a prune rule left out: files and their bytes, unpacked."""

    rule: str
    reason: str
    files: int
    bytes: int


def weigh(survey: Survey, by: By) -> tuple[Weight, ...]:
    """Add up a layer's files, the heaviest first."""
    inventory = survey.inventory
    sums: dict[str, list[Entry]] = {}
    for entry in inventory.files:
        sums.setdefault(_name(survey, entry, by), []).append(entry)
    rows = (
        Weight(
            name=name,
            files=len(entries),
            bytes=sum(entry.size for entry in entries),
            packed=sum(inventory.packed.get(entry.path, 0) for entry in entries)
            if inventory.packed
            else None,
        )
        for name, entries in sums.items()
    )
    return tuple(sorted(rows, key=lambda row: (-row.bytes, row.name)))


def grown(before: tuple[Weight, ...], after: tuple[Weight, ...]) -> tuple[Growth, ...]:
    """Compare two layers that were weighed alike; what changed most comes first."""
    old, new = ({row.name: row for row in rows} for rows in (before, after))
    every = (Growth(name=name, before=old.get(name), after=new.get(name)) for name in old.keys() | new.keys())
    rows = [row for row in every if row.bytes or row.packed or row.files]
    return tuple(sorted(rows, key=lambda row: (-abs(row.bytes), row.name)))


def saved(report: Mapping[str, Any]) -> tuple[Saved, ...]:
    """Give what each prune rule left out, out of the assembly's report; the first rule that selects a file has it."""
    return tuple(
        Saved(
            rule=str(row["name"]), reason=str(row["reason"]), files=int(row["files"]), bytes=int(row["bytes"])
        )
        for row in report.get("rules", ())
    )


def _name(survey: Survey, entry: Entry, by: By) -> str:
    match by:
        case "package":
            return survey.package(entry.path) or UNKNOWN
        case "kind":
            return kind_of(survey, entry.path)
        case "file":
            return entry.path


def kind_of(survey: Survey, path: str) -> str:
    """Say what kind of file something is, in words."""
    inventory = survey.inventory
    folder, _, base = path.rpartition("/")
    if path in inventory.objects:
        return "shared libraries" if f"/{folder}".endswith("/lib") else "extension modules"
    if path in inventory.others or path in inventory.damaged:
        return "static libraries"
    if ".dist-info/" in path or ".egg-info/" in path:
        return "package metadata"
    if "licen" in path.lower() or base.startswith(("COPYING", "NOTICE")):
        return "licences"
    stem, dot, suffix = base.rpartition(".")
    return _SUFFIXES.get(f".{suffix}", "data") if dot and stem else "data"
