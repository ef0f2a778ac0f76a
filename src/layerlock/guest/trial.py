"""Runs a layer's smoke tests to see whether they pass, not to hold it against them: a failure is an answer here.

Task: as smoke.py's, and "stubs": [package], in whose place empty ones are imported, "trace": whether to tell what of
the layer was used. Result: /out/report.json with "works", of the first test that failed "test" and "why", else
"seconds" and "trace", the lines of trial_start.py. The tests run one after the other, up to the first that fails.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import smoke
from task import Report, Task, run
from trial_start import mapped

_START = str(Path(__file__).resolve().parent / "trial_start.py")
_LINES = 500_000


def trial(task: Task) -> Report:
    """Run the tests."""
    watched = bool(task.get("trace")) or bool(task.get("stubs"))
    seen: set[str] = set()
    seconds = 0.0
    for test in task["tests"]:
        result = _watched(test, task, seen) if watched else _run(test, task)
        seconds += result["seconds"]
        print(
            f"smoke test {test['name']}: {'ok' if result['ok'] else 'fails'}, {result['seconds']} s",
            flush=True,
        )
        if not result["ok"]:
            print(result["output"], flush=True)
            finding = smoke._finding(result)
            return {
                "works": False,
                "test": test["name"],
                "why": f"{finding.message}: {finding.hint}",
                "trace": sorted(line for line in seen if line.startswith("call\t")),
            }
    return {"works": True, "seconds": round(seconds, 3), "trace": sorted(seen)[:_LINES]}


def _run(test: Mapping[str, Any], task: Task) -> dict[str, Any]:
    return smoke._python(test, task) if test["kind"] == "python" else smoke._invoke(test, task)


def _watched(test: Mapping[str, Any], task: Task, seen: set[str]) -> dict[str, Any]:
    """Run a test from the other start, and gather what it wrote and what its processes had mapped at the end."""
    start, end = smoke._START, smoke._end

    def look(process: Any) -> None:
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit() and int(folder.name) != os.getpid():
                seen.update(f"map\t{path}" for path in mapped(folder.name))
        end(process)

    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder, "trace")
        variables = {**test.get("variables", {}), "LAYERLOCK_TRACE": str(trace)}
        if task.get("stubs"):
            variables["LAYERLOCK_STUBS"] = ":".join(task["stubs"])
        smoke._START, smoke._end = _START, look
        try:
            return _run({**test, "variables": variables}, task)
        finally:
            smoke._START, smoke._end = start, end
            if trace.exists():
                seen.update(trace.read_text(encoding="utf-8", errors="surrogateescape").splitlines())


if __name__ == "__main__":
    sys.exit(run(trial, sys.argv))
