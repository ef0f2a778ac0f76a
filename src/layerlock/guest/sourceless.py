"""Makes the layer tree as assemble.py does, and then lets bytecode take the place of the modules' sources.

Task: that of assemble.py, with `bytecode` "sourceless" and `keep_sources`, patterns of modules that keep theirs.

Python imports `name.pyc` where no `name.py` stands beside it (importlib's SourcelessFileLoader). What reads
source text goes without: tracebacks show no lines, `inspect.getsource` fails, and a file that is run or read by
its path is gone; so only files whose names can be imported are replaced. The checks look at the sources, before.
"""

from __future__ import annotations

import dataclasses
import posixpath
import sys
from collections.abc import Sequence
from pathlib import Path

import bytecode
import checks
from assemble import _package_sizes, assemble
from collect import Owned, collect
from globs import BadPattern, compile_pattern, matches
from prune import prune
from task import Finding, Report, Task, Violation, findings_as_json, run
from tree import files, total

_TAG = "import json, sys; json.dump(sys.implementation.cache_tag, sys.stdout)"


def assemble_sourceless(task: Task) -> Report:
    """Run every step of `assemble`, and this one. Raises Violation as that does, and of kind "usage" for a bad
    pattern.
    """
    patterns = task.get("keep_sources", [])
    for pattern in patterns:
        _check(pattern)
    report = assemble({**task, "bytecode": "unchecked-hash"})
    tree = Path(task.get("out", "/out")) / "tree"
    before = total(tree)
    replaced = _replace(tree, bytecode.ask(task["python"]["executable"], _TAG, {}), patterns)
    after = total(tree)
    step = {"name": "sourceless", "files": len(replaced), "bytes_before": before, "bytes_after": after}
    print(f"sourceless: {len(replaced)} files, {before:,} -> {after:,} bytes", flush=True)
    names = [entry.name for entry in files(tree)]
    idle = [pattern for pattern in patterns if not any(matches(name, [pattern]) for name in names)]
    findings = [
        Finding(
            "keep-sources",
            "check",
            f"the pattern {pattern!r} of `keep_sources` selects nothing",
            "correct or drop it",
            severity="warning",
        )
        for pattern in idle
    ]
    kept = prune(collect(task["packages"]), task.get("prune", []), task.get("keep", [])).kept
    largest = checks.largest_of(((entry.name, entry.size) for entry in files(tree)), 20)
    return {
        **report,
        "findings": [*report["findings"], *findings_as_json(findings)],
        "steps": [*report["steps"], step],
        "packages": _package_sizes(tree, [_as_placed(item, replaced) for item in kept]),
        "unzipped": after,
        "largest": [{"path": name, "bytes": size} for name, size in largest],
    }


def _check(pattern: str) -> None:
    try:
        compile_pattern(pattern)
    except BadPattern as error:
        hint = "patterns of `keep_sources` are those of prune rules"
        raise Violation("usage", str(error), hint=hint) from error


def _replace(tree: Path, tag: str, patterns: Sequence[str]) -> frozenset[str]:
    """Put bytecode in the place of sources; give the sources' names. What was not compiled keeps its source."""
    replaced = set()
    for entry in files(tree):
        folder, _, base = entry.name.rpartition("/")
        stem, extension = posixpath.splitext(base)
        compiled = tree / folder / "__pycache__" / f"{stem}.{tag}.pyc"
        replaceable = extension == ".py" and stem.isidentifier() and compiled.is_file()
        if not replaceable or matches(entry.name, patterns):
            continue
        compiled.rename(tree / f"{entry.name}c")
        (tree / entry.name).unlink()
        if not any(compiled.parent.iterdir()):
            compiled.parent.rmdir()
        replaced.add(entry.name)
    return frozenset(replaced)


def _as_placed(item: Owned, replaced: frozenset[str]) -> Owned:
    if item.name not in replaced:
        return item
    return dataclasses.replace(item, entry=dataclasses.replace(item.entry, name=f"{item.name}c"))


if __name__ == "__main__":
    sys.exit(run(assemble_sourceless, sys.argv))
