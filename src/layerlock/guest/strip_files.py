"""Strips symbol tables and debug information by binutils, several files at once, and undoes what comes out
damaged.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from abi import shape
from elf import NotLoadable, read
from task import Finding, Violation


def strip(root: Path, names: Sequence[str], program: str, architecture: str, workers: int) -> list[Finding]:
    """Strip the objects `names` below `root` in place.

    `strip` can move segments of a library that patchelf has touched, so that no loader takes it any more
    ("ELF load command address/offset not properly aligned"): such a file is put
    back as it was, with a warning. Raises Violation of kind "build" if the program fails.
    """
    with ThreadPoolExecutor(workers) as pool:
        found = pool.map(lambda name: _strip_one(root / name, name, program, architecture), names)
        return [finding for finding in found if finding is not None]


def _strip_one(path: Path, name: str, program: str, architecture: str) -> Finding | None:
    before, mode = path.read_bytes(), path.stat().st_mode & 0o777
    done = subprocess.run(
        [program, "--strip-unneeded", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise Violation(
            "build", f"{program} failed on {name}: {said}", hint="keep the file out of stripping", file=name
        )
    path.chmod(mode)
    if _sound(path, name, architecture):
        return None
    path.write_bytes(before)
    message = f"{name}: stripping damages it, so it stays as it was"
    return Finding("strip", "check", message, "patchelf has probably touched it", name, severity="warning")


def _sound(path: Path, name: str, architecture: str) -> bool:
    try:
        return not any(
            "ELF load command" in finding.message for finding in shape(name, read(path), architecture)
        )
    except NotLoadable:
        return False
