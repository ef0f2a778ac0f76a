"""Checks of what a layer's files are: names, modes, links, copies, traces of the build, secrets, bytecode."""

from __future__ import annotations

import posixpath
import stat
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from layerlock.audit.bytecode import MAGICS
from layerlock.audit.check import Check, of_contents
from layerlock.audit.reading import Compiled
from layerlock.audit.subject import Contents
from layerlock.audit.survey import Survey
from layerlock.audit.traces import TraceKind
from layerlock.errors import Location
from layerlock.model.findings import Finding, Severity

AREA: Final = "contents"
_COPY: Final = 16 << 10
"""Bytes from which a second copy is told: below, the zip's own entries weigh as much."""


def _look(look: Callable[[Survey], Iterable[Finding]]) -> Callable[[Contents], Iterable[Finding]]:
    return lambda contents: look(contents.survey())


def _archive(survey: Survey) -> Iterator[Finding]:
    for oddity in survey.inventory.oddities:
        hint = "do not unpack it; pack the layer anew"
        yield ARCHIVE.found(survey.name, oddity, hint=hint, location=Location(file=survey.name))
    for entry in survey.inventory.entries.values():
        why = entry.problem or ("a device, a pipe or a socket" if entry.kind == "other" else "")
        if why:
            yield ARCHIVE.found(
                entry.path,
                f"{entry.path} cannot be looked at: {why}",
                hint="whatever it is, Lambda cannot use it: pack the layer anew without it",
                location=survey.place(entry.path),
            )


def _modes(survey: Survey) -> Iterator[Finding]:
    for entry in survey.inventory.entries.values():
        mode = entry.mode or 0
        special = [
            name
            for bit, name in ((stat.S_ISUID, "setuid"), (stat.S_ISGID, "setgid"), (stat.S_ISVTX, "sticky"))
            if mode & bit
        ]
        if mode & stat.S_IWOTH and entry.kind != "link":
            special.append("writable by everyone")
        if special:
            yield MODES.found(
                entry.path,
                f"{entry.path} is {' and '.join(special)} ({mode:04o})",
                hint="pack it with mode 0644, or 0755 if it is run",
                location=survey.place(entry.path),
            )


def _links(survey: Survey) -> Iterator[Finding]:
    inventory = survey.inventory
    for entry in inventory.entries.values():
        if entry.kind != "link" or entry.problem:
            continue
        reached = inventory.follow(entry.path)
        if entry.target.startswith("/"):
            why, severity = "is an absolute link", Severity.ERROR
        elif not reached:
            why, severity = "leads out of the layer, or in a circle", Severity.ERROR
        elif reached not in inventory.entries and reached not in inventory.folders:
            why, severity = "leads to nothing", Severity.WARNING
        else:
            continue
        yield LINKS.found(
            entry.path,
            f"{entry.path} {why}: {entry.target}",
            hint="leave it out, or link by a relative path to a file of the layer",
            location=survey.place(entry.path),
            severity=severity,
        )


def _copies(survey: Survey) -> Iterator[Finding]:
    same: dict[tuple[int, str], list[str]] = {}
    for entry in survey.inventory.files:
        if entry.size >= _COPY and entry.sha256:
            same.setdefault((entry.size, entry.sha256), []).append(entry.path)
    for (size, _), paths in sorted(same.items(), reverse=True):
        if len(paths) > 1:
            yield COPIES.found(
                paths[0],
                f"{paths[0]} is there {len(paths)} times, {size * (len(paths) - 1):,} bytes too much: "
                f"{_some(paths[1:])}",
                hint="make a link of all but one, or prune them",
                location=survey.place(paths[0]),
            )


def _build_paths(survey: Survey) -> Iterator[Finding]:
    for path, what, text, times in _traces(survey, "build path"):
        if not survey.may_name_build(path):
            yield BUILD_PATHS.found(
                path,
                f"{path} holds {what}, {text!r}{times}",
                hint="map the folder away (-ffile-prefix-map), patch what writes it, or allow it with a reason by "
                "`allow_build_paths`",
                location=survey.place(path),
            )


def _hosts(survey: Survey) -> Iterator[Finding]:
    for path, what, text, times in _traces(survey, "host"):
        allowed = survey.may_name_build(path)
        yield HOSTS.found(
            path,
            f"{path} names {what}, {text!r}{times}" + (", as its package was built" if allowed else ""),
            hint="" if allowed else "patch what writes it: another machine would make other bytes",
            location=survey.place(path),
            severity=Severity.NOTE if allowed else None,
        )


def _secrets(survey: Survey) -> Iterator[Finding]:
    for path, what, text, times in _traces(survey, "secret"):
        yield SECRETS.found(
            path,
            f"{path} holds what looks like {what} ({text}){times}",
            hint="revoke it now, then take it out of the source; if it is none, skip this file, with a reason",
            location=survey.place(path),
        )


def _traces(survey: Survey, kind: TraceKind) -> Iterator[tuple[str, str, str, str]]:
    """Give the first trace of each rule in each file, and how many more there are."""
    seen: set[tuple[str, str]] = set()
    for trace in survey.inventory.traces:
        if trace.kind == kind and (trace.path, trace.what) not in seen:
            seen.add((trace.path, trace.what))
            times = f" and {trace.times - 1} more" if trace.times > 1 else ""
            yield trace.path, trace.what, trace.text, f" at byte {trace.offset:,}{times}"


