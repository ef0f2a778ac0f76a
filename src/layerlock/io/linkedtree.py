"""A second tree over the files of a first one, without some of them: made of hard links, to be read only."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path


def link_tree(source: Path, target: Path, without: frozenset[str]) -> None:
    """Lay out the tree `source` anew at `target`, which must not exist, but for the paths `without`.

    Paths are relative to the tree; one of a folder takes all that is in it. Files are hard links to the first tree's,
    so nobody may be given `target` to write to; where the file system refuses such links, they are copies. Folders
    that are left empty are left out, as assembly does it: Python would take one for a package without modules.
    """
    target.mkdir()
    _link(str(source), str(target), "", without)
    shutil.copystat(source, target)


def _link(source: str, target: str, prefix: str, without: frozenset[str]) -> None:
    with os.scandir(source) as entries:
        for entry in entries:
            name = prefix + entry.name
            if name in without:
                continue
            place = f"{target}/{entry.name}"
            if entry.is_symlink():
                Path(place).symlink_to(Path(entry.path).readlink())
            elif entry.is_dir():
                Path(place).mkdir()
                _link(entry.path, place, f"{name}/", without)
                shutil.copystat(entry.path, place)
                with suppress(OSError):
                    Path(place).rmdir()
            else:
                try:
                    os.link(entry.path, place)
                except OSError:
                    shutil.copy2(entry.path, place)
