"""Assembles a layer as assemble.py does, with less bytecode: none for modules that are seldom imported, or none
of the tables by which tracebacks underline a part of a line.

Past locks name assemble.py and bytecode.py by their content, so what came after them stands here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import assemble
import bytecode
from globs import BadPattern, matches
from task import Finding, Report, Task, Violation, run


def assemble_lean(task: Task) -> Report:
    """Run `assemble.assemble` on the task.

    Keys of the task besides that one's: no_bytecode, the patterns of modules that get none; columns, whether
    bytecode tells columns. Raises Violation of kind "usage" for a bad pattern.
    """
    patterns = task.get("no_bytecode", [])
    compile_all = bytecode.compile_all

    def compile_some(root: Path, names: Sequence[str], executable: str) -> list[Finding]:
        try:
            left_out = {pattern: {name for name in names if matches(name, [pattern])} for pattern in patterns}
        except BadPattern as error:
            raise Violation("usage", str(error), hint="see the pattern language in the manual") from error
        idle = [
            Finding(
                "no-bytecode",
                "check",
                f"the pattern {pattern!r} of no_bytecode selects no module",
                "correct or drop it",
                severity="warning",
            )
            for pattern, selected in left_out.items()
            if not selected
        ]
        without = set().union(*left_out.values())
        return compile_all(root, [name for name in names if name not in without], executable) + idle

    # The two names by which assemble.py and bytecode.py call them.
    bytecode.compile_all = compile_some
    if not task.get("columns", True):
        bytecode.ask = _ask_without_columns
    return assemble.assemble(task)


def _ask_without_columns(executable: str, program: str, given: dict[str, Any]) -> Any:
    """Do what `bytecode.ask` does, with `-X no_debug_ranges`, of which Python before 3.11 knows nothing."""
    options = ["-X", "no_debug_ranges", "-S", "-E", "-s", "-B", "-W", "ignore"]
    done = subprocess.run(
        [executable, *options, "-c", program],
        input=json.dumps(given).encode(),
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        message = f"{executable} ended with {done.returncode}: {said[-1] if said else 'it said nothing'}"
        raise Violation("build", message, hint="is the runtime's Python among the inputs of the layer?")
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(run(assemble_lean, sys.argv))
