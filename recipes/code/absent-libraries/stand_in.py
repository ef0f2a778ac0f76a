"""Writes the C++ of a library that stands in for those that were left out: each of its functions says so and ends the process.

    python3 stand_in.py TABLE.json EDITED_LIBRARY... -- PROVIDING_LIBRARY... > symbols.inc

What a library asks for strongly and no providing library offers must match one of the table's `symbols`, else this fails: a forgotten
library is told of when the package is built, not when a function runs.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from leave_out import WEAK, Library, Unfit


def main(table: str, *arguments: str) -> None:
    """Print one line of C++ for each symbol that nobody offers; `absent.cpp` includes them."""
    rules = json.loads(Path(table).read_text(encoding="utf-8"))
    split = arguments.index("--")
    edited = [Library(path, Path(path).read_bytes()) for path in arguments[:split]]
    offered: set[str] = set(rules["renamed"])
    for path in arguments[split + 1 :]:
        offered |= Library(path, Path(path).read_bytes()).defined()
    for library in edited:
        offered |= library.defined()
    wanted = {
        name: library.name
        for library in edited
        for name, binding in library.undefined().values()
        if binding != WEAK and name not in offered and not name.startswith(("Py", "_Py"))
    }
    unknown = [
        name for name in sorted(wanted) if not any(re.search(pattern, name) for pattern in rules["symbols"])
    ]
    if unknown:
        raise Unfit(
            f"{wanted[unknown[0]]} asks for {' '.join(unknown)}, which nothing offers and the table does not name"
        )
    for number, name in enumerate(sorted(wanted)):
        if not name.startswith("_ZTI"):
            print(f'ABSENT(f{number}, "{name}")')


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Unfit as error:
        sys.exit(f"stand_in: {error}")
