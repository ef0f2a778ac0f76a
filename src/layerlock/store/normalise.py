"""Makes a tree the same wherever it came from: what a NAR does not see, but a build would.

Modes become 0444, 0555 for executables and directories; times become one; hard links are split (through one
name another could be changed), extended attributes and setuid bits go.
"""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from layerlock.errors import HostileOutput

_CLOSED: Final = 0o555


def normalise(path: Path, mtime: int) -> None:
    """Normalise the directory `path` and everything below it, in place; `mtime` in seconds.

    Links are not followed. Raises HostileOutput for devices, pipes and sockets, and OSError.
    """
    times = (mtime * 10**9, mtime * 10**9)
    stack = [str(path)]
    folders: list[str] = []
    while stack:
        folder = stack.pop()
        folders.append(folder)
        os.chmod(folder, 0o755)  # noqa: PTH101, S103 -- text paths are much faster here; closed again below
        with os.scandir(folder) as entries:
            for entry in list(entries):
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                else:
                    _normalise_leaf(entry, times)
    # Only now: entries were still being replaced, and that changes a directory's time.
    for folder in reversed(folders):
        _drop_attributes(folder)
        os.chmod(folder, _CLOSED)  # noqa: PTH101
        os.utime(folder, ns=times)


def sealed(path: Path, mtime: int) -> bool:
    """Say whether nothing has touched a tree's top directory since it was closed."""
    status = path.stat()
    return status.st_mode & 0o7777 == _CLOSED and int(status.st_mtime) == mtime


def seal(path: Path, mtime: int) -> None:
    """Close a tree's top directory, which had to be open to be renamed. Raises OSError."""
    path.chmod(_CLOSED)
    os.utime(path, (mtime, mtime))


def used(path: Path | None, mtime: int) -> Path | None:
    """Note that an entry, if there is one, is used just now: its one fixed time is set anew, which moves its ctime."""
    if path is not None:
        with suppress(OSError):  # of another user, or on a disk that is read-only: the order is merely older
            os.utime(path, (mtime, mtime))
    return path


def _normalise_leaf(entry: os.DirEntry[str], times: tuple[int, int]) -> None:
    status = entry.stat(follow_symlinks=False)
    if stat.S_ISREG(status.st_mode):
        if status.st_nlink > 1:
            copy = f"{entry.path}.{os.urandom(8).hex()}"
            shutil.copyfile(entry.path, copy, follow_symlinks=False)
            os.replace(copy, entry.path)  # noqa: PTH105
        else:
            _drop_attributes(entry.path)
        os.chmod(entry.path, 0o555 if status.st_mode & stat.S_IXUSR else 0o444)  # noqa: PTH101
    elif not stat.S_ISLNK(status.st_mode):
        raise HostileOutput(f"{entry.path} is a device, a pipe or a socket")
    os.utime(entry.path, ns=times, follow_symlinks=False)


def has_attributes(path: Path) -> bool:
    """Tell whether a folder has extended attributes that `normalise` drops, such as a default access list."""
    return any(map(_dropped, os.listxattr(path, follow_symlinks=False)))


def _drop_attributes(path: str) -> None:
    for name in os.listxattr(path, follow_symlinks=False):
        if _dropped(name):
            os.removexattr(path, name, follow_symlinks=False)


def _dropped(attribute: str) -> bool:
    # What the kernel keeps there itself (security.selinux) is not ours to remove, and no build sees it.
    return not attribute.startswith("security.") or attribute == "security.capability"
