"""Starts a smoke test as smoke_start.py does, and writes down what of the layer the process uses.

Usage: as smoke_start.py. LAYERLOCK_TRACE is the file that is written to, LAYERLOCK_STUBS names packages, separated by
colons, in whose place empty ones are imported, which write down what is called of them, and fail.

A line is a kind and its fields, separated by tabs: `open PATH` (opened, or loaded as a module), `map PATH` (mapped
when the process ended), `import NAME FILE LINE` (an import statement, for names of other packages than its own),
`call NAME` (of an empty package). Lines are written as things happen, since functions are ended by a signal.
"""

from __future__ import annotations

import atexit
import builtins
import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import smoke_start

_TREE = "/opt/"


class Trace:
    """What was seen so far; each thing is written once."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._seen: set[tuple[str, ...]] = set()

    def note(self, *fields: str) -> None:
        if fields not in self._seen:
            self._seen.add(fields)
            line = "\t".join(fields).replace("\n", " ") + "\n"
            os.write(self._file, line.encode("utf-8", "surrogateescape"))

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """The interpreter's own events (PEP 578): whatever opens a file by Python's means raises one before."""
        if event == "open":
            self._path(arguments[0])
        elif event == "import":
            self._path(arguments[1])
        elif event == "ctypes.dlopen":
            self._path(arguments[0])

    def _path(self, path: Any) -> None:
        try:
            text = os.fsdecode(path)
        except TypeError:
            return  # a descriptor, or nothing
        if not text.startswith("/"):
            text = str(Path.cwd() / text)
        if text.startswith(_TREE):
            self.note("open", text)

    def maps(self) -> None:
        """Write down the layer's files that the process has mapped."""
        for path in mapped("self"):
            self.note("map", path)


def mapped(process: str) -> list[str]:
    """The layer's files that a process has mapped, as its kernel tells it."""
    try:
        with Path(f"/proc/{process}/maps").open(encoding="utf-8", errors="surrogateescape") as file:
            paths = [line.split(None, 5)[5].rstrip("\n") for line in file if _TREE in line]
    except OSError:
        return []
    return sorted({path for path in paths if path.startswith(_TREE)})


def watch_imports(trace: Trace) -> None:
    """Write down import statements, and calls of import_module, that name another package than they stand in."""
    original, by_name = builtins.__import__, importlib.import_module

    def statement(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        own = str((globals or {}).get("__name__", "")).partition(".")[0]
        if level == 0 and name.partition(".")[0] != own:
            frame = sys._getframe(1)
            trace.note("import", name, frame.f_code.co_filename, str(frame.f_lineno))
        return original(name, globals, locals, fromlist or (), level)

    def call(name: str, package: str | None = None) -> ModuleType:
        frame = sys._getframe(1)
        if (
            not name.startswith(".")
            and name.partition(".")[0] != str(frame.f_globals.get("__name__", "")).partition(".")[0]
        ):
            trace.note("import", name, frame.f_code.co_filename, str(frame.f_lineno))
        return by_name(name, package)

    builtins.__import__ = statement
    importlib.import_module = call


class _Hollow(type):
    """The type of whatever is asked of an empty package: it can be named and inherited from, and no more."""

    trace: Trace

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _hollow(f"{cls.__module__}.{cls.__qualname__}", name)

    def __call__(cls, *_arguments: Any, **_named: Any) -> Any:
        what = f"{cls.__module__}.{cls.__qualname__}"
        _Hollow.trace.note("call", what)
        raise RuntimeError(f"{what} is called, and is not there: {cls.__module__} stands empty here")


def _hollow(module: str, name: str) -> Any:
    return _Hollow(name, (), {"__module__": module})


class _Empty(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _hollow(self.__name__, name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the empty packages, and everything below them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)

    def find_spec(self, fullname: str, _path: Any, _target: Any = None) -> Any:
        if fullname.partition(".")[0] not in self._names:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: Any) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def main(argv: list[str]) -> None:
    trace = Trace(os.environ.pop("LAYERLOCK_TRACE"))
    stubs = os.environ.pop("LAYERLOCK_STUBS", "")
    _Hollow.trace = trace
    if stubs:
        sys.meta_path.insert(0, _Finder(stubs.split(":")))
    watch_imports(trace)
    atexit.register(trace.maps)
    sys.addaudithook(trace.hear)
    smoke_start.main(argv)


if __name__ == "__main__":
    main(list(sys.argv))
