"""Makes the layer tree, as it will stand under /opt, out of packages: each step in turn, with a report.

Task: see `assemble` for the keys. Result: /out/tree and /out/report.json.
"""

from __future__ import annotations

import dataclasses
import posixpath
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import abi
import bytecode
import checks
import elf
import exports
import lower
import private
import strip_files
from collect import Owned, collect, write
from prune import prune
from task import Finding, Report, Task, Violation, findings_as_json, jobs, refuse, run
from tree import files, scan, total

_STANDARD_LIBRARY = """
import json, os, sys
names = set(getattr(sys, "stdlib_module_names", ())) | set(sys.builtin_module_names)
if not hasattr(sys, "stdlib_module_names"):
    library = os.path.dirname(os.__file__)
    names |= {n.split(".")[0] for n in os.listdir(library) + os.listdir(library + "/lib-dynload")}
json.dump(sorted(names - {"site-packages", "lib-dynload", "__pycache__"}), sys.stdout)
"""


def assemble(task: Task) -> Report:
    """Run every step. Raises Violation with the kind of the first thing that is wrong.

    Keys of the task: layer, architecture, packages, beneath, runtime (name, libraries_path, exports,
    absent, lower), python (version, executable), prune, keep, strip, strip_program, private, lower,
    loaded_before, bytecode, forbidden_strings, forbidden_except, allow_pth.
    """
    tree = Path(task.get("out", "/out")) / "tree"
    tree.mkdir(parents=True)
    steps: list[dict[str, Any]] = []
    findings: list[Finding] = []

    def step(name: str, files_touched: int, before: int) -> None:
        steps.append(
            {"name": name, "files": files_touched, "bytes_before": before, "bytes_after": total(tree)}
        )
        print(f"{name}: {files_touched} files, {before:,} -> {steps[-1]['bytes_after']:,} bytes", flush=True)

    owned = collect(task["packages"])
    pruned = prune(owned, task.get("prune", []), task.get("keep", []))
    findings += pruned.findings
    write(pruned.kept, tree)
    step("collect and prune", len(pruned.kept), sum(item.entry.size for item in owned))

    architecture = task["architecture"]
    objects = _objects(tree)
    if task.get("strip", True):
        before = total(tree)
        program = task.get("strip_program", "strip")
        findings += strip_files.strip(tree, list(objects), program, architecture, jobs(task))
        step("strip", len(objects), before)

    lowered = _lower(tree, task.get("lower", []), task["runtime"].get("lower", []))
    renamed = _rename(tree, _objects(tree), task.get("private", []))

    version = task["python"]["version"]
    import_roots = ("python", f"python/lib/python{version}/site-packages")
    if task.get("bytecode", "none") == "unchecked-hash":
        modules = [
            entry.name
            for entry in files(tree)
            if entry.name.endswith(".py") and entry.name.startswith("python/")
        ]
        before = total(tree)
        findings += bytecode.compile_all(tree, modules, task["python"]["executable"])
        step("bytecode", len(modules), before)

    verdict = abi.check(_world(tree, task))
    findings += verdict.findings
    sizes = _package_sizes(tree, pruned.kept)
    names = bytecode.ask(task["python"]["executable"], _STANDARD_LIBRARY, {})
    looked = checks.look(
        tree,
        import_roots=import_roots,
        standard_library=frozenset(names),
        forbidden=tuple(task.get("forbidden_strings", [])),
        forbidden_except=tuple(task.get("forbidden_except", [])),
        allow_pth=bool(task.get("allow_pth", False)),
    )
    findings += checks.run_checks(looked)
    refuse(findings)
    return {
        "layer": task.get("layer", ""),
        "findings": findings_as_json(findings),
        "steps": steps,
        "packages": sizes,
        "rules": list(pruned.rules),
        "libraries": list(verdict.table),
        "maxima": verdict.maxima,
        "lowered": [dataclasses.asdict(row) for row in lowered],
        "private": renamed,
        "unzipped": total(tree),
        "largest": [
            {"path": name, "bytes": size}
            for name, size in checks.largest_of(((entry.name, entry.size) for entry in files(tree)), 20)
        ],
    }


def _objects(tree: Path) -> dict[str, elf.Elf]:
    """Every loadable object of the tree by its path; relocatables and static archives are none."""
    found = {}
    for entry in files(tree):
        path = tree / entry.name
        if not elf.is_elf(path):
            continue
        try:
            found[entry.name] = elf.read(path)
        except elf.NotLoadable as error:
            if "of type ET_REL" not in str(error) and "without a dynamic table" not in str(error):
                message = f"{entry.name}: cannot be loaded: {error}"
                raise Violation(
                    "abi", message, hint="prune it, or mend the package", file=entry.name
                ) from error
    return found


