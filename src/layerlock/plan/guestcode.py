"""Which guest files each guest script uses: declared, and held against their imports by a test."""

from __future__ import annotations

from layerlock.model.derivation import GuestFile
from layerlock.model.recipes import GuestCode

FILES: dict[str, tuple[str, ...]] = {
    "build.py": ("build.py", "patches.py", "task.py"),
    "wheels.py": ("patches.py", "task.py", "wheels.py"),
    "assemble.py": (
        "abi.py",
        "assemble.py",
        "bytecode.py",
        "checks.py",
        "collect.py",
        "elf.py",
        "exports.py",
        "globs.py",
        "lower.py",
        "private.py",
        "prune.py",
        "strip_files.py",
        "task.py",
        "tree.py",
    ),
    "pack.py": ("pack.py", "task.py", "tree.py"),
    "smoke.py": ("smoke.py", "smoke_start.py", "task.py"),
}


def files_of(entry: str, code: GuestCode) -> tuple[GuestFile, ...]:
    """Give the guest files that a script uses, by content."""
    return tuple(GuestFile(name=name, sha256=code[name]) for name in FILES[entry])
