"""What every guest entry shares: reading its task, and telling the driver how it ended.

The driver mounts the task as JSON at /layerlock/task.json. A success is a zero exit status and
`report.json` in the output; a violation is exit status 1 and `report.json` in the scratch folder, so that a
failed build leaves nothing in its output. A Python traceback is a defect of this code, never an answer.

Guest code runs on the Python of whichever root it is started in (3.9 to 3.14), imports only the standard
library and the wheels that a derivation names, and is imported by nobody in the driver.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable

Task = dict[str, Any]
Report = dict[str, Any]

TASK = "/layerlock/task.json"


@dataclass(frozen=True)
class Finding:
    """One thing that a check has to say. `kind` chooses the driver's error class and exit code."""

    check: str
    kind: str
    message: str
    hint: str = ""
    file: str = ""
    symbol: str = ""
    severity: str = "error"


class Violation(Exception):
    """A rule is broken by what the task brought in; `findings` holds everything that was found."""

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        hint: str = "",
        file: str = "",
        symbol: str = "",
        findings: Sequence[Finding] = (),
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.error: dict[str, Any] = {
            "kind": kind,
            "message": message,
            "hint": hint,
            "file": file,
            "symbol": symbol,
        }
        if status is not None:
            self.error["status"] = status
        self.findings = tuple(findings)


def refuse(findings: Sequence[Finding]) -> None:
    """Raise a Violation for the first finding of severity "error", carrying all of them; do nothing without
    one.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    raise Violation(
        first.kind,
        first.message + more,
        hint=first.hint,
        file=first.file,
        symbol=first.symbol,
        findings=findings,
    )


def findings_as_json(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Plain mappings of findings, in the order given."""
    return [asdict(finding) for finding in findings]


def write_report(path: Path, report: Report) -> None:
    """Write a report with sorted keys: it stands in outputs that are hashed."""
    text = json.dumps(report, indent=1, sort_keys=True, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def jobs(task: Task) -> int:
    """How many things to do at once; nothing that is written depends on it."""
    stated = task.get("jobs") or os.environ.get("LAYERLOCK_JOBS") or 1
    return max(1, int(stated))


def run(work: Callable[[Task], Report | None], argv: Sequence[str]) -> int:
    """Read the task named by `argv[1]` (default /layerlock/task.json), do the work, report; the exit
    status.
    """
    task: Task = json.loads(Path(argv[1] if len(argv) > 1 else TASK).read_text(encoding="utf-8"))
    sys.path[:0] = task.get("python_path", [])
    try:
        report = work(task)
    except Violation as violation:
        write_report(
            Path(task.get("scratch", "/build")) / "report.json",
            {"ok": False, "error": violation.error, "findings": findings_as_json(violation.findings)},
        )
        sys.stdout.flush()
        sys.stderr.write(f"layerlock: {violation}\n")
        return 1
    if report is not None:
        write_report(Path(task.get("out", "/out")) / "report.json", {"ok": True, "findings": [], **report})
    return 0
