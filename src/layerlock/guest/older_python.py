"""Makes the tree of a layer or function whose bytecode is for a Python before 3.11, the same bytes every time.

Task: that of function.py where it names a "handler", that of sourceless.py where `bytecode` is "sourceless", else that
of assemble.py.

What such a Python's marshal writes depends on more than the module: sets come in the order of their hashes,
which for strings are random and for None an address, and what is written by reference follows from how often
it was referred to. So modules are compiled and written by marshal_by_value.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import assemble
import bytecode
import function
import sourceless
from task import Report, Task, run


def make(task: Task) -> Report:
    """Assemble a layer or a function."""
    if "handler" in task:
        return function.function(task)
    return (
        sourceless.assemble_sourceless(task) if task["bytecode"] == "sourceless" else assemble.assemble(task)
    )


if __name__ == "__main__":
    # Put in place of the program there, whose text is in the hashes of layers for later Pythons.
    bytecode._PROGRAM = Path(__file__).with_name("marshal_by_value.py").read_text(encoding="utf-8")
    sys.exit(run(make, sys.argv))
