"""Checks of a layer's ELF objects: how they are hardened, and whether they would load on the runtime."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from layerlock.audit.check import Check, of_contents
from layerlock.audit.elf import Relro
from layerlock.audit.loading import Found, Loader, expand
from layerlock.audit.subject import Contents
from layerlock.audit.survey import Survey
from layerlock.model.findings import Finding, Severity

AREA: Final = "objects"


def _look(look: Callable[[Survey], Iterable[Finding]]) -> Callable[[Contents], Iterable[Finding]]:
    return lambda contents: look(contents.survey())


def _loading(look: Callable[[Survey, Loader], Iterable[Finding]]) -> Callable[[Contents], Iterable[Finding]]:
    """Make a function of one that needs the runtime; where that is not known nothing can be said."""

    def looked(contents: Contents) -> Iterable[Finding]:
        survey = contents.survey()
        return () if survey.loader is None else look(survey, survey.loader)

    return looked


def _damaged(survey: Survey) -> Iterator[Finding]:
    for path, why in survey.inventory.damaged.items():
        yield DAMAGED.found(
            path,
            f"{path} is damaged: {why}",
            hint="stripping or patchelf may have done it; use one of them only",
            location=survey.place(path),
        )
    architecture = survey.platform.architecture if survey.platform is not None else ""
    for path, elf in survey.inventory.objects.items():
        if architecture and elf.machine != architecture:
            yield DAMAGED.found(
                path,
                f"{path} is for {elf.machine}, the layer for {architecture}",
                hint="pin what was built for the layer's architecture",
                location=survey.place(path),
            )


def _stack(survey: Survey) -> Iterator[Finding]:
    for path, elf in survey.inventory.objects.items():
        # Without the header glibc takes the architecture's default, which is executable on x86_64 alone.
        if elf.executable_stack or (elf.executable_stack is None and elf.machine == "x86_64"):
            how = "asks for" if elf.executable_stack else "does not rule out"
            yield STACK.found(
                path,
                f"{path} {how} an executable stack",
                hint="an assembly source lacks a .note.GNU-stack section: link with -Wl,-z,noexecstack",
                location=survey.place(path),
            )


def _code(survey: Survey) -> Iterator[Finding]:
    for path, elf in survey.inventory.objects.items():
        if elf.writable_code:
            yield CODE.found(
                path,
                f"{path} has a segment that is writable and executable",
                hint="link it without -N or a script that joins the two",
                location=survey.place(path),
            )
        if elf.text_relocations:
            yield CODE.found(
                path,
                f"{path} has text relocations: the loader has to write into its code",
                hint="compile it with -fPIC",
                location=survey.place(path),
                severity=Severity.WARNING,
            )


_GUARD: Final = "__stack_chk_fail"
"""What code calls that was compiled with a stack protector, in the C library of Linux."""
_RELRO: Final[dict[Relro, tuple[str, Severity]]] = {
    "none": ("everything stays writable after loading (no RELRO)", Severity.WARNING),
    "partial": ("tables of functions stay writable (partial RELRO)", Severity.NOTE),
}


def _relro(survey: Survey) -> Iterator[Finding]:
    """One finding a package and kind: they come from its linker flags, not from single files."""
    grouped: dict[tuple[Relro, str], list[str]] = {}
    totals: dict[str, int] = {}
    for path, elf in survey.inventory.objects.items():
        package = survey.package(path)
        totals[package] = totals.get(package, 0) + 1
        if elf.relro in _RELRO:
            grouped.setdefault((elf.relro, package), []).append(path)
    for (relro, package), paths in sorted(grouped.items()):
        said, severity = _RELRO[relro]
        yield RELRO.found(
            package or survey.name,
            f"{said} in {_objects(paths, totals[package], package)}: {_few(_bases(paths))}",
            hint="link with -Wl,-z,relro,-z,now",
            location=survey.place(paths[0]),
            severity=severity,
        )


def _protector(survey: Survey) -> Iterator[Finding]:
    """One finding a package of which no object has it: a single one may simply have no arrays on its stack."""
    objects: dict[str, list[str]] = {}
    guarded: set[str] = set()
    for path, elf in survey.inventory.objects.items():
        package = survey.package(path)
        objects.setdefault(package, []).append(path)
        if any(wanted.name == _GUARD for wanted in elf.wanted):
            guarded.add(package)
    for package in sorted(objects.keys() - guarded):
        paths = objects[package]
        yield PROTECTOR.found(
            package or survey.name,
            f"nothing guards the stack in {_objects(paths, len(paths), package)}: {_few(_bases(paths))}",
            hint="compile with -fstack-protector-strong, which costs little",
            location=survey.place(paths[0]),
        )


def _search(survey: Survey) -> Iterator[Finding]:
    for path, elf in survey.inventory.objects.items():
        folder = posixpath.dirname(f"{survey.root}/{path}")
        for entry in (*elf.rpath, *elf.runpath):
            place = expand(entry, folder)
            if not f"{place}/".startswith(f"{survey.root}/"):
                yield SEARCH.found(
                    path,
                    f"{path} searches libraries in {entry or 'the current directory'!r}, outside of the layer",
                    hint="link without -rpath, or with one below $ORIGIN",
                    location=survey.place(path),
                )


def _missing(survey: Survey, loader: Loader) -> Iterator[Finding]:
    for path, needs in sorted(loader.edges.items()):
        for name, found in needs.items():
            if found is None:
                too = ", nor those that it is used with," if loader.beneath else ""
                yield MISSING.found(
                    path,
                    f"{path} needs {name}, which neither the layer{too} nor {loader.platform.name} has where it looks",
                    hint=_missing_hint(loader, name),
                    location=survey.place(path),
                )


def _missing_hint(loader: Loader, name: str) -> str:
    elsewhere = sorted(path for path, elf in loader.objects.items() if elf.soname == name)
    if elsewhere:
        return (
            f"the layer has it as {elsewhere[0]}, where nothing looks: move it to lib/, or give a search path"
        )
    return "ship it in lib/, or link it statically"


def _versions(survey: Survey, loader: Loader) -> Iterator[Finding]:
    for path, elf in sorted(loader.objects.items()):
        bound = loader.bound(path)
        for version in elf.asked:
            found = bound.get(version.library)
            if found is None or version.weak:
                continue
            known = loader.provider(found).versions
            if not known or version.name in known or not _listed(loader, found):
                continue
            users = sorted(
                wanted.name
                for wanted in elf.wanted
                if (wanted.library, wanted.version) == (version.library, version.name)
            )
            yield VERSIONS.found(
                path,
                f"{path} asks for {version.name} of {version.library}, which {_who(loader, found)} does not have"
                + (f" (for {_few(users)})" if users else ""),
                hint="build it in an environment with a glibc floor, or list it under `lower` or `private`",
                location=survey.place(path),
            )


def _symbols(survey: Survey, loader: Loader) -> Iterator[Finding]:
    missing: dict[tuple[str, str], list[str]] = {}
    for path, elf in sorted(loader.objects.items()):
        bound = loader.bound(path)
        for wanted in elf.wanted:
            found = bound.get(wanted.library)
            if not wanted.version or wanted.weak or found is None:
                continue
            provider = loader.provider(found)
            # A version that is missing as a whole is told by the check of versions.
            if wanted.version in provider.versions and not provider.defines(wanted.name, wanted.version):
                missing.setdefault((path, _who(loader, found)), []).append(f"{wanted.name}@{wanted.version}")
    for path, name, user in loader.unversioned():
        missing.setdefault((path, "" if user == path else user), []).append(name)
    for (path, where), names in sorted(missing.items()):
        said = f" (with {where})" if where else ""
        yield SYMBOLS.found(
            path,
            f"{path} refers to {_few(names)}, which nothing defines{said}",
            hint="link it with the library that has them, and ship that library in lib/",
            location=survey.place(path),
        )


def _sonames(survey: Survey) -> Iterator[Finding]:
    named: dict[str, list[str]] = {}
    for path, elf in survey.inventory.objects.items():
        if elf.soname:
            named.setdefault(elf.soname, []).append(path)
    for soname, paths in sorted(named.items()):
        if len(paths) > 1:
            yield SONAMES.found(
                soname,
                f"{soname} is there {len(paths)} times: {_few(sorted(paths))}",
                hint="keep one in lib/; which one is loaded depends on who comes first",
                location=survey.place(paths[0]),
            )


def _listed(loader: Loader, found: Found) -> bool:
    return bool(found.path) or loader.platform.libraries[found.name].listed


def _who(loader: Loader, found: Found) -> str:
    return found.path or f"{loader.platform.name}'s {found.name}"


def _objects(paths: Sequence[str], total: int, package: str) -> str:
    if total == 1:
        some = "the only object"
    else:
        some = f"{'all' if len(paths) == total else f'{len(paths)} of'} {total} objects"
    return f"{some} of {package}" if package else some


def _bases(paths: Sequence[str]) -> list[str]:
    return [posixpath.basename(path) for path in paths]


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _check(
    name: str,
    severity: Severity,
    look: Callable[[Contents], Iterable[Finding]],
    explanation: str,
) -> Check:
    return of_contents(name=name, area=AREA, severity=severity, explanation=explanation, look=look)


DAMAGED = _check(
    "damaged-objects",
    Severity.ERROR,
    _look(_damaged),
    "Objects that no loader takes: cut short, with tables that lead out of them, or for another processor.",
)
STACK = _check(
    "executable-stack",
    Severity.ERROR,
    _look(_stack),
    "One object that asks for an executable stack makes the stack of the whole process executable; newer systems "
    "refuse to load it.",
)
CODE = _check(
    "writable-code",
    Severity.ERROR,
    _look(_code),
    "Code that can be written to while it runs: segments that are writable and executable, and text relocations.",
)
RELRO = _check(
    "relro",
    Severity.WARNING,
    _look(_relro),
    "Whether what the loader has filled in can still be overwritten: RELRO none (a warning) or partial (a note), for "
    "each package. With -z now all is bound at load time, which costs a module of many functions some milliseconds.",
)
PROTECTOR = _check(
    "stack-protector",
    Severity.NOTE,
    _look(_protector),
    "Packages of which no object was compiled with a stack protector: writing past an array on the stack goes "
    "unnoticed until it returns.",
)
SEARCH = _check(
    "search-paths",
    Severity.ERROR,
    _look(_search),
    "RPATH and RUNPATH entries that leave the layer: what lies there on another machine would be loaded.",
)
MISSING = _check(
    "missing-libraries",
    Severity.ERROR,
    _loading(_missing),
    "Libraries that an object needs and that are found neither in the layer or those that it is used with, in the "
    "order in which Lambda searches, nor in the runtime.",
)
VERSIONS = _check(
    "symbol-versions",
    Severity.ERROR,
    _loading(_versions),
    "Symbol versions newer than the runtime's libraries have, such as GLIBC_2.29 on Amazon Linux 2: the object does "
    "not load.",
)
SYMBOLS = _check(
    "undefined-symbols",
    Severity.ERROR,
    _loading(_symbols),
    "Symbols that nothing defines which is loaded by then: the interpreter, what the object needs, and what that "
    "needs. Of a layer whose Python is not built here, names that begin with Py are taken as met.",
)
SONAMES = _check(
    "duplicate-libraries",
    Severity.WARNING,
    _look(_sonames),
    "Two copies of a library under one soname. The loader takes the first that it comes by for all who ask later.",
)

CHECKS: Final[tuple[Check, ...]] = (
    DAMAGED,
    STACK,
    CODE,
    RELRO,
    PROTECTOR,
    SEARCH,
    MISSING,
    VERSIONS,
    SYMBOLS,
    SONAMES,
)