def _debug(survey: Survey) -> Iterator[Finding]:
    inventory = survey.inventory
    for path, elf in sorted({**inventory.objects, **inventory.others}.items()):
        left = [
            f"{size:,} bytes of {what}"
            for size, what in ((elf.debug, "debug information"), (elf.symbols, "symbols for linkers"))
            if size
        ]
        if left:
            yield DEBUG.found(
                path,
                f"{path} has {' and '.join(left)} left in",
                hint="strip it: `strip = true` in the layer's recipe, or strip --strip-unneeded",
                location=survey.place(path),
                severity=None if elf.debug else Severity.NOTE,
            )


def _bytecode(survey: Survey) -> Iterator[Finding]:
    for path, compiled in survey.inventory.bytecode.items():
        found = _stale(survey, path, compiled)
        if found is not None:
            message, hint, severity = found
            yield BYTECODE.found(
                path, f"{path} {message}", hint=hint, location=survey.place(path), severity=severity
            )


def _stale(survey: Survey, path: str, compiled: Compiled | None) -> tuple[str, str, Severity] | None:
    again = "compile it again with the layer's Python, as unchecked-hash bytecode"
    if compiled is None:
        return "is no bytecode", "leave it out", Severity.ERROR
    header = compiled.header
    expected = MAGICS.get(survey.python)
    if compiled.fits is False:
        # Python takes what is bound to a hash that it does not check, whatever the source says.
        wrong = Severity.ERROR if header.bound == "unchecked" else Severity.WARNING
        return f"was not compiled from {compiled.source} as it is", again, wrong
    if expected is not None and header.magic != expected:
        return (
            f"is for another Python (its number is {header.magic}, {survey.python} has {expected}), and not taken",
            again,
            Severity.WARNING,
        )
    if header.bound == "time":
        return (
            "is bound to a file time that Lambda does not keep, so it is compiled anew at each cold start",
            again,
            Severity.WARNING,
        )
    owner = survey.owners.get(path)
    compared = owner is not None and owner.how == "compiled"  # with the module of the package that brought it
    if compiled.fits is None and not compared:
        return (
            f"has no module beside it: {posixpath.basename(compiled.source)} cannot be compared",
            "ship the module too, or leave both out",
            Severity.NOTE,
        )
    return None


def _some(paths: list[str]) -> str:
    shown = ", ".join(paths[:4])
    return shown + (f" and {len(paths) - 4} more" if len(paths) > 4 else "")


ARCHIVE = of_contents(
    name="archive-entries",
    area=AREA,
    severity=Severity.ERROR,
    explanation="Entries of a zip with names that lead out of it, two entries of one name, devices, encrypted or "
    "damaged entries: programs that unpack it differ in what they make of them, and so can be made to differ.",
    look=_look(_archive),
)
MODES = of_contents(
    name="file-modes",
    area=AREA,
    severity=Severity.ERROR,
    explanation="Files that are setuid, setgid, sticky or writable by everyone. Lambda runs functions as an "
    "unprivileged user; such bits are a mistake of whoever packed the layer, or worse.",
    look=_look(_modes),
)
LINKS = of_contents(
    name="links",
    area=AREA,
    severity=Severity.ERROR,
    explanation="Symbolic links that are absolute, lead out of the layer, in a circle, or to nothing. Under /opt they "
    "lead elsewhere than where the layer was made.",
    look=_look(_links),
)
COPIES = of_contents(
    name="duplicate-files",
    area=AREA,
    severity=Severity.WARNING,
    explanation="Files of 16 kB or more with the same bytes. Each copy counts against Lambda's limit of 250 MB, and "
    "of two copies of a library both are loaded.",
    look=_look(_copies),
)
BUILD_PATHS = of_contents(
    name="build-paths",
    area=AREA,
    severity=Severity.WARNING,
    explanation="Names of folders in which something was built: the sandbox's own, homes, runners' and temporary "
    "folders. They tell about the machine, and change from one to the next. Files that `allow_build_paths` names are "
    "left out.",
    look=_look(_build_paths),
)
HOSTS = of_contents(
    name="host-names",
    area=AREA,
    severity=Severity.WARNING,
    explanation="Names of hosts, users on hosts and kernels that a build wrote down: they make the bytes depend on the "
    "machine. In files that `allow_build_paths` names they are only noted.",
    look=_look(_hosts),
)
SECRETS = of_contents(
    name="secrets",
    area=AREA,
    severity=Severity.ERROR,
    explanation="Private keys, access keys and tokens, by the form that their issuers document. Whoever can use a "
    "layer can read it. What is found is not shown whole, and not tried.",
    look=_look(_secrets),
)
DEBUG = of_contents(
    name="debug-info",
    area=AREA,
    severity=Severity.WARNING,
    explanation="Sections that only a debugger or a linker reads. They are never loaded, and count against the limit.",
    look=_look(_debug),
)
BYTECODE = of_contents(
    name="stale-bytecode",
    area=AREA,
    severity=Severity.ERROR,
    explanation="Bytecode whose header was not made from the module beside it. Python takes unchecked-hash bytecode "
    "whatever the module says, so the code that runs is not the code that is read. The hash of the source is "
    "compared, not the code: that takes a rebuild (layerlock check).",
    look=_look(_bytecode),
)

CHECKS: Final[tuple[Check, ...]] = (
    ARCHIVE,
    MODES,
    LINKS,
    COPIES,
    BUILD_PATHS,
    HOSTS,
    SECRETS,
    DEBUG,
    BYTECODE,
)
