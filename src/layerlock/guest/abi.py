"""Decides, without running anything, whether every object of a layer would load on its runtime.

Each object is followed as glibc's loader would (ld.so(8), dl-load.c, dl-lookup.c): DT_RPATH where there is no
DT_RUNPATH, then LD_LIBRARY_PATH in Lambda's order, then DT_RUNPATH, then the system. What a name is found
as decides which symbols it offers. A reference with a version has to be met by the library it is bound to;
one without, by anything in the scope of the module that is imported: the interpreter with its libraries,
and the module's closure.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    Any,
    Union,
)

from elf import MACHINES, Elf, origin
from exports import Library
from task import Finding

PAGE = 4096
_SYSTEM = ("/lib64", "/usr/lib64")
_OPT = "/opt"


@dataclass(frozen=True)
class Runtime:
    """What the runtime offers to objects. `search` is LD_LIBRARY_PATH; `machine` the ELF name of its
    architecture.
    """

    name: str
    architecture: str
    search: tuple[str, ...]
    libraries: Mapping[str, Library] = field(repr=False)
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Found:
    """What a needed name is found as: the object `path` of a layer, or, with `path` "", a library of the
    runtime.
    """

    name: str
    path: str = ""

    @property
    def place(self) -> str:
        return f"{_OPT}/{self.path}" if self.path else f"runtime:{self.name}"


Provider = Union[Elf, Library]


@dataclass(frozen=True)
class World:
    """All that takes part in loading.

    `objects`: the layer's own, by path relative to /opt, which are judged. `beneath`: objects of layers
    that stand below it. `names`: every path or link that leads to an object, and where. `loaded_before`:
    sonames that some other module has brought into the process by the time they are needed.
    """

    runtime: Runtime
    objects: Mapping[str, Elf] = field(repr=False)
    names: Mapping[str, str] = field(repr=False)
    interpreter: Elf | None = field(default=None, repr=False)
    beneath: Mapping[str, Elf] = field(default_factory=dict, repr=False)
    loaded_before: frozenset[str] = frozenset()

    def elf(self, path: str) -> Elf:
        return self.objects[path] if path in self.objects else self.beneath[path]

    def provider(self, found: Found) -> Provider:
        return self.elf(found.path) if found.path else self.runtime.libraries[found.name]


@dataclass(frozen=True)
class Verdict:
    """`table`: for each object, what each needed name is found as ("" if it is not); `maxima`: the highest
    version of each family (GLIBC, GLIBCXX, ...) that is asked of the runtime's libraries.
    """

    findings: tuple[Finding, ...]
    table: tuple[dict[str, Any], ...]
    maxima: dict[str, str]


def check(world: World) -> Verdict:
    """Judge every object of `world.objects`."""
    findings: list[Finding] = []
    resolved: dict[str, dict[str, Found | None]] = {
        path: {name: resolve(world, path, name) for name in world.elf(path).needed}
        for path in [*world.objects, *world.beneath]
    }
    for path in sorted(world.objects):
        elf = world.objects[path]
        findings += shape(path, elf, world.runtime.architecture)
        findings += _missing(world, path, resolved[path])
        findings += _versions(world, path, resolved[path])
    findings += _symbols(world, resolved)
    table = tuple(
        {
            "file": path,
            "needs": [
                {"name": name, "found": found.place if found else ""}
                for name, found in resolved[path].items()
            ],
        }
        for path in sorted(world.objects)
    )
    return Verdict(tuple(findings), table, _maxima(world, resolved))


def resolve(world: World, path: str, name: str) -> Found | None:
    """What the loader finds for a DT_NEEDED `name` of the object `path`; None if nothing."""
    elf = world.elf(path)
    folder = posixpath.dirname(f"{_OPT}/{path}")
    before = () if elf.runpath else elf.rpath
    for place in [
        *(origin(entry, folder) for entry in before),
        *world.runtime.search,
        *(origin(entry, folder) for entry in elf.runpath),
        *_SYSTEM,
    ]:
        if place in _SYSTEM and name in world.runtime.libraries:
            return Found(name)
        inside = posixpath.relpath(f"{place}/{name}", _OPT) if place.startswith(_OPT) else ""
        if inside in world.names:
            return Found(name, world.names[inside])
    if name in world.loaded_before:
        for other in [*sorted(world.objects), *sorted(world.beneath)]:
            if world.elf(other).soname == name or posixpath.basename(other) == name:
                return Found(name, other)
    return None


def shape(path: str, elf: Elf, architecture: str) -> Iterator[Finding]:
    """What can be said of one object by itself: machine, stack, segments, search paths."""

    def bad(message: str, hint: str) -> Finding:
        return Finding("elf", "abi", f"{path}: {message}", hint, path)

    if elf.machine != MACHINES[architecture]:
        yield bad(
            f"is for {elf.machine}, the layer for {architecture}", "pin the wheel of the layer's architecture"
        )
        return
    # Without the header glibc assumes what the architecture's default is: executable on x86_64 only.
    if elf.executable_stack or (elf.executable_stack is None and architecture == "x86_64"):
        yield bad(
            "cannot enable executable stack as shared object requires",
            "an assembly source lacks a .note.GNU-stack section: link with -Wl,-z,noexecstack",
        )
    yield from _segments(elf, bad)
    folder = posixpath.dirname(f"{_OPT}/{path}")
    for entry in (*elf.rpath, *elf.runpath):
        place = origin(entry, folder)
        if not entry.startswith(("$ORIGIN", "${ORIGIN}", f"{_OPT}/")) or not f"{place}/".startswith(
            f"{_OPT}/"
        ):
            yield bad(
                f"searches libraries in {entry or 'the current directory'!r}, outside of the layer",
                "link without -rpath, or with one below $ORIGIN or /opt",
            )


def _segments(elf: Elf, bad: Any) -> Iterator[Finding]:
    remedy = "strip or patchelf has damaged it: do not use both on one file, or keep it out of stripping"
    if not elf.loads:
        yield bad("object file has no loadable segments", remedy)
    last = 0
    for load in elf.loads:
        alignment = load.alignment or 1
        if alignment & (alignment - 1) or alignment % PAGE:
            yield bad("ELF load command alignment not page-aligned", remedy)
        elif load.address % alignment != load.offset % alignment:
            yield bad("ELF load command address/offset not properly aligned", remedy)
        if load.offset + load.file_size > elf.size or load.file_size > load.memory_size:
            yield bad("ELF load command past end of file", remedy)
        if load.address < last:
            yield bad("ELF load commands are not in the order of their addresses", remedy)
        last = load.address + load.memory_size


def _missing(world: World, path: str, resolved: Mapping[str, Found | None]) -> Iterator[Finding]:
    for name, found in resolved.items():
        if found is None:
            absent = name in world.runtime.absent
            hint = f"{world.runtime.name} does not have it: " if absent else ""
            hint += "add a package that ships it in lib/, or link it statically"
            elsewhere = sorted(other for other, elf in world.objects.items() if elf.soname == name)
            if elsewhere:
                hint = f"the layer has it as {elsewhere[0]}, where nothing looks: move it to lib/ or give an rpath"
            message = f"{path}: {name}: cannot open shared object file"
            yield Finding("needed", "abi", message, hint, path, name)


def _versions(world: World, path: str, resolved: Mapping[str, Found | None]) -> Iterator[Finding]:
    """References with a version, each against the library that it is bound to."""
    elf = world.objects[path]
    by_name = _bound(world, resolved)
    said: set[tuple[str, str]] = set()
    for need in elf.needs:
        found = by_name.get(need.library)
        if found is None:
            if need.library not in resolved:
                yield Finding(
                    "versions",
                    "abi",
                    f"{path}: asks for {need.version} of {need.library} but does not need that library",
                    "link it with the library, or rename both alike",
                    path,
                )
            continue
        provider = world.provider(found)
        known = provider.versions if isinstance(provider, Elf) else _all_versions(provider)
        if need.version in known or not known or need.weak:
            continue
        said.add((need.library, need.version))
        users = sorted(wanted.name for wanted in elf.wanted if wanted.index == need.index)
        yield Finding(
            "versions",
            "abi",
            f"{path}: version `{need.version}' of {need.library} not found"
            + (f" (required by {_few(users)})" if users else ""),
            _remedy(need.library, found, world.runtime.name),
            path,
            f"{users[0]}@{need.version}" if users else need.version,
        )
    for wanted in elf.wanted:
        if not wanted.version or wanted.weak or (wanted.library, wanted.version) in said:
            continue
        found = by_name.get(wanted.library)
        if found is not None and not world.provider(found).defines(wanted.name, wanted.version):
            yield Finding(
                "symbols",
                "abi",
                f"{path}: undefined symbol: {wanted.name}, version {wanted.version} (of {wanted.library})",
                _remedy(wanted.library, found, world.runtime.name),
                path,
                f"{wanted.name}@{wanted.version}",
            )


def _remedy(library: str, found: Found, runtime: str) -> str:
    if found.path:
        return (
            f"it is found as /opt/{found.path}, which lacks that: ship the library that it was built against"
        )
    if library.startswith(("libstdc++", "libgcc_s")):
        return f"{runtime}'s is older: ship the compiler's own and list it under `private`, or link it statically"
    return (
        f"{runtime}'s is older: build it in an environment with a glibc floor, or, if it is prebuilt and "
        "an older version does the same, list the file under `lower`"
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _all_versions(library: Library) -> set[str]:
    return {version for versions in library.symbols.values() for version in versions if version}


def _bound(world: World, resolved: Mapping[str, Found | None]) -> dict[str, Found | None]:
    """A need's library name is either a needed name or the soname of what one was found as."""
    names: dict[str, Found | None] = dict(resolved)
    for found in resolved.values():
        if found is not None and found.path:
            names.setdefault(world.elf(found.path).soname, found)
    # The loader looks among all that is loaded by then; what the C library brings along is always there.
    for name in ("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"):
        if name in world.runtime.libraries:
            names.setdefault(name, Found(name))
    return names


