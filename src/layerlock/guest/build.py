"""Builds a package by its script: applies the patches, then runs the script by bash.

Task: {"script": str, "cwd": str, "patches": [{"file": path, "directory": path}]}. What the script prints is
the build's log; what it leaves in /out is the package. Nothing is added to it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from task import Task, Violation, run

import patches


def build(task: Task) -> None:
    """Raises Violation of kind "patch", or "build" with the script's exit status (negative: a signal)."""
    patches.apply(task.get("patches", []))
    cwd = Path(task["cwd"])
    if not cwd.is_dir():
        raise Violation(
            "usage", f"the build's directory {cwd} does not exist", hint="check [build] and [[sources]]"
        )
    sys.stdout.flush()
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", task["script"]],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        how = (
            f"was ended by signal {-done.returncode}"
            if done.returncode < 0
            else f"ended with {done.returncode}"
        )
        raise Violation(
            "build", f"the build script {how}", hint="its last lines are above", status=done.returncode
        )


if __name__ == "__main__":
    sys.exit(run(build, sys.argv))
