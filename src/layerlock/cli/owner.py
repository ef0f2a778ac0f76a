"""`layerlock owner`: which package and derivation a file of a layer comes from."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer
from layerlock.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from layerlock.audit.owners import Owner
    from layerlock.cli.call import Call
    from layerlock.workflows.surveying import Read

HELP = Help(
    about="Says of files of a layer which package brought them, by which derivation, out of which sources, and what "
    "assembly did to them: references lowered, a private name, bytecode. The layer is one that was built here, or a "
    "zip: one that a lock records is known by its bytes. Of any other zip the RECORD files of installers tell, where "
    "there are some. Without a path every file is listed.",
    writes="nothing.",
    examples=(
        "layerlock owner dist/cv.zip lib/liblapack.so.3",
        "layerlock owner cv 'lib/*'",
        "layerlock owner cv --json",
    ),
    related=("why", "size", "audit"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layer", metavar="LAYER", help="a layer, or the path of a zip")
    parser.add_argument(
        "paths",
        nargs="*",
        metavar="PATH",
        help="a path in the layer, as below /opt (of a function: /var/task), or a glob of the recipes' kind",
    )


def run(call: Call) -> int:
    """Say who owns what."""
    read = read_target(call, call.options.layer)
    patterns: list[str] = call.option("paths", [])
    paths = [path for pattern in patterns for path in _matching(read, pattern)] or _all(read)
    rows = [_row(read, path) for path in dict.fromkeys(paths)]
    text = _detail(call, read, rows[0]) if len(rows) == 1 and patterns else _table(rows)
    call.result(text, {"layer": read.survey.name, "files": rows})
    return 0


def read_target(call: Call, name: str) -> Read:
    """Read the layer or the zip that an argument names.

    Raises:
        UsageError: there is neither.
    """
    from layerlock.workflows.surveying import read_layer, read_zip_file  # noqa: PLC0415 - --help does without it

    path = call.current / name
    with call.driver() as driver:
        if "/" in name or name.endswith(".zip"):
            if not path.is_file():
                raise UsageError(f"there is no zip {call.shown(path)}")
            return read_zip_file(driver, path)
        check_layer(call.repository, name)
        return read_layer(driver, name)


def _all(read: Read) -> list[str]:
    return [entry.path for entry in read.survey.inventory.entries.values() if entry.kind != "folder"]


def _matching(read: Read, pattern: str) -> list[str]:
    """Find paths; one that is written as it stands on Lambda means the same.

    Raises:
        UsageError: nothing is called so; the nearest name is given.
    """
    from layerlock.layer.globs import selected  # noqa: PLC0415 - as above

    inside = read.survey.inside(pattern).rstrip("/") or pattern
    entry = read.survey.inventory.entries.get(inside)
    if entry is not None and entry.kind != "folder":
        return [inside]
    every = _all(read)
    found = [path for path in every if selected(path, [inside])]
    if not found:
        near = difflib.get_close_matches(inside, every, n=1)
        hint = f"did you mean `{near[0]}`?" if near else "without a path every file is listed"
        raise UsageError(f"{read.survey.name} holds no `{inside}`", hint=hint)
    return found


def _row(read: Read, path: str) -> dict[str, Any]:
    entry = read.survey.inventory.entries[path]
    owner = read.survey.owners.get(path)
    shipped = owner.shipped if owner is not None else None
    return {
        "path": path,
        "size": entry.size,
        "sha256": entry.sha256 or None,
        "target": entry.target or None,
        "package": owner and owner.package,
        "version": owner and owner.version,
        "how": owner and owner.how,
        "steps": list(owner.steps) if owner else [],
        "original": owner and owner.original,
        "derivation": shipped
        and {"planned": shipped.planned, "output": shipped.output, "path": str(shipped.tree)},
        "recipe": shipped and str(shipped.location.file),
        "sources": _sources(read, owner),
    }


def _sources(read: Read, owner: Owner | None) -> list[dict[str, str]]:
    if read.plan is None or owner is None or owner.shipped is None:
        return []
    derivation = read.plan[owner.package]
    return [{"key": source.key, "hash": source.identity} for source in derivation.sources]


def _detail(call: Call, read: Read, row: dict[str, Any]) -> str:
    from layerlock.ui.text import printable, size, table  # noqa: PLC0415 - as above

    lines = [("size", size(row["size"])), ("sha256", row["sha256"] or "")]
    if row["target"]:
        lines = [("link to", printable(row["target"]))]
    if row["package"] is None:
        known = "no package of the layer brought it" if read.survey.packages else "nothing in the zip tells"
        return f"{printable(row['path'])}\n{table([*lines, ('package', known)], indent='  ')}"
    lines.append(("package", f"{row['package']} {row['version']}"))
    if row["how"] != "compiled" and row["original"] != row["path"]:
        lines.append(("there called", row["original"]))
    lines.append(("bytes", _how(row)))
    if row["derivation"] is not None:
        lines += [
            ("recipe", row["recipe"]),
            ("derivation", row["derivation"]["planned"]),
            ("output", row["derivation"]["output"]),
            ("in the store", call.shown(Path(row["derivation"]["path"]) / row["original"])),
        ]
    lines += [("source", f"{printable(each['key'])} {each['hash']}") for each in row["sources"]]
    if row["derivation"] is not None and not row["sources"] and read.plan is not None:
        derivation = read.plan[row["package"]]
        roots = [
            given.name.removeprefix("environment-") for given in derivation.inputs if given.mount is None
        ]
        lines += [("source", f"the environment {name}, which it was taken from") for name in roots]
    return f"{printable(row['path'])}\n{table(lines, indent='  ')}"


def _how(row: dict[str, Any]) -> str:
    if row["how"] == "differs":
        return "NOT what the package has there"
    return ", ".join(row["steps"]) or str(row["how"])


def _table(rows: list[dict[str, Any]]) -> str:
    from layerlock.ui.text import printable, table  # noqa: PLC0415 - as above

    cells = [("path", "package", "version", "bytes")]
    cells += [
        (
            printable(row["path"]),
            row["package"] or "(none)",
            row["version"] or "",
            _how(row) if row["how"] else "",
        )
        for row in rows
    ]
    return table(cells)