def _symbols(world: World, resolved: Mapping[str, Mapping[str, Found | None]]) -> Iterator[Finding]:
    """References without a version, each in the scope of every module that brings the object in."""
    base = list(_interpreter_scope(world))
    scopes = {path: _scope(world, path, resolved) for path in world.objects}
    needed_by: dict[str, list[str]] = {path: [] for path in world.objects}
    for path, scope in scopes.items():
        for found in scope[1:]:
            if found.path in needed_by:
                needed_by[found.path].append(path)
    for path in sorted(world.objects):
        elf = world.objects[path]
        common = [] if elf.interpreter else base
        names = {wanted.name for wanted in elf.wanted if not wanted.version and not wanted.weak}
        unmet = _unmet(world, names, scopes[path], common)
        if not unmet:
            continue
        # A library may count on what else the modules that need it bring in; a module that is imported may
        # not.
        users = [user for user in sorted(needed_by[path]) if not needed_by[user]] or [path]
        for user in users:
            left = _unmet(world, unmet, scopes[user], common)
            via = "" if user == path else f" (loaded by {user})"
            for name in sorted(left):
                message = f"{path}: undefined symbol: {name}{via}"
                yield Finding("symbols", "abi", message, _who_has(world, name), path, name)
            if left:
                break


def _unmet(world: World, names: Iterable[str], scope: Sequence[Found], base: Sequence[Provider]) -> set[str]:
    """The names that nothing defines. A library whose symbols nobody has listed is taken to define any."""
    providers = [*base, *(world.provider(found) for found in scope)]
    return {name for name in names if not any(provider.defines(name, "") for provider in providers)}


