"""How a layer's objects would find each other and the runtime's libraries: glibc's loader, followed on paper.

Sources: ld.so(8) for the order of search (DT_RPATH without DT_RUNPATH, LD_LIBRARY_PATH, DT_RUNPATH, the system);
dl-load.c of glibc for whose DT_RPATH counts (an object's own, then that of whoever brought it in, and so on upwards);
dl-lookup.c of glibc for what meets a reference: one with a version is met by the library that it is bound to, one
without by anything in scope: the interpreter with its libraries, and the closure of the module that is imported.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from layerlock.audit.elf import Elf
from layerlock.audit.exports import Library

OPT: Final = "/opt"
_SYSTEM: Final = ("/lib64", "/usr/lib64")
_PYTHON_NEEDS: Final = ("libpthread.so.0", "libdl.so.2", "libutil.so.1", "libm.so.6", "libc.so.6")
"""What CPython's makefile links it to (`LIBS` and `LIBM`), for where no interpreter is at hand to ask."""
_LOADERS: Final = ("ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """What a runtime offers to objects. `search` is its LD_LIBRARY_PATH; `absent` only makes better messages.

    `loaded_before` are libraries of the layer that its recipe says are loaded by the time they are needed.
    """

    name: str
    architecture: str
    search: tuple[str, ...]
    libraries: Mapping[str, Library] = field(repr=False)
    absent: frozenset[str] = frozenset()
    loaded_before: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a needed name is found as: the object `path` of the layer or of one beneath, or a library of the runtime."""

    name: str
    path: str = ""


Edges = Mapping[str, Mapping[str, Found | None]]
"""What each object's needed names are found as."""


@dataclass(frozen=True, kw_only=True)
class Loader:
    """A layer at `/opt`, or a function at `/var/task`, on a runtime.

    Args:
        objects: the layer's objects by path.
        names: every path or link that leads to an object, and that object's path.
        beneath: the objects of the layers that it is used with, by path from `root` likewise; they are found, and no
            more: whether they would load is told of their own layers.
        platform: the runtime.
        interpreter: its Python, where that is known; else what begins as Python's own names do is taken as met.
        root: where it is unpacked.
    """

    objects: Mapping[str, Elf] = field(repr=False)
    names: Mapping[str, str] = field(repr=False)
    platform: Platform
    beneath: Mapping[str, Elf] = field(default_factory=dict, repr=False)
    interpreter: Elf | None = field(default=None, repr=False)
    root: str = OPT

    @cached_property
    def edges(self) -> Edges:
        """What each of the layer's own objects' needed names are found as."""
        return {path: needs for path, needs in self._edges.items() if path in self.objects}

    @cached_property
    def _all(self) -> Mapping[str, Elf]:
        return {**self.beneath, **self.objects}

    @cached_property
    def _edges(self) -> Edges:
        edges = {
            path: {name: self._resolve(path, elf, name) for name in elf.needed}
            for path, elf in self._all.items()
        }
        missing = [(path, name) for path in edges for name, found in edges[path].items() if found is None]
        changed = True
        while changed:
            changed = False
            for path, name in missing:
                if edges[path][name] is None and (found := self._handed_down(edges, path, name)) is not None:
                    edges[path][name], changed = found, True
        return edges

    @cached_property
    def users(self) -> Mapping[str, tuple[str, ...]]:
        """The objects that need each object or library of the runtime, by path or name."""
        found: dict[str, list[str]] = {}
        for path in sorted(self.edges):
            for name, target in self.edges[path].items():
                found.setdefault(target.path or name if target else name, []).append(path)
        return {name: tuple(paths) for name, paths in found.items()}

    def unversioned(self) -> Iterator[tuple[str, str, str]]:
        """Give every object with a reference without a version that nothing meets: it, the symbol, who loads it."""
        base = tuple(self._base())
        for path, elf in sorted(self.objects.items()):
            names = {wanted.name for wanted in elf.wanted if not wanted.version and not wanted.weak}
            unmet = self._unmet(names, [*base, *self._scope(path)])
            if not unmet:
                continue
            for user in self._importers(path):
                left = self._unmet(unmet, [*base, *self._scope(user)])
                yield from ((path, name, user) for name in sorted(left))
                if left:
                    break

    def bound(self, path: str) -> Mapping[str, Found | None]:
        """What each library that an object names in its versions is found as."""
        found: dict[str, Found | None] = dict(self.edges[path])
        for target in self.edges[path].values():
            if target is not None and target.path:
                found.setdefault(self._all[target.path].soname, target)
        # The loader looks among all that is loaded by then; what the C library brings along is always there.
        for name in _LOADERS:
            if name in self.platform.libraries:
                found.setdefault(name, Found(name=name))
        return found

    def provider(self, found: Found) -> Elf | Library:
        """Give what meets references to what a name was found as."""
        return self._all[found.path] if found.path else self.platform.libraries[found.name]

    def _handed_down(self, edges: Edges, path: str, name: str) -> Found | None:
        """Look where those that bring an object in say by DT_RPATH; each of them has to, since any may be the first."""
        if self._all[path].runpath:
            return None
        above = [self._inside(name, self._chain(edges, user)) for user in _brought_in_by(edges, path)]
        return above[0] if above and all(above) else None

    def _chain(self, edges: Edges, path: str) -> Iterator[str]:
        """Give the folders of an object's DT_RPATH, and of those that bring it in."""
        chain = [path]
        for current in chain:
            elf = self._all[current]
            folder = posixpath.dirname(f"{self.root}/{current}")
            yield from () if elf.runpath else (expand(entry, folder) for entry in elf.rpath)
            chain += (user for user in _brought_in_by(edges, current) if user not in chain)

    def _inside(self, name: str, places: Iterable[str]) -> Found | None:
        paths = (self._below(place, name) for place in places)
        return next((Found(name=name, path=self.names[path]) for path in paths if path in self.names), None)

    def _below(self, place: str, name: str) -> str:
        """Give the path of a name in a folder, as seen from the root; empty where no layer and no function has it."""
        inside = f"{place}/".startswith((f"{self.root}/", f"{OPT}/"))
        return posixpath.relpath(f"{place}/{name}", self.root) if inside else ""

    def _resolve(self, path: str, elf: Elf, name: str) -> Found | None:
        folder = posixpath.dirname(f"{self.root}/{path}")
        for place in (
            *(() if elf.runpath else (expand(entry, folder) for entry in elf.rpath)),
            *self.platform.search,
            *(expand(entry, folder) for entry in elf.runpath),
            *_SYSTEM,
        ):
            if place in _SYSTEM and name in self.platform.libraries:
                return Found(name=name)
            inside = self._below(place, name)
            if inside in self.names:
                return Found(name=name, path=self.names[inside])
        if name in self.platform.loaded_before:
            for other in (*sorted(self.objects), *sorted(self.beneath.keys() - self.objects.keys())):
                if name in (self._all[other].soname, posixpath.basename(other)):
                    return Found(name=name, path=other)
        return None

    def _importers(self, path: str) -> Sequence[str]:
        """The modules by which an object is loaded: it may count on what else they bring in; a module may not."""
        tops = [
            user
            for user in sorted(self.objects)
            if user != path and path in self._reach[user] and not self.users.get(user)
        ]
        return tops or [path]

    @cached_property
    def _reach(self) -> Mapping[str, frozenset[str]]:
        return {path: frozenset(self._closure(path)) for path in self.objects}

    def _closure(self, path: str) -> list[str]:
        """An object and the layers' objects that it brings in, in the loader's order: breadth first."""
        closure = [path]
        for current in closure:
            for found in self._edges[current].values():
                if found is not None and found.path and found.path not in closure:
                    closure.append(found.path)
        return closure

    def _scope(self, path: str) -> list[Elf | Library]:
        closure = self._closure(path)
        names = [
            found.name
            for each in closure
            for found in self._edges[each].values()
            if found is not None and not found.path
        ]
        return [*(self._all[each] for each in closure), *self._system(names)]

    def _system(self, names: Iterable[str]) -> list[Library]:
        waiting = list(dict.fromkeys(names))
        found = []
        for name in waiting:
            library = self.platform.libraries.get(name)
            if library is not None:
                found.append(library)
                waiting += (need for need in library.needs if need not in waiting)
        return found

    def _base(self) -> Iterator[Elf | Library]:
        """What is in the process before any module."""
        if self.interpreter is None:
            yield from self._system(_PYTHON_NEEDS)
        else:
            yield self.interpreter
            yield from self._system(self.interpreter.needed)

    def _unmet(self, names: Iterable[str], scope: Sequence[Elf | Library]) -> set[str]:
        trusted = ("Py", "_Py") if self.interpreter is None else ()
        return {
            name
            for name in names
            if not name.startswith(trusted or ("\0",)) and not any(each.defines(name, "") for each in scope)
        }


def _brought_in_by(edges: Edges, path: str) -> list[str]:
    return sorted(
        user
        for user, needs in edges.items()
        if any(found is not None and found.path == path for found in needs.values())
    )


def expand(entry: str, folder: str) -> str:
    """Give a search path with `$ORIGIN` replaced by the object's folder; the empty one is the current directory."""
    text = entry.replace("${ORIGIN}", folder).replace("$ORIGIN", folder)
    return posixpath.normpath(text) if text else ""
