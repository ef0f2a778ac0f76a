"""Groups of files that a layer may do without, by what its smoke tests used: the candidates that trials decide on.

A group is taken out as a whole. The kinds are tried in this order, since each makes the next ones smaller: packages
that were never imported and files that no program needs; packages that were imported; folders that were never
opened and libraries that were never loaded; data that was opened. Single modules are no candidates: a rule that
leaves out whatever a few tests did not import fits these tests and nothing else. Nor are licence texts of what stays,
nor metadata that was read.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from layerlock.layer.globs import selected
from layerlock.layer.usage import Holding, Used, object_stem

SMALLEST: Final = 10_000
"""Bytes that a library, a package that was imported, or data must have to be worth trials of its own."""

NEVER_IMPORTED: Final = "never-imported"
OPTIONAL: Final = "optional-packages"
FOLDERS: Final = "never-opened"
LIBRARIES: Final = "never-loaded"
DATA: Final = "opened-data"


Projects = Mapping[str, tuple[str, ...]]
"""The packages of projects, by the names that their metadata is filed under, in lower case; left out where equal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of file that no program needs: the rule's name, its patterns, and the reason that the rule gives."""

    name: str
    patterns: tuple[str, ...]
    reason: str


KINDS: Final[tuple[Kind, ...]] = (
    Kind(
        name="tests",
        patterns=("**/tests/**", "**/test/**", "**/testing/**", "**/test_*.py", "**/conftest.py"),
        reason="They try the packages; the smoke tests open none of them.",
    ),
    Kind(
        name="stubs",
        patterns=("**/*.pyi", "**/py.typed"),
        reason="For type checkers.",
    ),
    Kind(
        name="compiling",
        patterns=(
            *(
                "**/include/**",
                "**/*.h",
                "**/*.hh",
                "**/*.hpp",
                "**/*.pxd",
                "**/*.pxi",
                "**/*.pxi.in",
                "**/*.pyx",
                "**/*.pyx.in",
            ),
            *(
                "**/*.c",
                "**/*.cc",
                "**/*.cpp",
                "**/*.cu",
                "**/*.f",
                "**/*.f90",
                "**/*.a",
                "**/*.cmake",
                "**/*.pc",
            ),
        ),
        reason="For compiling; there is no compiler on Lambda.",
    ),
    Kind(
        name="examples",
        patterns=("**/examples/**", "**/sample_data/**", "**/doc/**", "**/docs/**", "**/*.md", "**/*.rst"),
        reason="Examples and manuals.",
    ),
    Kind(
        name="dist-info",
        patterns=tuple(
            f"**/*.dist-info/{name}"
            for name in (
                *(
                    "METADATA",
                    "WHEEL",
                    "INSTALLER",
                    "REQUESTED",
                    "direct_url.json",
                    "entry_points.txt",
                    "namespace_packages.txt",
                ),
                *("pbr.json", "top_level.txt", "zip-safe"),
            )
        ),
        reason="Installers' records that the smoke tests do not read.",
    ),
    Kind(name="scripts", patterns=("bin/**",), reason="Programs for the command line."),
)
REASONS: Final[Mapping[str, str]] = {
    NEVER_IMPORTED: "The smoke tests import nothing of these packages.",
    OPTIONAL: "Imported where they are there; the smoke tests pass without them.",
    FOLDERS: "The smoke tests open nothing in these folders.",
    LIBRARIES: "Modules and libraries that the smoke tests do not load.",
    DATA: "Data that is opened; the smoke tests pass without it.",
    **{kind.name: kind.reason for kind in KINDS},
}

