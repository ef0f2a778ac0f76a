"""The library that gives programs another clock, order of directories or processor, compiled where a build runs.

The C source stands in the driver's data. It is compiled in the root of the build's own environment, so that it fits
that C library whatever its age; a root without a compiler, or without bash, cannot have these variations.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from threading import Event

from layerlock.build.workshop import Sandbox
from layerlock.errors import BuildFailed
from layerlock.model.derivation import GuestRun
from layerlock.reproduce.variations.emulator import Emulator
from layerlock.reproduce.variations.machine import MODEL
from layerlock.reproduce.variations.varied import EMULATOR, LIBRARY, Varied
from layerlock.sandbox.spec import Limits, SandboxSpec

SOURCE = Path(__file__).parents[2] / "data" / "vary.c"
AHEAD = 2025 * 86400 + 7 * 3600 + 13 * 60
"""Seconds that the clock is ahead: another year, month, day of the week and hour."""

PRELOADS = frozenset({"clock", "directory-order", "instructions"})
"""The variations that the library makes."""

INTO_DRIVER = PRELOADS - {"instructions"}
"""Those that it makes in the driver's process too."""

_LIMITS = Limits(memory=1 << 30, processes=100, seconds=120.0, log_bytes=1 << 20, output_bytes=16 << 20)
_CC = "cc=$(command -v gcc || command -v cc)"
_SHARED = "-std=gnu11 -O1 -fPIC -shared"
_COMPILE = f"{_CC} && exec $cc {_SHARED}"


def compile_library(
    root: Path,
    run: GuestRun,
    names: frozenset[str],
    since: int,
    sandbox: Sandbox,
    folder: Path,
    emulator: Emulator | None = None,
) -> tuple[Path | None, str]:
    """Compile the library for a root into `folder`, which is on the store's file system and empty.

    Args:
        root: the tree of the environment.
        run: a build in it, whose search path finds the compiler.
        names: the variations, of `PRELOADS`.
        since: files changed from this moment on (seconds since 1970) move with the clock.
        sandbox: where the compiler runs.
        folder: for the library and what making it needs.
        emulator: what programs run under, for the variation `instructions`.

    Returns:
        the library, or None and why there is none, or why it does not do what it is for.
    """
    for name in ("build", "out", "tmp"):
        (folder / name).mkdir()
    shutil.copyfile(SOURCE, folder / "build" / SOURCE.name)
    defines = f"-DVARY_OFFSET={AHEAD}LL -DVARY_START={since}LL" if "clock" in names else ""
    if "directory-order" in names:
        defines += " -DVARY_ORDER"
    compiling = f"{_COMPILE} {defines}"
    if emulator is not None:
        cpu = f"-DVARY_CPU='\"{emulator.cpu}\"' -DVARY_MODEL='\"{MODEL}\"' -DVARY_EMULATOR='\"{EMULATOR}\"'"
        compiling = (
            f"{_CC} && $cc -DVARY_ASK {cpu} -o ask {SOURCE.name} && exec $cc {_SHARED} {defines} {cpu}"
        )
    spec = SandboxSpec(
        root=root,
        # The shell that scripts of packages are run by; an environment of few packages has no other.
        argv=("/bin/bash", "-c", f"{compiling} -o /out/vary.so {SOURCE.name} -ldl"),
        variables={"PATH": run.variables.get("PATH", "/usr/local/bin:/usr/bin:/bin"), "LC_ALL": "C"},
        cwd="/build",
        limits=_LIMITS,
        build=folder / "build",
        out=folder / "out",
        tmp=folder / "tmp",
    )
    said: list[str] = []
    try:
        outcome = sandbox.run(spec, log=folder / "log", on_line=said.append, cancel=Event())
    except BuildFailed as error:
        return None, f"nothing can be preloaded in its environment: {error.message}"
    made = folder / "out" / "vary.so"
    if not outcome.succeeded or made.is_symlink() or not made.is_file():
        reason = next((line for line in said if "error" in line), said[-1] if said else "it has no compiler")
        return None, f"nothing can be preloaded in its environment: {reason}"
    library = folder / "vary.so"
    shutil.copyfile(made, library, follow_symlinks=False)
    library.chmod(0o555)
    if emulator is not None:
        listed = folder / "listed"
        listed.write_text(f"{LIBRARY}\n", encoding="utf-8")
        listed.chmod(0o444)
        varied = Varied(
            inner=sandbox, files={}, libraries={root: library}, listed=listed, emulator=emulator.program
        )
        asking = replace(spec, argv=("/build/ask",))
        outcome = varied.run(asking, log=folder / "asked", on_line=said.append, cancel=Event())
        if not outcome.succeeded:
            last = said[-1] if said else f"it ended with status {outcome.status}"
            return None, f"a program in its environment does not run under the emulator: {last}"
    return library, ""
