"""Lint of recipes: names, patches, prune and keep rules, smoke tests."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from layerlock.audit.check import Check
from layerlock.audit.subject import Subject
from layerlock.errors import Location
from layerlock.model.findings import Finding, Severity
from layerlock.model.function import FunctionLayer
from layerlock.model.layer import PythonSmoke

NAME: Final = re.compile(r"[a-z0-9._-]+(?:/[a-z0-9._-]+)*")
_HUNK: Final = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_CONTEXT: Final = 3
"""Lines of context that a unified diff has by default (POSIX diff -u)."""


def _names(subject: Subject) -> Iterator[Finding]:
    root = subject.repository.root
    for folder in ("recipes", "patches"):
        for path in sorted((root / folder).rglob("*")):
            shown = path.relative_to(root).as_posix()
            if path.is_file() and "__pycache__" not in path.parts and not NAME.fullmatch(shown):
                yield NAMES.found(
                    shown,
                    f"the name of {shown} has characters outside of [a-z0-9._-]",
                    hint="rename it: on a file system that ignores case, or in a shell, it may be another file",
                    location=Location(file=shown, line=1),
                )
    for recipe, index, source in subject.closure.sources():
        name = source.name
        if name is not None and not NAME.fullmatch(name):
            yield NAMES.found(
                f"{recipe.name}/{name}",
                f"the source {name!r} of {recipe.name} has characters outside of [a-z0-9._-]",
                hint="give it another `name`",
                location=subject.repository.locate("packages", recipe.name, f"sources[{index}].name"),
            )


def _patches(subject: Subject) -> Iterator[Finding]:
    for recipe in subject.closure.packages:
        for patch in recipe.patches:
            path = subject.repository.root / "patches" / patch.file
            if not path.is_file():
                continue  # the check `recipes` tells
            for line, said in patch_problems(path.read_text(encoding="utf-8", errors="replace")):
                shown = f"patches/{patch.file}"
                yield PATCH_FUZZ.found(
                    shown,
                    f"{shown}: {said}",
                    hint="make it anew against the pinned source, with three lines of context: git diff",
                    location=Location(file=shown, line=line),
                )


def patch_problems(text: str) -> Iterator[tuple[int, str]]:
    """Find hunks of a unified diff that would need fuzz, or that could land in another place; with their lines."""
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        found = _HUNK.match(lines[index])
        if found is None:
            index += 1
            continue
        start, at = index + 1, int(found[1])
        old, new = (int(count) if count is not None else 1 for count in (found[2], found[4]))
        whole = at == 0 or int(found[3]) == 0  # a file that is made or removed has no context
        body: list[str] = []
        index += 1
        while index < len(lines) and (old > 0 or new > 0) and lines[index][:1] in (" ", "-", "+", "", "\\"):
            line = lines[index]
            if line[:1] != "\\":
                body.append(line[:1] or " ")
                old, new = old - (line[:1] != "+"), new - (line[:1] != "-")
            index += 1
        if old or new:
            yield start, f"the line counts of the hunk at line {start} are wrong"
            continue
        before = next((i for i, kind in enumerate(body) if kind != " "), len(body))
        after = next((i for i, kind in enumerate(reversed(body)) if kind != " "), len(body))
        # At the top of a file there may be fewer lines before; at its end, fewer after: one side has all of them.
        if not whole and max(before, after) < _CONTEXT:
            yield (
                start,
                f"the hunk at line {start} has {before} and {after} lines of context, fewer than {_CONTEXT}",
            )


def _selects_nothing(subject: Subject, check: Check, kind: str) -> Iterator[Finding]:
    """Take over what the assembly found of rules that select nothing; it alone saw what was pruned."""
    if subject.contents is None:
        return
    for row in subject.contents.report.get("findings", ()):
        if row.get("check") != kind:
            continue
        quoted = re.search(r"'([^']*)'", str(row["message"]))
        name = quoted[1] if quoted else ""
        rules = [rule.name for rule in subject.recipe.prune] if kind == "prune" else []
        keeps = [index for index, rule in enumerate(subject.recipe.keep) if name in rule.patterns]
        number = rules.index(name) if name in rules else keeps[0] if keeps else 0
        yield check.found(
            name or kind,
            f"{subject.name}: {row['message']}",
            hint="correct or drop it",
            location=subject.repository.locate("layers", _stated_in(subject, kind), f"{kind}[{number}]"),
        )


def _stated_in(subject: Subject, kind: str) -> str:
    """Give the layer whose recipe states the rules: this one, or the one that it is based on."""
    name, layer = subject.name, subject.recipe.layer
    while layer.base is not None:
        path = subject.repository.root / subject.repository.recipe_file("layers", name)
        if re.search(rf"^\[\[{kind}\]\]", path.read_text(encoding="utf-8"), re.MULTILINE):
            break
        name, layer = layer.base, subject.repository.layer(layer.base).layer
    return name


def _prune(subject: Subject) -> Iterator[Finding]:
    return _selects_nothing(subject, PRUNES_NOTHING, "prune")


def _keep(subject: Subject) -> Iterator[Finding]:
    return _selects_nothing(subject, KEEPS_NOTHING, "keep")


def _smoke(subject: Subject) -> Iterator[Finding]:
    recipe = subject.recipe
    tried = recipe.invocations if isinstance(recipe, FunctionLayer) else recipe.smoke
    if not tried:
        yield SMOKE_TESTS.found(
            subject.name,
            f"the layer {subject.name} has no smoke test: nothing shows that it works",
            hint="add a [[smoke]] that imports what the layer is for",
            location=subject.repository.locate("layers", subject.name, "layer.name"),
        )
    for index, test in enumerate(subject.recipe.smoke):
        path = subject.repository.root / "recipes" / test.file
        if not path.is_file():
            continue  # the lock does not fit then, which is told elsewhere
        if not imports_something(path):
            kind = "test" if isinstance(test, PythonSmoke) else "handler"
            yield SMOKE_TESTS.found(
                test.name,
                f"the smoke {kind} {test.name} imports nothing but the standard library: it tries nothing of the layer",
                hint=f"import what the layer is for in recipes/{test.file}",
                location=subject.repository.locate(
                    "layers", _stated_in(subject, "smoke"), f"smoke[{index}].file"
                ),
            )


def imports_something(path: Path) -> bool:
    """Say whether a program imports a module that is not Python's own, or loads one by name or a library by ctypes."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return False
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                found = [alias.name for alias in aliases]
            case ast.ImportFrom(module=str(module), level=0):
                found = [module]
            case ast.Call(func=ast.Attribute(attr="import_module" | "CDLL" | "LoadLibrary")):
                return True
            case ast.Call(func=ast.Name(id="import_module" | "__import__" | "CDLL")):
                return True
            case _:
                continue
        if any(name.partition(".")[0] not in sys.stdlib_module_names for name in found):
            return True
    return False


