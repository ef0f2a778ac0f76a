"""Assembles a layer as assemble.py does, with objects laid out for no larger memory pages than the runtime's.

Task: that of assemble.py, and `max_page_size` in bytes. What came after past locks stands here, since they name
assemble.py by its content.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import assemble
import elf
import lower
import pages
from task import Report, Task, run
from tree import files, total


def assemble_paged(task: Task) -> Report:
    """Run `assemble.assemble` on the task, and `pages.close_gaps` after its stripping."""
    page: int = task["max_page_size"]
    lower_all = assemble._lower
    steps: list[dict[str, Any]] = []

    def close_first(
        tree: Path, names: Sequence[str], rows: Sequence[Mapping[str, Any]]
    ) -> list[lower.Lowered]:
        before = total(tree)
        objects = [entry.name for entry in files(tree) if elf.is_elf(tree / entry.name)]
        smaller = pages.close_gaps(tree, objects, page)
        step = {"name": "pages", "files": len(smaller), "bytes_before": before, "bytes_after": total(tree)}
        print(f"pages: {len(smaller)} files, {before:,} -> {step['bytes_after']:,} bytes", flush=True)
        steps.append(step)
        return lower_all(tree, names, rows)

    # What assemble.py does next after stripping, whether a layer asks for it or not.
    assemble._lower = close_first
    report = assemble.assemble(task)
    names = [step["name"] for step in report["steps"]]
    after = 1 + max(names.index(name) for name in ("collect and prune", "strip") if name in names)
    return {**report, "steps": [*report["steps"][:after], *steps, *report["steps"][after:]]}


if __name__ == "__main__":
    sys.exit(run(assemble_paged, sys.argv))