def _lower(tree: Path, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> list[lower.Lowered]:
    done: list[lower.Lowered] = []
    for name in sorted(names):
        path = tree / name
        if not path.is_file():
            raise Violation(
                "usage",
                f"{name} is to be lowered, but is not in the layer",
                hint="correct `lower`",
                file=name,
            )
        # A link stays a link: what it leads to is changed.
        path = path.resolve()
        edits, what = lower.plan(name, elf.read(path), path.read_bytes(), rows)
        elf.apply(path, edits)
        done += what
    return done


def _rename(tree: Path, objects: Mapping[str, elf.Elf], sonames: Sequence[str]) -> list[dict[str, str]]:
    """Give `sonames` their private names: the file or link of that name, and every mention in an object."""
    if not sonames:
        return []
    for name, parsed in objects.items():
        path = tree / name
        edits = private.plan(name, parsed, path.read_bytes(), set(sonames))
        if edits:
            elf.apply(path, edits)
    renamed = []
    for soname in sorted(sonames):
        new = private.private_name(soname)
        entries = [
            entry
            for entry in scan(tree)
            if entry.kind != "directory" and posixpath.basename(entry.name) == soname
        ]
        if not entries:
            message = f"{soname} is to become private, but the layer does not ship it"
            raise Violation(
                "usage", message, hint="add the package that has it, or correct `private`", file=soname
            )
        for entry in entries:
            target = posixpath.join(posixpath.dirname(entry.name), new)
            (tree / entry.name).rename(tree / target)
            renamed.append({"from": entry.name, "to": target})
    return renamed


def _world(tree: Path, task: Task) -> abi.World:
    runtime = task["runtime"]
    text = Path(runtime["exports"]).read_text(encoding="utf-8")
    objects = _objects(tree)
    found = _names(tree, "", objects)
    beneath: dict[str, elf.Elf] = {}
    for layer in task.get("beneath", []):
        root = Path(layer["path"])
        others = _objects(root)
        # A later layer's file takes the place of an earlier one's under /opt, and ours of both.
        beneath.update({name: parsed for name, parsed in others.items() if name not in objects})
        found = {**_names(root, "", others), **found}
    return abi.World(
        runtime=abi.Runtime(
            name=runtime["name"],
            architecture=task["architecture"],
            search=tuple(runtime["libraries_path"]),
            libraries=exports.parse(text),
            absent=frozenset(runtime.get("absent", [])),
        ),
        objects=objects,
        names=found,
        interpreter=_interpreter(Path(task["python"]["executable"]).resolve()),
        beneath=beneath,
        loaded_before=frozenset(task.get("loaded_before", [])),
    )


def _interpreter(executable: Path) -> elf.Elf:
    """The interpreter; where Python is a shared library of its own, with what that offers."""
    program = elf.read(executable)
    for name in program.needed:
        library = executable.parent.parent / "lib" / name
        if name.startswith("libpython") and library.exists():
            offered = {**program.defined, **elf.read(library).defined}
            return dataclasses.replace(program, defined=offered)
    return program


def _names(root: Path, prefix: str, objects: Mapping[str, elf.Elf]) -> dict[str, str]:
    """Each path that leads to an object: its own, and those of links to it."""
    names = {prefix + name: prefix + name for name in objects}
    top = root.resolve()
    for entry in scan(root):
        if entry.kind == "link":
            resolved = (root / entry.name).resolve()
            try:
                inside = resolved.relative_to(top).as_posix()
            except ValueError:
                continue
            if inside in objects:
                names[prefix + entry.name] = prefix + inside
    return names


def _package_sizes(tree: Path, kept: Sequence[Owned]) -> list[dict[str, Any]]:
    """Files and bytes of each package as they are now; bytecode counts for the package of its module."""
    owner = {item.name: item.package for item in kept}
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for entry in files(tree):
        package = (
            owner.get(entry.name)
            or owner.get(checks.module_of(entry.name))
            or _renamed_owner(entry.name, owner)
        )
        sizes[package] += entry.size
        counts[package] += 1
    rows: list[tuple[str, int]] = checks.largest_of(sizes.items(), len(sizes))
    return [{"name": name, "files": counts[name], "bytes": size} for name, size in rows]


def _renamed_owner(name: str, owner: Mapping[str, str]) -> str:
    folder, _, base = name.rpartition("/")
    return owner.get(f"{folder}/lib{base[3:]}", "other")


if __name__ == "__main__":
    sys.exit(run(assemble, sys.argv))