_LICENCE: Final = re.compile(r"(?i)(?:un)?licen[cs]e|copying|copyright|notice|authors")
_CODE: Final = (".py", ".pyc", ".so")
_COMPANION: Final = re.compile(r"(.+?)(?:-[^-]*\.(?:dist|egg)-info|\.libs)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Files that are left out together, the rule that they belong to, and what people call them."""

    name: str
    rule: str
    called: str
    files: tuple[str, ...]


def protected(path: str) -> bool:
    """Say whether a file is a licence text, or stands among such."""
    *folders, base = path.split("/")
    return bool(_LICENCE.match(base)) or any(part.lower() in ("licenses", "licences") for part in folders)


def unneeded(holding: Holding, used: Used, kept: Collection[str], projects: Projects) -> Iterator[Group]:
    """Give packages that were never imported, and files of the kinds that no program needs, a group a package.

    `kept` are paths that stay whatever rules say.
    """
    taken: set[str] = set()
    for group in _never_imported(holding, used, kept, projects):
        taken.update(group.files)
        yield group
    sorted_out: dict[tuple[str, str], list[str]] = {}
    for path in holding.files:
        if path in taken or path in used.files or path in kept or protected(path):
            continue
        kind = next((kind for kind in KINDS if selected(path, kind.patterns)), None)
        if kind is not None:
            sorted_out.setdefault((kind.name, holding.top(path) or path.partition("/")[0]), []).append(path)
    for (kind_name, top), files in sorted(sorted_out.items()):
        yield _group(kind_name, f"{kind_name} of {posixpath.basename(top)}", files)


def imported(
    holding: Holding, used: Used, kept: Collection[str], projects: Projects, own: Collection[str]
) -> Iterator[Group]:
    """Give every package that was imported, with its libraries and its metadata, read or not: some read their own.

    `own` are the packages that the tests themselves import: nothing is to be learned of them.
    """
    for top, files in sorted(holding.tops.items()):
        if not _is_package(top) or module_name(top) in own or not used.files.intersection(files):
            continue
        whole = _with_companions(holding, top, (module_name(top),), projects)
        going = [path for path in whole if path not in kept]
        if sum(holding.files[path].size for path in going) >= SMALLEST:
            yield _group(OPTIONAL, module_name(top), going)


def unopened(
    holding: Holding,
    used: Used,
    kept: Collection[str],
    gone: Collection[str],
    users: Mapping[str, Collection[str]],
) -> tuple[Group, ...]:
    """Give folders in which nothing was opened, a group each, and then libraries that were never loaded.

    `gone` are files that are left out already, `kept` those that stay; `users` gives the objects that need an object.
    """
    spare = {
        path
        for path in holding.files
        if path not in used.files and path not in kept and path not in gone and not protected(path)
    }
    stays = [path for path in holding.files if path not in spare and path not in gone and not protected(path)]
    alive = {folder for path in stays for folder in folders(path)}
    alive.update(holding.sites, {""}, (f for site in holding.sites for f in folders(f"{site}/x")))
    found: dict[str, list[str]] = {}
    for path in sorted(spare):
        top = next((folder for folder in folders(path) if folder not in alive), None)
        if top is not None:
            found.setdefault(top, []).append(path)
    groups = []
    inside: set[str] = set()
    for folder in sorted(found):
        files = [path for path in holding.files if path.startswith(f"{folder}/") and path not in gone]
        inside.update(files)
        shown = folder[len(holding.site(folder)) :].lstrip("/")
        groups.append(_group(FOLDERS, shown, files))
    groups += [
        _group(LIBRARIES, posixpath.basename(path), [path])
        for path in sorted(spare - inside)
        if object_stem(path) is not None and holding.files[path].size >= SMALLEST
    ]
    # Assembly refuses a library that is needed and not there, loaded or not.
    while True:
        going = {*gone, *(path for group in groups for path in group.files)}
        free = [g for g in groups if all(user in going for path in g.files for user in users.get(path, ()))]
        if len(free) == len(groups):
            return tuple(groups)
        groups = free


def opened(holding: Holding, used: Used, kept: Collection[str], gone: Collection[str]) -> Iterator[Group]:
    """Give the data of each folder that holds no code, those in it included, where some of it was opened."""
    left = [path for path in holding.files if path not in gone]
    coded = {folder for path in left if is_code(path) for folder in folders(path)}
    coded.update(holding.sites, (folder for site in holding.sites for folder in folders(site)))
    found: dict[str, list[str]] = {}
    for path in left:
        if ".dist-info/" not in path and ".egg-info/" not in path:
            folder = next((each for each in folders(path) if each not in coded), posixpath.dirname(path))
            found.setdefault(folder, []).append(path)
    for folder, files in sorted(found.items()):
        if any(map(is_code, files)):
            continue
        # With the fonts goes the fonts' licence.
        data = [path for path in files if path not in kept]
        if used.files.intersection(data) and sum(holding.files[path].size for path in data) >= SMALLEST:
            shown = folder[len(holding.site(folder)) :].lstrip("/")
            yield _group(DATA, shown, data)


def parts(group: Group) -> tuple[Group, ...]:
    """Give what a group's files stand in together by the folders and files that lie there, a group each."""
    top = posixpath.commonpath(group.files) if len(group.files) > 1 else posixpath.dirname(group.files[0])
    found: dict[str, list[str]] = {}
    for path in group.files:
        if not protected(path):
            found.setdefault(path[len(top) + 1 :].partition("/")[0], []).append(path)
    shown = group.called + top.rpartition(group.called)[2]
    return tuple(_group(group.rule, f"{shown}/{name}", files) for name, files in sorted(found.items()))


def module_name(top: str) -> str:
    """Give what an entry of a folder of modules is imported as."""
    base = posixpath.basename(top)
    return object_stem(base) or base.removesuffix(".py")


def _never_imported(
    holding: Holding, used: Used, kept: Collection[str], projects: Projects
) -> Iterator[Group]:
    unused = {
        module_name(top): top
        for top, files in sorted(holding.tops.items())
        if _is_package(top) and not used.files.intersection(files)
    }
    for name, top in unused.items():
        whole = _with_companions(holding, top, unused, projects, used.files)
        if files := [path for path in whole if path not in kept]:
            yield _group(NEVER_IMPORTED, name, files)


def _with_companions(
    holding: Holding, top: str, going: Collection[str], projects: Projects, read: Collection[str] = ()
) -> list[str]:
    """Add a package's folder of libraries and its metadata, but for what is `read`, where all its project is `going`.

    What belongs to several packages goes with the first of them.
    """
    site, name = posixpath.dirname(top), module_name(top)
    whole = [*holding.tops[top]]
    for other, files in holding.tops.items():
        found = _COMPANION.fullmatch(posixpath.basename(other))
        if found is None or posixpath.dirname(other) != site:
            continue
        project = found[1].lower()
        owners = projects.get(project, (project,))
        if name == owners[0] and all(owner in going for owner in owners):
            whole += (path for path in files if path not in read)
    return whole


def _is_package(top: str) -> bool:
    base = posixpath.basename(top)
    return not base.endswith((".dist-info", ".egg-info", ".libs", ".pth")) and (
        "." not in base or base.endswith(".py") or object_stem(base) is not None
    )


def _group(rule: str, called: str, files: Iterable[str]) -> Group:
    chosen = tuple(sorted(files))
    # A file is in one group of a rule.
    return Group(name=f"{rule}:{chosen[0]}", rule=rule, called=called, files=chosen)


def places(holding: Holding, files: Collection[str], gone: Collection[str]) -> Iterator[str]:
    """Name files by few paths: folders that hold nothing but what is `gone`, and single files."""
    other = {folder for path in holding.files if path not in gone for folder in folders(path)}
    other.update(holding.sites, (folder for site in holding.sites for folder in folders(site)))
    said: set[str] = set()
    for path in sorted(files):
        place = next((folder for folder in folders(path) if folder not in other), path)
        if place not in said:
            said.add(place)
            yield place


def is_code(path: str) -> bool:
    """Say whether a file is a module or library, by its name."""
    return path.endswith(_CODE) or object_stem(path) is not None


def folders(path: str) -> Iterator[str]:
    """Give the folders that a path lies in, the outermost first."""
    parts = path.split("/")
    return ("/".join(parts[:end]) for end in range(1, len(parts)))
