"""The checks of a finished layer tree that need no knowledge of ELF: one table, one function a row."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from collect import case_collisions
from globs import matches
from task import Finding
from tree import Entry, scan

# All of them at once; a path such as /build/ counts only where a path can begin, so that "lib/build/" is
# none.
_BEFORE_PATH = rb"(?<![A-Za-z0-9_.\-/~\])}>*])"


@dataclass(frozen=True)
class Tree:
    """What checks look at. `import_roots`: folders of the layer that stand on sys.path, relative to it."""

    root: Path
    entries: tuple[Entry, ...]
    import_roots: tuple[str, ...]
    standard_library: frozenset = frozenset()  # type: ignore[type-arg]
    forbidden: tuple[str, ...] = ()
    forbidden_except: tuple[str, ...] = ()
    allow_pth: bool = False


def look(root: Path, **settings: Any) -> Tree:
    """A Tree of what is below `root` now."""
    return Tree(root=root, entries=tuple(scan(root)), **settings)


def links(tree: Tree) -> Iterator[Finding]:
    """Links point to something inside of the layer, by a relative path."""
    names = {entry.name for entry in tree.entries}
    for entry in tree.entries:
        if entry.kind != "link":
            continue
        place = posixpath.normpath(posixpath.join(posixpath.dirname(entry.name), entry.target))
        if entry.target.startswith("/"):
            why = "is an absolute link"
        elif place == ".." or place.startswith("../"):
            why = "is a link that leaves the layer"
        elif place not in names and place != ".":
            why = "is a link to nothing"
        else:
            continue
        yield Finding(
            "links",
            "check",
            f"{entry.name} {why}: {entry.target}",
            "prune it, or mend the package",
            entry.name,
        )


def names(tree: Tree) -> Iterator[Finding]:
    """Names are printable UTF-8, and two never differ only by case."""
    for entry in tree.entries:
        try:
            sound = entry.name.encode("utf-8").decode("utf-8").isprintable() and "\\" not in entry.name
        except UnicodeEncodeError:
            sound = False
        if not sound:
            yield Finding(
                "names",
                "check",
                f"{entry.name!r} is no printable name",
                "prune or rename it",
                ascii(entry.name),
            )
        if entry.kind == "other":
            yield Finding("names", "check", f"{entry.name} is neither file, folder nor link", "", entry.name)
    yield from case_collisions([entry.name for entry in tree.entries if entry.kind != "directory"])


def path_files(tree: Tree) -> Iterator[Finding]:
    """No `.pth` file where Python would execute it at every start."""
    for entry in tree.entries:
        if (
            entry.name.endswith(".pth")
            and posixpath.dirname(entry.name) in tree.import_roots
            and not tree.allow_pth
        ):
            hint = "prune it; nothing but an editable or namespace install needs it"
            yield Finding(
                "pth", "check", f"{entry.name} would run code whenever Python starts", hint, entry.name
            )


def shadowing(tree: Tree) -> Iterator[Finding]:
    """No module that hides one of the standard library: the layer's folders come first on sys.path."""
    for entry in tree.entries:
        folder, _, base = entry.name.rpartition("/")
        module = base.split(".")[0]
        is_module = entry.kind == "directory" or base.endswith((".py", ".so", ".pyc"))
        if folder not in tree.import_roots or not is_module or module not in tree.standard_library:
            continue
        if entry.kind == "directory" and ("." in base or not _is_package(tree, entry.name)):
            continue
        message = f"{entry.name} hides the standard library's {module}"
        yield Finding("shadowing", "check", message, "prune it: Lambda's Python has that module", entry.name)


def build_paths(tree: Tree) -> Iterator[Finding]:
    """No trace of where or on what the layer was built: such strings change from machine to machine."""
    if not tree.forbidden:
        return
    alternatives = [
        (_BEFORE_PATH if text.startswith("/") else b"") + re.escape(text.encode()) for text in tree.forbidden
    ]
    pattern = re.compile(b"|".join(alternatives))
    for entry in tree.entries:
        if entry.kind != "file" or matches(module_of(entry.name), tree.forbidden_except):
            continue
        content = (tree.root / entry.name).read_bytes()
        # A plain search first: the look-behind makes the expression too slow for a hundred megabytes.
        if not any(text.encode() in content for text in tree.forbidden):
            continue
        found = list(pattern.finditer(content))
        if found:
            shown = re.match(rb"[^\0\n\"' ]{1,120}", content[found[0].start() :])
            text = shown.group().decode("utf-8", "replace") if shown else ""
            times = f", {len(found)} times" if len(found) > 1 else ""
            yield Finding(
                "build-paths",
                "check",
                f"{entry.name} holds {text!r} at byte {found[0].start()}{times}",
                "map the path away (-ffile-prefix-map), patch what writes it, or prune the file",
                entry.name,
                text,
            )


def module_of(name: str) -> str:
    """The module that a file in `__pycache__` is the bytecode of; any other name as it is."""
    folder, _, base = name.rpartition("/")
    if folder.rpartition("/")[2] != "__pycache__":
        return name
    return f"{folder[: -len('__pycache__')]}{base.split('.')[0]}.py"


def largest_of(sizes_by_name: Iterable[tuple[str, int]], count: int) -> list[tuple[str, int]]:
    """The `count` largest, the largest first, equal ones by name."""
    return sorted(sizes_by_name, key=lambda item: (-item[1], item[0]))[:count]


def _is_package(tree: Tree, folder: str) -> bool:
    """A folder without any module in it shadows nothing: a namespace package gives way to a real one."""
    return (tree.root / folder / "__init__.py").exists()


@dataclass(frozen=True)
class Check:
    """A row of the table below."""

    name: str
    function: Callable[[Tree], Iterable[Finding]]
    explanation: str


CHECKS: Sequence[Check] = (
    Check("links", links, "a link that leaves the layer is broken or worse under /opt"),
    Check("names", names, "names that collide or cannot be printed break on other file systems"),
    Check("pth", path_files, "Python executes .pth files of a layer at every start"),
    Check("shadowing", shadowing, "a layer's folders come before the standard library"),
    Check("build-paths", build_paths, "a build path in a file is a difference waiting to happen"),
)


def run_checks(tree: Tree) -> list[Finding]:
    """The findings of every row, in the order of the table."""
    return [finding for check in CHECKS for finding in check.function(tree)]


def summary(findings: Sequence[Finding]) -> dict[str, int]:
    """How many findings each check has, the silent ones included."""
    counts = {check.name: 0 for check in CHECKS}
    for finding in findings:
        counts[finding.check] = counts.get(finding.check, 0) + 1
    return counts
