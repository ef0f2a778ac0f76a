"""Makes a function's tree, as it will stand under /var/task: a layer's, with its modules at the top.

Task: that of assemble.py, and "handler", the function as Lambda names it (`app.handler`, `folder/app.handler`).

Everything that is checked of a layer is checked first, while modules still stand below python/. Objects that find
others by a path from python/ to another folder of the tree would lose them; the smoke tests tell.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import checks
from assemble import assemble
from task import Finding, Report, Task, Violation, refuse, run
from tree import scan


def function(task: Task) -> Report:
    """Assemble, bring modules to the top, and look for the handler. Raises Violation as `assemble` does, of
    kind "check" for two modules that come to the same place, of kind "function" for a handler that is not
    there.
    """
    report = assemble(task)
    tree = Path(task.get("out", "/out")) / "tree"
    version = task["python"]["version"]
    moved = flatten(tree, (f"python/lib/python{version}/site-packages", "python"))
    refuse(list(checks.links(checks.look(tree, import_roots=("",)))))
    find_handler(tree, task["handler"])
    for row in report["largest"]:
        row["path"] = moved.get(row["path"], row["path"])
    for row in report["libraries"]:
        row["file"] = moved.get(row["file"], row["file"])
        for need in row["needs"]:
            path = need["found"][len("/opt/") :] if need["found"].startswith("/opt/") else ""
            if path and (tree / moved.get(path, path)).exists():
                need["found"] = f"/var/task/{moved.get(path, path)}"
    return {**report, "handler": task["handler"]}


def flatten(tree: Path, roots: tuple[str, ...]) -> dict[str, str]:
    """Move what stands below each of `roots` to the top; the places of files and links, before and after."""
    moved: dict[str, str] = {}
    findings = []
    for entry in scan(tree):
        root = next((root for root in roots if entry.name.startswith(f"{root}/")), None)
        if entry.kind == "directory" or root is None:
            continue
        name = entry.name[len(root) + 1 :]
        target = tree / name
        if target.is_symlink() or target.exists():
            message = f"{entry.name} comes to the top of the zip, where {name} stands already"
            findings.append(Finding("collisions", "check", message, "leave out one of them", name))
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        (tree / entry.name).rename(target)
        moved[entry.name] = name
    refuse(findings)
    _drop_empty(tree / "python")
    return moved


def find_handler(tree: Path, handler: str) -> None:
    """Raise a Violation of kind "function" unless the handler's module is there and names the function."""
    place, _, name = handler.rpartition(".")
    module = place.replace(".", "/")
    found = [path for path in (tree / f"{module}.py", tree / module / "__init__.py") if path.is_file()]
    if not found:
        near = sorted(path.name for path in tree.glob("*.py"))[:10]
        raise Violation(
            "function",
            f"the handler {handler} is not in the zip: there is no {module}.py",
            hint=f"modules at its top: {', '.join(near) or 'none'}",
            file=f"{module}.py",
        )
    try:
        parsed = ast.parse(found[0].read_bytes())
    except (SyntaxError, ValueError) as error:
        raise Violation(
            "function", f"the handler's module {module}.py is no Python: {error}", file=f"{module}.py"
        ) from error
    if name not in _names(parsed.body):
        raise Violation(
            "function",
            f"the handler {handler} is not in the zip: {module}.py names no `{name}` at its top",
            hint=f"it names: {', '.join(sorted(_names(parsed.body))[:20]) or 'nothing'}",
            file=f"{module}.py",
        )


def _names(body: Any) -> set[str]:
    """What statements name: functions, classes, variables and imports, those of conditions and attempts too."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {
                each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)
            }
        else:
            for part in ("body", "orelse", "finalbody"):
                found |= _names(getattr(node, part, []))
            for caught in getattr(node, "handlers", []):
                found |= _names(caught.body)
    return found


def _drop_empty(folder: Path) -> None:
    """Remove folders that hold nothing any more."""
    if not folder.is_dir() or folder.is_symlink():
        return
    for below in sorted(folder.rglob("*"), reverse=True):
        if below.is_dir() and not below.is_symlink() and not any(below.iterdir()):
            below.rmdir()
    if not any(folder.iterdir()):
        folder.rmdir()


if __name__ == "__main__":
    sys.exit(run(function, sys.argv))
