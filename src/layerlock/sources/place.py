"""Putting sources where a build sees them: archives unpacked by numbered transforms, trees copied writable."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Final

from layerlock.errors import StoreError, UsageError
from layerlock.io.archives import (
    MTIME,
    UNPACK_DEB,
    UNPACK_TAR,
    UNPACK_ZIP,
    unpack_deb,
    unpack_tar,
    unpack_zip,
)
from layerlock.io.atomic import storing
from layerlock.io.copies import copy_file
from layerlock.model.derivation import SourceInput

COPY_TREE: Final = "tree/1"
"""A tree as it stands in the store, with the modes 0644, 0755 and the fixed time, all of it writable."""


def place(source: SourceInput, stored: Path, into: Path) -> None:
    """Make a source's tree at `into`, which must not exist yet; a source that is not unpacked is copied as a file.

    Args:
        source: says by which numbered transform, and how many leading folders are dropped.
        stored: the file or tree in the store.
        into: the place to make.

    Raises:
        UnsafeArchive: an archive tries to leave its folder or passes a cap.
        StoreError, DiskFull: the place cannot be written.
        UsageError: the transform has a number that this driver does not know.
    """
    if source.unpack == "":
        with storing(f"copy the source {source.key}"):
            shutil.copyfile(stored, into, follow_symlinks=False)
            into.chmod(0o644)
            os.utime(into, (MTIME, MTIME))
        return
    if source.unpack not in (UNPACK_TAR, UNPACK_ZIP, UNPACK_DEB, COPY_TREE):
        raise UsageError(
            f"the source `{source.key}` asks for the unknown transform `{source.unpack}`",
            hint="use a newer layerlock",
        )
    with storing(f"make {into}"):
        into.mkdir()
        into.chmod(0o755)  # whatever the umask is
    if source.unpack == UNPACK_TAR:
        unpack_tar(stored, into, strip=source.strip)
    elif source.unpack == UNPACK_ZIP:
        unpack_zip(stored, into, strip=source.strip)
    elif source.unpack == UNPACK_DEB:
        unpack_deb(stored, into)
    else:
        with storing(f"copy the source {source.key}"):
            copy_tree(stored, into)


def copy_tree(tree: Path, into: Path, *, leave_out: frozenset[str] = frozenset()) -> None:
    """Copy what a tree holds into the folder `into`, links as links, without the names in `leave_out`.

    Where the file system has reflinks, files share their blocks until one is written to.

    Raises:
        StoreError: the tree holds a device, a pipe or a socket.
        OSError: the file system refuses something.
    """
    with os.scandir(tree) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.name in leave_out:
            continue
        target = into / entry.name
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            target.symlink_to(Path(entry.path).readlink())
        elif stat.S_ISDIR(mode):
            target.mkdir()
            target.chmod(0o755)
            copy_tree(Path(entry.path), target, leave_out=leave_out)
        elif stat.S_ISREG(mode):
            copy_file(entry.path, target)
            target.chmod(0o755 if mode & stat.S_IXUSR else 0o644)
        else:
            raise StoreError(f"{entry.path} is neither a file, a folder nor a link")
        os.utime(target, (MTIME, MTIME), follow_symlinks=False)
    os.utime(into, (MTIME, MTIME))
