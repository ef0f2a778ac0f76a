"""Puts the outputs of packages together into one tree, and refuses two that claim one path."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task import Finding, refuse
from tree import Entry, scan


@dataclass(frozen=True)
class Owned:
    """One file or link of the layer, and the package that it comes from. `source` is where it stands now."""

    entry: Entry
    package: str
    source: Path

    @property
    def name(self) -> str:
        return self.entry.name


def collect(packages: Sequence[Mapping[str, Any]]) -> list[Owned]:
    """Files and links of all packages, in the order of their names.

    Directories are not kept for themselves: an empty one is dropped. `__pycache__` is dropped too: whatever
    bytecode a build left belongs to its own paths and times. Raises Violation of kind "check" for paths
    that collide, also if only by upper and lower case, and for what is neither file nor link.
    """
    owned: dict[str, Owned] = {}
    findings: list[Finding] = []
    for package in packages:
        root = Path(package["path"])
        for entry in scan(root):
            if entry.kind == "directory" or "__pycache__" in entry.name.split("/"):
                continue
            if entry.kind == "other":
                findings.append(
                    Finding(
                        "kinds",
                        "check",
                        f"{package['name']}: {entry.name} is neither file nor link",
                        "",
                        entry.name,
                    )
                )
            elif entry.name in owned:
                findings.append(
                    Finding(
                        "collisions",
                        "check",
                        f"{owned[entry.name].package} and {package['name']} both bring {entry.name}",
                        "leave it out of one of them: by its recipe, or by a prune rule with `packages`",
                        entry.name,
                    )
                )
            else:
                owned[entry.name] = Owned(entry, package["name"], root / entry.name)
    refuse([*findings, *case_collisions(owned)])
    return [owned[name] for name in sorted(owned)]


def case_collisions(names: Any) -> Iterator[Finding]:
    """Paths, folders included, that are one path where upper and lower case are not told apart, or where
    one is a file and the other a folder of that name.
    """
    seen: dict[str, str] = {}
    folders = set()
    for name in sorted(names):
        parts = name.split("/")
        for end in range(1, len(parts)):
            folders.add("/".join(parts[:end]))
    for path in sorted({*names, *folders}):
        other = seen.setdefault(path.casefold(), path)
        if other != path:
            message = f"{other} and {path} differ only by upper and lower case"
            yield Finding("case", "check", message, "rename or leave out one of them", path)
    for path in sorted(folders & set(names)):
        yield Finding(
            "collisions", "check", f"{path} is a file in one package and a folder in another", "", path
        )


def write(owned: Sequence[Owned], out: Path) -> None:
    """Copy files and links below `out`, with modes 0644 and 0755 only."""
    for item in owned:
        path = out / item.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if item.entry.kind == "link":
            path.symlink_to(item.entry.target)
        else:
            shutil.copyfile(item.source, path, follow_symlinks=False)
            path.chmod(0o755 if item.entry.executable else 0o644)
