"""Lays layers over each other as Lambda does below /opt, and refuses two that hold the same thing.

Task: {"layers": [{"name", "path"}], "limit": bytes, "python_path": [path]}, the layer that Lambda unpacks first
first; `limit` is what all of them may weigh unzipped. Result: /out/tree, and /out/report.json with the bytes of
each layer and the largest files.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import elf
from task import Finding, Report, Task, Violation, refuse, run
from tree import Entry, scan

_DISTRIBUTION = re.compile(r"(?:.*/)?([^/]+?)(?:-[^/-]+)?\.(?:dist|egg)-info(?:/|$)")
_LARGEST = 20


@dataclass(frozen=True)
class Layer:
    """One layer: its files and links by path, and what they are."""

    name: str
    root: Path
    entries: dict[str, Entry]

    @property
    def folders(self) -> frozenset[str]:
        """Every folder that its files stand in."""
        return frozenset(
            str(folder) for name in self.entries for folder in Path(name).parents if str(folder) != "."
        )

    def distributions(self) -> dict[str, str]:
        """The Python distributions that it holds metadata of, by normalised name, with a path of each."""
        found: dict[str, str] = {}
        for name in self.entries:
            match = _DISTRIBUTION.match(name)
            if match:
                found.setdefault(re.sub(r"[-_.]+", "-", match.group(1)).lower(), name)
        return found

    def libraries(self) -> dict[str, str]:
        """The shared libraries that it holds, by the name that others need them by, with the path of each."""
        found: dict[str, str] = {}
        for name, entry in self.entries.items():
            path = self.root / name
            if entry.kind != "file" or not elf.is_elf(path):
                continue
            try:
                soname = elf.read(path).soname
            except elf.NotLoadable:
                continue
            # A module's soname is nobody's need: many are called after their file.
            if soname and posixpath.basename(name).startswith(("lib", "ll-")):
                found.setdefault(soname, name)
        return found


def merge(task: Task) -> Report:
    """Check and copy.

    Raises Violation of kind "overlap" with everything that two layers both hold, or of kind "budget" if they are
    too large together.
    """
    layers = [_read(row) for row in task["layers"]]
    refuse(
        [
            finding
            for index, upper in enumerate(layers)
            for lower in layers[:index]
            for finding in overlaps(lower, upper)
        ]
    )
    report = _sizes(layers)
    if report["unzipped"] > task["limit"]:
        raise Violation(
            "budget",
            _too_large(report, task["limit"]),
            hint="prune more in the layers' recipes, or move something out of them",
        )
    tree = Path(task.get("out", "/out")) / "tree"
    tree.mkdir(parents=True)
    for layer in layers:
        for name, entry in layer.entries.items():
            _copy(layer.root / name, tree / name, entry)
    return report


def _sizes(layers: Sequence[Layer]) -> Report:
    sizes = [
        {
            "name": layer.name,
            "files": len(layer.entries),
            "unzipped": sum(e.size for e in layer.entries.values()),
        }
        for layer in layers
    ]
    files = [
        {"layer": layer.name, "path": name, "bytes": entry.size}
        for layer in layers
        for name, entry in layer.entries.items()
    ]
    files.sort(key=lambda row: (-row["bytes"], row["path"]))  # type: ignore[operator]
    return {
        "layers": sizes,
        "unzipped": sum(entry.size for layer in layers for entry in layer.entries.values()),
        "largest": files[:_LARGEST],
    }


def _too_large(report: Report, limit: int) -> str:
    """What weighs most, in decimal megabytes."""
    size = f"{report['unzipped'] / 1e6:.1f} MB"
    lines = [f"the layers have {size} unzipped together, over Lambda's limit of {limit / 1e6:.1f} MB"]
    lines += [f"{row['unzipped'] / 1e6:8.2f} MB  layer {row['name']}" for row in report["layers"]]
    lines += [
        f"{row['bytes'] / 1e6:8.2f} MB  file {row['path']} of {row['layer']}"
        for row in report["largest"][:10]
    ]
    return "\n  ".join(lines)


def overlaps(lower: Layer, upper: Layer) -> Iterator[Finding]:
    """What both layers hold: distributions first, which explain most, then libraries, then paths."""
    both = f"the layers {lower.name} and {upper.name} both hold"
    hint = f"leave it out of {upper.name}: what {lower.name} holds is there for it too"
    ours = lower.distributions()
    for name, path in sorted(upper.distributions().items()):
        if name in ours:
            yield Finding("overlap", "overlap", f"{both} the distribution {name}", hint, path, name)
    libraries = lower.libraries()
    for soname, path in sorted(upper.libraries().items()):
        if soname in libraries:
            message = f"{both} the library {soname}: {libraries[soname]} and {path}"
            why = "one of them is loaded for both: which one depends on what is imported first"
            yield Finding("overlap", "overlap", message, f"{why}; {hint}", path, soname)
    folders, theirs = upper.folders, lower.folders
    for path in sorted({*upper.entries} & {*lower.entries}):
        yield Finding("overlap", "overlap", f"{both} {path}", hint, path)
    for path in sorted((folders & {*lower.entries}) | (theirs & {*upper.entries})):
        message = (
            f"{path} is a file in one of the layers {lower.name} and {upper.name}, a folder in the other"
        )
        yield Finding("overlap", "overlap", message, "rename or leave out one of them", path)


def _read(row: Any) -> Layer:
    root = Path(row["path"])
    return Layer(row["name"], root, {e.name: e for e in scan(root) if e.kind != "directory"})


def _copy(source: Path, target: Path, entry: Entry) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if entry.kind == "link":
        target.symlink_to(entry.target)
    else:
        shutil.copyfile(source, target)
        target.chmod(0o755 if entry.executable else 0o644)


if __name__ == "__main__":
    sys.exit(run(merge, sys.argv))
