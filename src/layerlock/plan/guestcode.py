"""Which guest files each guest script uses: declared, and held against their imports by a test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from layerlock.errors import StaleLock
from layerlock.model.derivation import GuestFile
from layerlock.model.recipes import GuestCode

_ASSEMBLE = (
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
)


def _with_assembly(*scripts: str) -> tuple[str, ...]:
    """Give what a script uses that goes by way of assemble.py, and more."""
    return tuple(sorted((*_ASSEMBLE, *scripts)))


FILES: dict[str, tuple[str, ...]] = {
    "build.py": ("build.py", "patches.py", "task.py"),
    "wheels.py": ("patches.py", "task.py", "wheels.py"),
    "assemble.py": _ASSEMBLE,
    "assemble_lean.py": _with_assembly("assemble_lean.py"),
    "assemble_paged.py": _with_assembly("assemble_paged.py", "pages.py"),
    "function.py": _with_assembly("function.py"),
    "invoke.py": ("invoke.py", "smoke.py", "smoke_start.py", "task.py"),
    "merge.py": ("elf.py", "merge.py", "task.py", "tree.py"),
    "older_python.py": _with_assembly(
        "function.py", "marshal_by_value.py", "older_python.py", "sourceless.py"
    ),
    "pack.py": ("pack.py", "task.py", "tree.py"),
    "pack_zopfli.py": ("pack.py", "pack_zopfli.py", "task.py", "tree.py"),
    "smoke.py": ("smoke.py", "smoke_start.py", "task.py"),
    "sourceless.py": _with_assembly("sourceless.py"),
    "trial.py": ("smoke.py", "smoke_start.py", "task.py", "trial.py", "trial_start.py"),
}


def files_of(entry: str, code: GuestCode) -> tuple[GuestFile, ...]:
    """Give the guest files that a script uses, by content.

    Raises:
        StaleLock: there is no such script: the guest code is of another time than this driver.
    """
    if entry not in code:
        raise StaleLock(
            f"the guest code has no script `{entry}`, which this layerlock plans with",
            hint="use the layerlock of the revision that the guest code is from",
        )
    return code[entry]


def guest_code(files: Mapping[str, bytes]) -> GuestCode:
    """Give this driver's guest code, by the table above; `files` are the guest files by name."""
    return {entry: _hashed(files, names) for entry, names in FILES.items()}


def past_guest_code(files: Mapping[str, bytes]) -> GuestCode:
    """Give another revision's guest code, for which the table above need not hold.

    What a script uses is worked out as the test of that table does it: by imports, and by the names of files that
    are started. A revision whose table was right is planned with the hashes that it was locked with; whether it
    was, the lock's planned hashes tell.
    """
    uses = {name: _mentions(text, files) for name, text in files.items()}
    return {entry: _hashed(files, _reached(entry, uses)) for entry in files}


def _hashed(files: Mapping[str, bytes], names: tuple[str, ...]) -> tuple[GuestFile, ...]:
    return tuple(GuestFile(name=name, sha256=hashlib.sha256(files[name]).hexdigest()) for name in names)


def _mentions(text: bytes, files: Mapping[str, bytes]) -> frozenset[str]:
    """Give the guest files that one of them imports or names."""
    import ast  # noqa: PLC0415 - only past revisions are looked into

    found: set[str] = set()
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        # Written for another Python: planned hashes will say that it does not fit.
        return frozenset()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found.update(f"{name.name}.py" for name in names)
            case ast.ImportFrom(module=str() as module):
                found.add(f"{module}.py")
            case ast.Constant(value=str() as value):
                found.add(value)
    return frozenset(found & files.keys())


def _reached(entry: str, uses: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    found: set[str] = set()
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += uses[name]
    return tuple(sorted(found))
