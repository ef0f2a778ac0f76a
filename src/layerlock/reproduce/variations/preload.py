"""The library that gives programs another clock and another order of directories, compiled where a build runs.

The C source stands in the driver's data. It is compiled in the root of the build's own environment, so that it fits
that C library whatever its age; a root without a compiler cannot have these variations.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from threading import Event

from layerlock.build.workshop import Sandbox
from layerlock.model.derivation import GuestRun
from layerlock.sandbox.spec import Limits, SandboxSpec

SOURCE = Path(__file__).parents[2] / "data" / "vary.c"
AHEAD = 2025 * 86400 + 7 * 3600 + 13 * 60
"""Seconds that the clock is ahead: another year, month, day of the week and hour."""

PRELOADS = frozenset({"clock", "directory-order"})
"""The variations that the library makes."""

_LIMITS = Limits(memory=1 << 30, processes=100, seconds=120.0, log_bytes=1 << 20, output_bytes=16 << 20)
_COMPILE = "cc=$(command -v gcc || command -v cc) && exec $cc -std=gnu11 -O1 -fPIC -shared"


def compile_library(
    root: Path, run: GuestRun, names: frozenset[str], since: int, sandbox: Sandbox, folder: Path
) -> tuple[Path | None, str]:
    """Compile the library for a root into `folder`, which is on the store's file system and empty.

    Args:
        root: the tree of the environment.
        run: a build in it, whose search path finds the compiler.
        names: the variations, of `PRELOADS`.
        since: files changed from this moment on (seconds since 1970) move with the clock.
        sandbox: where the compiler runs.
        folder: for the library and what making it needs.

    Returns:
        the library, or None and why there is none.
    """
    for name in ("build", "out", "tmp"):
        (folder / name).mkdir()
    shutil.copyfile(SOURCE, folder / "build" / SOURCE.name)
    defines = f"-DVARY_OFFSET={AHEAD}LL -DVARY_START={since}LL" if "clock" in names else ""
    if "directory-order" in names:
        defines += " -DVARY_ORDER"
    spec = SandboxSpec(
        root=root,
        argv=("/bin/sh", "-c", f"{_COMPILE} {defines} -o /out/vary.so {SOURCE.name} -ldl"),
        variables={"PATH": run.variables.get("PATH", "/usr/local/bin:/usr/bin:/bin"), "LC_ALL": "C"},
        cwd="/build",
        limits=_LIMITS,
        build=folder / "build",
        out=folder / "out",
        tmp=folder / "tmp",
    )
    said: list[str] = []
    outcome = sandbox.run(spec, log=folder / "log", on_line=said.append, cancel=Event())
    made = folder / "out" / "vary.so"
    if not outcome.succeeded or made.is_symlink() or not made.is_file():
        reason = next((line for line in said if "error" in line), said[-1] if said else "it has no compiler")
        return None, f"nothing can be preloaded in its environment: {reason}"
    library = folder / "vary.so"
    shutil.copyfile(made, library, follow_symlinks=False)
    library.chmod(0o555)
    return library, ""
