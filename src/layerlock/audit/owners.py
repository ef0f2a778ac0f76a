"""Which package and which derivation each file of a layer comes from, and what was done to it on the way.

For a layer that this repository built the outputs of its packages tell, and the report of its assembly (which files
got a private name, which had references lowered). For a zip from elsewhere the `RECORD` files of installers do, where
they were left in; they state the package and the hash that each file had when it was installed.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from layerlock.audit.bytecode import fits, source_of
from layerlock.audit.elf import Elf
from layerlock.audit.reading import Inventory
from layerlock.errors import Location
from layerlock.io.entries import Entry

How = Literal["as built", "edited", "compiled", "differs", "as installed"]
"""What became of a file: nothing; an object that assembly stripped or edited; bytecode; bytes that nothing explains."""

_INFO: Final = re.compile(r"(?P<name>[A-Za-z0-9._]+)-(?P<version>[^-/]+)\.dist-info")


@dataclass(frozen=True, kw_only=True, slots=True)
class Shipped:
    """A package in a layer: its derivation's planned hash, its output's hash and place, its recipe's place."""

    name: str
    version: str
    planned: str
    output: str
    tree: Path
    location: Location


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Where a file comes from.

    Args:
        package, version: what brought it.
        shipped: its build; None in a layer from elsewhere.
        original: its path in the package's output, or the module that it is the bytecode of.
        how: what became of it.
        steps: what assembly did to it, in words.
    """

    package: str
    version: str
    shipped: Shipped | None
    original: str
    how: How
    steps: tuple[str, ...] = ()


def owners_by_packages(
    inventory: Inventory,
    packages: Sequence[Shipped],
    report: Mapping[str, Any],
    raised: Sequence[str] = (),
) -> dict[str, Owner]:
    """Give the owner of each file and link, by path, out of the packages' outputs; what none brought is absent.

    `raised` are the folders whose files assembly brought to the top of the tree; it reports the paths of before.
    """
    renamed = {str(row["to"]): str(row["from"]) for row in report.get("private", ())}
    lowered = {str(row["file"]) for row in report.get("lowered", ())}
    private = frozenset(posixpath.basename(path) for path in renamed)
    found: dict[str, Owner] = {}
    for entry in inventory.entries.values():
        if entry.kind not in ("file", "link"):
            continue
        placed = (entry.path, *(f"{folder}/{entry.path}" for folder in raised))
        known = ((path, renamed.get(path, path), each) for path in placed for each in packages)
        origin = next((row for row in known if os.path.lexists(row[2].tree / row[1])), None)
        if origin is None:
            continue
        assembled, original, shipped = origin
        same = _same(entry, shipped.tree / original)
        steps = (
            ()
            if same
            else tuple(
                _steps(
                    inventory.objects.get(entry.path),
                    original,
                    lowered,
                    private,
                    renamed=assembled != original,
                )
            )
        )
        found[entry.path] = Owner(
            package=shipped.name,
            version=shipped.version,
            shipped=shipped,
            original=original,
            how="as built" if same else "edited" if steps else "differs",
            steps=steps,
        )
    found |= dict(_sourceless(inventory, packages, raised))
    return found | dict(_compiled(inventory, found))


def owners_by_records(inventory: Inventory) -> dict[str, Owner]:
    """Give the owner of each file that an installer's `RECORD` names, by path."""
    found: dict[str, Owner] = {}
    for record, text in sorted(inventory.records.items()):
        info, _, _ = record.rpartition("/")
        site, _, base = info.rpartition("/")
        named = _INFO.fullmatch(base)
        if named is None:
            continue
        for name, stated in _rows(text):
            path = posixpath.normpath(posixpath.join(site, name))
            entry = inventory.entries.get(path)
            if entry is None or entry.kind != "file":
                continue
            fits = not stated or stated == entry.sha256
            edited = path in inventory.objects
            found[path] = Owner(
                package=named["name"],
                version=named["version"],
                shipped=None,
                original=path,
                how="as installed" if fits else "edited" if edited else "differs",
                steps=() if fits or not edited else ("changed since it was installed",),
            )
    return found | dict(_compiled(inventory, found))


def _same(entry: Entry, path: Path) -> bool:
    if entry.kind == "link":
        return path.is_symlink() and os.fsdecode(path.readlink()) == entry.target
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256


def _steps(
    elf: Elf | None, original: str, lowered: set[str], private: frozenset[str], *, renamed: bool
) -> Iterator[str]:
    """Say what assembly did to an object; for anything else there is nothing that it does."""
    if elf is None:
        return
    if renamed:
        yield f"renamed from {original}"
    if original in lowered:
        yield "references lowered to older symbol versions"
    names = sorted(private.intersection(elf.needed))
    if names:
        yield f"made to need {', '.join(names)}"
    if not renamed and original not in lowered and not names:
        yield "stripped"


def _compiled(inventory: Inventory, found: Mapping[str, Owner]) -> Iterator[tuple[str, Owner]]:
    for path in inventory.bytecode:
        source, _ = source_of(path)
        owner = found.get(source)
        if owner is not None and path not in found:
            yield (
                path,
                Owner(
                    package=owner.package,
                    version=owner.version,
                    shipped=owner.shipped,
                    original=source,
                    how="compiled",
                    steps=(f"compiled from {source}",),
                ),
            )


def _sourceless(
    inventory: Inventory, packages: Sequence[Shipped], raised: Sequence[str]
) -> Iterator[tuple[str, Owner]]:
    """Give the owners of bytecode whose module was left out: packages have it, and its hash tells whether it fits."""
    for path, compiled in inventory.bytecode.items():
        if compiled is None or compiled.source in inventory.entries:
            continue
        placed = (compiled.source, *(f"{folder}/{compiled.source}" for folder in raised))
        modules = ((each, name, each.tree / name) for name in placed for each in packages)
        brought = next((row for row in modules if row[2].is_file() and not row[2].is_symlink()), None)
        if brought is not None:
            shipped, original, module = brought
            same = fits(compiled.header, module.read_bytes())
            yield (
                path,
                Owner(
                    package=shipped.name,
                    version=shipped.version,
                    shipped=shipped,
                    original=original,
                    how="compiled" if same else "differs",
                    steps=(f"compiled from {original}, which was left out",) if same else (),
                ),
            )


def _rows(text: str) -> Iterator[tuple[str, str]]:
    """Give names and hexadecimal hashes of a RECORD; the hash is empty where another function made it, or none."""
    try:
        for row in csv.reader(io.StringIO(text, newline="")):
            if row:
                kind, _, digest = row[1].partition("=") if len(row) > 1 else ("", "", "")
                yield row[0], _hex(digest) if kind == "sha256" else ""
    except csv.Error:
        return


def _hex(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).hex()
    except ValueError:
        return ""
