"""Reading and writing how long builds took: a file beside each lock, and a note beside each log of a store.

They are there to tell people what to expect. One that cannot be read counts as absent: no build fails over it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import tomli_w

from layerlock.errors import LayerlockError
from layerlock.io.atomic import write_bytes
from layerlock.io.documents import read_record, read_table
from layerlock.model.times import VERSION, Times, Took

SUFFIX = ".times.toml"
HEADER = "# How long the builds of this layer took. Written by `nox -s record`; no hash counts it.\n"


def read_times(path: Path) -> tuple[Took, ...]:
    """Read the file beside a lock; nothing where there is none that can be read."""
    shown = f"lockfiles/{path.name}"
    try:
        return read_record(Times, read_table(path, shown), path, shown).builds if path.is_file() else ()
    except (LayerlockError, OSError):
        return ()


def write_times(path: Path, builds: tuple[Took, ...]) -> None:
    """Write the file beside a lock, in one step, unless it says this already."""
    rows = [
        {name: value for name, value in dataclasses.asdict(took).items() if value != 0} for took in builds
    ]
    for row, took in zip(rows, builds, strict=True):
        row["seconds"] = took.seconds
    text = HEADER + tomli_w.dumps({"version": VERSION, "builds": rows})
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, text.encode())


def note_path(log: Path) -> Path:
    """Give the place of the note beside a build's log; a collection takes both alike."""
    return log.with_suffix(".json")


def read_note(log: Path) -> Took | None:
    """Read the note beside a build's log."""
    try:
        return Took(**json.loads(note_path(log).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def write_note(log: Path, took: Took) -> None:
    """Write the note beside a build's log."""
    write_bytes(note_path(log), json.dumps(dataclasses.asdict(took)).encode())