def _who_has(world: World, name: str) -> str:
    for path in sorted(world.objects):
        if name in world.objects[path].defined:
            return f"{path} has it, but nothing leads there: link the module with that library"
    for library in world.runtime.libraries.values():
        if name in library.symbols:
            return f"the runtime's {library.name} has it: link the module with that library"
    return "link the module with the library that has it, and ship that library in lib/"


def _scope(world: World, path: str, resolved: Mapping[str, Mapping[str, Found | None]]) -> list[Found]:
    """The object and its closure in the loader's order: breadth first."""
    scope = [Found(posixpath.basename(path), path)]
    seen = {scope[0].place}
    for current in scope:
        if current.path:
            following = list(resolved[current.path].values())
        else:
            following = [
                Found(name)
                for name in world.runtime.libraries[current.name].needs
                if name in world.runtime.libraries
            ]
        for found in following:
            if found is not None and found.place not in seen:
                seen.add(found.place)
                scope.append(found)
    return scope


def _interpreter_scope(world: World) -> Iterator[Provider]:
    """What is in the process before any module: the interpreter, and the runtime's libraries it is linked
    to.
    """
    if world.interpreter is None:
        return
    yield world.interpreter
    waiting, seen = list(world.interpreter.needed), set(world.interpreter.needed)
    for name in waiting:
        library = world.runtime.libraries.get(name)
        if library is None:
            continue
        yield library
        for other in library.needs:
            if other not in seen:
                seen.add(other)
                waiting.append(other)


def _maxima(world: World, resolved: Mapping[str, Mapping[str, Found | None]]) -> dict[str, str]:
    highest: dict[str, tuple[tuple[int, ...], str]] = {}
    for path, elf in world.objects.items():
        bound = _bound(world, resolved[path])
        for need in elf.needs:
            found = bound.get(need.library)
            family, _, number = need.version.partition("_")
            parts = number.split(".")
            if found is None or found.path or not all(part.isdigit() for part in parts):
                continue
            key = tuple(int(part) for part in parts)
            if key > highest.get(family, ((), ""))[0]:
                highest[family] = (key, number)
    return {family: highest[family][1] for family in sorted(highest)}
