"""What a build that did not end well is called, and what a person is told about it."""

from __future__ import annotations

import errno
import json
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerlock.errors import (
    AbiViolation,
    BuildFailed,
    DiskFull,
    FunctionRefused,
    InvalidRecipe,
    InvocationFailed,
    LayerCheckFailed,
    LayerlockError,
    LayersOverlap,
    OutOfMemory,
    OverBudget,
    PatchFailed,
    ResourceExceeded,
    SmokeFailed,
    TimedOut,
)
from layerlock.model.derivation import Derivation
from layerlock.sandbox.spec import Outcome

_NO_ROOM = os.strerror(errno.ENOSPC)
_FULL = 64 << 20
"""Bytes that may be free on a disk that was full a moment ago: programs that fail take away what they had begun."""

TAIL = 30
"""Lines of a failed build's log that the message shows."""

_REPORTED: Mapping[str, type[LayerlockError]] = {
    "abi": AbiViolation,
    "budget": OverBudget,
    "build": BuildFailed,
    "check": LayerCheckFailed,
    "function": FunctionRefused,
    "invocation": InvocationFailed,
    "overlap": LayersOverlap,
    "patch": PatchFailed,
    "smoke": SmokeFailed,
    "usage": InvalidRecipe,
}
_REPORT_CAP = 4 << 20
_FOREIGN = "Unable to recognise the format of the input file"
"""What binutils say of an object of a processor that they do not know. Stripping comes before objects are judged."""
_LATE = " took longer than "
"""What `guest/smoke.py` says of a test that it ended."""


def failure(
    derivation: Derivation, outcome: Outcome, log: Path, build: Path, *, jobs: int
) -> LayerlockError | None:
    """Give the error of a build that did not succeed, or None.

    `build` is the host's side of `/build`, where a guest script may have left a report; `jobs` is how many processes
    the build was told to run at once.
    """
    name, needs = derivation.name, derivation.needs
    where = f"the full log: {log}"
    if outcome.out_of_memory:
        killed = f": `{outcome.killed_process}` was killed" if outcome.killed_process else ""
        fewer = (
            f", or run fewer than {jobs} jobs (--jobs, or `build.limits.memory_per_job`)" if jobs > 1 else ""
        )
        return OutOfMemory(
            f"the build of {name} reached its memory limit of {_amount(needs.memory)}{killed}",
            hint=f"raise `build.limits.memory` in its recipe{fewer}; {where}",
        )
    if outcome.timed_out:
        return TimedOut(
            f"the build of {name} reached its time limit of {needs.seconds} s",
            hint=f"raise `build.limits.time` in its recipe; {where}",
        )
    if outcome.log_overflow:
        return ResourceExceeded(
            f"the build of {name} wrote more than {needs.log_bytes >> 20} MiB of log", hint=where
        )
    if outcome.output_overflow:
        return ResourceExceeded(
            f"the build of {name} made more than {needs.output_bytes >> 20} MiB of output",
            hint=f"raise `build.limits.output` in its recipe; {where}",
        )
    if outcome.process_overflow:
        return ResourceExceeded(
            f"the build of {name} started more than {needs.processes} processes at once",
            hint=f"raise `build.limits.processes` in its recipe; {where}",
        )
    if outcome.succeeded:
        return None
    reported = _report(build)
    if reported is not None and reported.file and _FOREIGN in reported.message:
        foreign = AbiViolation(
            f"{name}: {reported.file} is for another processor than the layer",
            hint="pin the wheel of the layer's processor, or prune the file",
        )
        foreign.file = reported.file
        return foreign
    if reported is not None and reported.kind is not BuildFailed:
        error = reported.kind(f"{name}: {reported.message}", hint=reported.hint or where)
        if isinstance(error, AbiViolation):
            error.file = reported.file
        if isinstance(error, SmokeFailed):
            error.late = _LATE in reported.message
        return error
    ended = f"signal {outcome.signal}" if outcome.signal is not None else f"status {outcome.status}"
    what = reported.message if reported is not None else f"it ended with {ended}"
    lines = "\n".join(f"  | {line}" for line in _tail(log))
    return BuildFailed(
        f"the build of {name} failed: {what}; the end of its log:\n{lines}",
        hint=f"{where}; look around in its sandbox with: layerlock shell {name}",
    )


def blamed(wrong: LayerlockError, folder: Path) -> LayerlockError:
    """Give the error of a build that failed in `folder`, while that is still there: the disk's where it is full.

    Programs say so each in their own way and end with any status; most let the system describe what was wrong.
    """
    status = os.statvfs(folder)
    if not isinstance(wrong, BuildFailed) or _NO_ROOM not in wrong.message:
        return wrong
    if status.f_bavail * status.f_frsize > _FULL:
        return wrong
    return DiskFull(
        f"the disk is full: {wrong.message}",
        hint="free some space (`layerlock gc`), or choose another file system with LAYERLOCK_STORE",
    )


def _amount(size: int) -> str:
    """Write bytes as recipes do, in the largest binary unit that there is at least one of."""
    return f"{size / 2**30:.3g} GiB" if size >= 2**30 else f"{size / 2**20:.3g} MiB"


def _tail(log: Path) -> list[str]:
    with log.open(encoding="utf-8", errors="replace") as lines:
        return [line.rstrip("\n") for line in deque(lines, TAIL)]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Reported:
    """What a guest script said of its failure."""

    kind: type[LayerlockError]
    message: str
    hint: str
    file: str


def _report(build: Path) -> _Reported | None:
    """Read the report of a guest script. The build could write it, so nothing in it is trusted but shown."""
    path = build / "report.json"
    try:
        if path.is_symlink() or path.stat().st_size > _REPORT_CAP:
            return None
        report: Any = json.loads(path.read_bytes())
        error = report["error"]
        others = [
            f"\n  {finding['message']}"
            for finding in report.get("findings", ())
            if finding.get("severity") == "error" and finding["message"] != error["message"]
        ]
        return _Reported(
            kind=_REPORTED[error["kind"]],
            message=str(error["message"]) + "".join(others[:20]),
            hint=str(error.get("hint") or ""),
            file=str(error.get("file") or ""),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
