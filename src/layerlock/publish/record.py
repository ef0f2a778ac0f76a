"""Reading and writing `lockfiles/published.toml`."""

from __future__ import annotations

from pathlib import Path

import tomli_w

from layerlock.errors import InvalidRecipe, Location
from layerlock.io.atomic import write_bytes
from layerlock.io.documents import read_record, read_table
from layerlock.model.published import VERSION, Publication, Published, with_entries

FILE = "lockfiles/published.toml"
HEADER = "# Written by `nox -s publish`; not for editing by hand.\n"


def read_published(root: Path) -> Published:
    """Read the record of the repository in `root`; an empty one where there is none.

    Raises:
        InvalidRecipe: it does not follow its format, or is of a later version.
    """
    path = root / FILE
    if not path.is_file():
        return Published(version=VERSION)
    table = read_table(path, FILE)
    version = table.get("version")
    if isinstance(version, int) and version > VERSION:
        raise InvalidRecipe(
            f"the record has version {version}; this layerlock reads up to {VERSION}",
            hint="use a newer layerlock",
            location=Location(file=FILE, line=1),
        )
    return read_record(Published, table, path, FILE)


def write_entries(root: Path, *changed: Publication) -> None:
    """Add or change entries, in one step: a reader sees the old record or the new one."""
    if not changed:
        return
    before = read_published(root)
    after = with_entries(before, *changed)
    if after == before:
        return
    path = root / FILE
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, (HEADER + tomli_w.dumps(_table(after))).encode())


def _table(published: Published) -> dict[str, object]:
    rows = []
    for each in published.published:
        row: dict[str, object] = {
            "layer": each.layer,
            "arn": each.arn,
            "zip": each.zip,
            "size": each.size,
            "created": each.created,
        }
        if each.pruned:
            row["pruned"] = True
        rows.append(row)
    return {"version": published.version, "published": rows}