NAMES = Check(
    name="names",
    area="lint",
    needs="nothing",
    severity=Severity.WARNING,
    explanation="Files below recipes/ and patches/, and sources, have names of [a-z0-9._-] alone, so that they mean "
    "the same on every file system, in every shell and in every address.",
    run=_names,
)
PATCH_FUZZ = Check(
    name="patch-fuzz",
    area="lint",
    needs="nothing",
    severity=Severity.WARNING,
    explanation="Builds apply patches without fuzz. A hunk whose line counts are wrong does not apply at all; one with "
    "less context than usual can apply in another place than the one it was made for, and nobody would see it.",
    run=_patches,
)
PRUNES_NOTHING = Check(
    name="prunes-nothing",
    area="lint",
    needs="store",
    severity=Severity.WARNING,
    explanation="A prune rule that selects nothing is mistyped, or its files are gone. What it was meant "
    "to drop ships.",
    run=_prune,
)
KEEPS_NOTHING = Check(
    name="keeps-nothing",
    area="lint",
    needs="store",
    severity=Severity.WARNING,
    explanation="A keep pattern that selects nothing is mistyped, or what it protected is gone and something lacks it.",
    run=_keep,
)
SMOKE_TESTS = Check(
    name="smoke-tests",
    area="lint",
    needs="nothing",
    severity=Severity.WARNING,
    explanation="A layer is tried in a root like Lambda's before it is delivered. A layer without smoke tests, or "
    "with one that imports nothing of the layer, is delivered untried.",
    run=_smoke,
)

CHECKS = (NAMES, PATCH_FUZZ, PRUNES_NOTHING, KEEPS_NOTHING, SMOKE_TESTS)
