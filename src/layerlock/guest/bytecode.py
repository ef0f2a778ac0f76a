"""Compiles a layer's modules with the layer's own Python, bound to the content of nothing: unchecked-hash.

Lambda's /opt is read-only, so a module without bytecode is compiled again at every cold start; and bytecode
that is bound to file times would never be taken, since the zip sets all times. PEP 552 made the third way.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from task import Finding, Violation

# Runs in the layer's Python. One process and one order: what marshal writes may depend on what was interned
# before.
_PROGRAM = """
import json, py_compile, sys
given = json.load(sys.stdin)
failed = []
for name in given["names"]:
    try:
        py_compile.compile(
            given["root"] + "/" + name,
            dfile="/opt/" + name,
            doraise=True,
            optimize=0,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    except (py_compile.PyCompileError, SyntaxError, ValueError, UnicodeDecodeError) as error:
        failed.append([name, str(error).strip().splitlines()[-1]])
json.dump(failed, sys.stdout)
"""


def compile_all(root: Path, names: Sequence[str], executable: str) -> list[Finding]:
    """Write `__pycache__` beside each module of `names`, which are relative to `root`; as they stand under
    /opt.

    A file that is no Python of that version (a template, say) gets a warning and no bytecode.
    Raises Violation of kind "build" if the interpreter fails.
    """
    failed = ask(executable, _PROGRAM, {"root": str(root), "names": sorted(names)})
    return [
        Finding(
            "bytecode",
            "check",
            f"{name} cannot be compiled: {why}",
            "prune it if it is not needed",
            name,
            "",
            "warning",
        )
        for name, why in failed
    ]


def ask(executable: str, program: str, given: dict[str, Any]) -> Any:
    """Run `program` in the layer's Python, with `given` as JSON on its input; the JSON that it prints."""
    done = subprocess.run(
        [executable, "-S", "-E", "-s", "-B", "-W", "ignore", "-c", program],
        input=json.dumps(given).encode(),
        capture_output=True,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise Violation(
            "build",
            f"{executable} ended with {done.returncode}: {said[-1] if said else 'it said nothing'}",
            hint="is the runtime's Python among the inputs of the layer?",
        )
    return json.loads(done.stdout)
