"""Starts a smoke test's file or module as Lambda's bootstrap starts a function: with Lambda's sys.path.

Usage: smoke_start.py MODULES_PATH file FILE [ARGUMENT...]
       smoke_start.py MODULES_PATH module NAME [ARGUMENT...]
MODULES_PATH is Lambda's list, separated by colons; the interpreter's own standard library follows it.
Runs in the layer's own Python, so it is kept to what 3.9 to 3.14 have in common, and imports little before
the test.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence


def search_path(modules: Sequence[str], own: Sequence[str]) -> list[str]:
    """Lambda's folders first, then what the interpreter had by itself, each once."""
    path: list[str] = []
    for entry in [*modules, *own]:
        if entry not in path:
            path.append(entry)
    return path


def main(argv: list[str]) -> None:
    modules, kind, name = argv[1:4]
    # The first entry is this file's folder, which no function ever sees.
    sys.path[:] = search_path(modules.split(":"), sys.path[1:])
    sys.argv[:] = [name, *argv[4:]]
    if kind == "file":
        runpy.run_path(name, run_name="__main__")
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(list(sys.argv))
