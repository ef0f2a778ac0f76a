"""Applies unified diffs by GNU patch, after making sure that they touch only the tree they are meant for.

Offsets are allowed, fuzz is not: a hunk whose context changed is a patch to look at again, not to squeeze in.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task import Violation

_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
# What GNU patch would otherwise act on beside the two file names: renames, copies, modes, binary hunks, ed
# scripts.
_REFUSED = (
    (b"GIT binary patch", "a binary patch"),
    (b"Binary files ", "a binary patch"),
    (b"rename from ", "a rename"),
    (b"rename to ", "a rename"),
    (b"copy from ", "a copy"),
    (b"copy to ", "a copy"),
    (b"old mode ", "a change of mode"),
    (b"new mode ", "a change of mode"),
    (b"new file mode 120000", "a symbolic link"),
    (b"deleted file mode 120000", "a symbolic link"),
    (b"Index: ", "an Index line"),
    (b"Prereq: ", "a Prereq line"),
    (b"*** ", "a context diff"),
)


@dataclass(frozen=True)
class Target:
    """One file that a patch changes, without its first path part; `hunks` counts from 1."""

    path: str
    hunks: int


def apply(patches: Sequence[Mapping[str, Any]]) -> None:
    """Apply each patch (`file`, `directory`) in order. Raises Violation of kind "patch"."""
    for patch in patches:
        file, directory = Path(patch["file"]), Path(patch["directory"])
        targets = read(file.name, file.read_bytes())
        for target in targets:
            _check_place(file.name, target.path, directory)
        print(f"patch {file.name}: {', '.join(target.path for target in targets)}", flush=True)
        _apply_one(file, directory)


def read(name: str, content: bytes) -> list[Target]:
    """The files that a unified diff changes. Raises Violation for anything that is more or less than that."""

    def bad(why: str, target: str = "") -> Violation:
        return Violation(
            "patch",
            f"{name}: {why}",
            hint="write it as a plain unified diff (git diff --no-renames --no-ext-diff) with a/ and b/ names",
            file=target,
        )

    lines = content.split(b"\n")
    targets: list[Target] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        for start, what in _REFUSED:
            if line.startswith(start):
                raise bad(f"line {index + 1} is {what}, and only plain unified diffs are applied")
        if not line.startswith(b"--- "):
            if _HUNK.match(line):
                raise bad(f"line {index + 1} is a hunk without the names of its file")
            index += 1
            continue
        if index + 1 >= len(lines) or not lines[index + 1].startswith(b"+++ "):
            raise bad(f"line {index + 1} names a file but no '+++' line follows")
        path = _one_name(lines[index], lines[index + 1], bad)
        index += 2
        hunks = 0
        while index < len(lines) and (match := _HUNK.match(lines[index])):
            hunks += 1
            index = _skip_hunk(lines, index, match, path, number=hunks, bad=bad)
        if not hunks:
            raise bad(f"{path} has no hunk", path)
        targets.append(Target(path, hunks))
    if not targets:
        raise bad("it changes no file")
    return targets


def _one_name(old: bytes, new: bytes, bad: Any) -> str:
    names = [line[4:].split(b"\t")[0].rstrip() for line in (old, new)]
    stripped = []
    for name in names:
        if name == b"/dev/null":
            continue
        text = os.fsdecode(name)
        parts = text.split("/")
        if text.startswith(("/", '"')) or any(part in ("", ".", "..") for part in parts):
            raise bad(f"the name {text!r} is absolute, quoted, or leaves the tree", text)
        if len(parts) < 2:
            raise bad(f"the name {text!r} has no first part to drop", text)
        stripped.append("/".join(parts[1:]))
    if not stripped:
        raise bad("both names of a file are /dev/null")
    if len(set(stripped)) > 1:
        raise bad(f"{stripped[0]} would become {stripped[1]}: a rename", stripped[0])
    return stripped[0]


def _skip_hunk(lines: Sequence[bytes], index: int, match: Any, path: str, *, number: int, bad: Any) -> int:
    """The index after a hunk, whose line counts must be right: whatever follows is then not part of it."""
    old, new = (int(count) if count is not None else 1 for count in match.groups())
    start = index
    index += 1
    while old > 0 or new > 0:
        line = lines[index] if index < len(lines) else None
        if line is None or (line == b"" and index == len(lines) - 1):
            raise bad(f"{path}: hunk {number} (line {start + 1}) ends too early", path)
        if line.startswith(b"-"):
            old -= 1
        elif line.startswith(b"+"):
            new -= 1
        elif line.startswith(b" ") or line in (b"", b"\r"):
            old, new = old - 1, new - 1
        elif not line.startswith(b"\\"):
            raise bad(f"{path}: hunk {number} (line {start + 1}) ends too early", path)
        index += 1
    if old < 0 or new < 0:
        raise bad(f"{path}: the line counts of hunk {number} (line {start + 1}) are wrong", path)
    if index < len(lines) and lines[index].startswith(b"\\"):
        index += 1
    return index


def _check_place(name: str, path: str, directory: Path) -> None:
    """Refuse a target that is reached over a link: it could stand outside of the tree."""
    if not directory.is_dir():
        raise Violation("patch", f"{name}: there is no directory {directory} to apply it in", file=path)
    place = directory
    for part in path.split("/"):
        place = place / part
        if place.is_symlink():
            raise Violation("patch", f"{name}: {path} is reached over the symbolic link {place}", file=path)


def _apply_one(file: Path, directory: Path) -> None:
    done = subprocess.run(
        [
            *("patch", "-p1", "--fuzz=0", "--batch", "--forward", "--no-backup-if-mismatch"),
            *("--reject-file=-", "--input", str(file)),
        ],
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    output = done.stdout.decode("utf-8", "replace")
    print(output, end="", flush=True)
    if done.returncode == 0:
        return
    target, hunk = _failed(output)
    where = f"{target}, hunk {hunk}" if hunk else target or "it"
    raise Violation(
        "patch",
        f"{file.name}: {where} does not apply without fuzz",
        hint=f"make it anew against the pinned source; `patch` said: {output.strip().splitlines()[-1]}"
        if output.strip()
        else "make the patch anew against the pinned source",
        file=target,
        symbol=hunk,
    )


def _failed(output: str) -> tuple[str, str]:
    """Target and hunk number of the first failure in GNU patch's output (both "" if it does not say)."""
    target = ""
    for line in output.splitlines():
        if line.startswith("patching file "):
            target = line[len("patching file ") :].strip("'")
        match = re.match(r"Hunk #(\d+) (?:FAILED|ignored)", line)
        if match:
            return target, match.group(1)
        if re.match(r"\d+ out of \d+ hunks? (FAILED|ignored)", line) or "can't find file" in line:
            return target, ""
        if "previously applied" in line or "Reversed" in line:
            return target, "1"
    return target, ""
