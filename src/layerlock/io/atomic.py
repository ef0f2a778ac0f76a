"""Files that are either whole or absent: atomic writes, syncing, lock files and removal of trees."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from layerlock.errors import DiskFull, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_HINTS: Final = {
    errno.EROFS: "the store has to be writable: name another one with --store or LAYERLOCK_STORE",
    errno.EACCES: "the store has to belong to whoever uses it: name another one with --store or LAYERLOCK_STORE",
    errno.EPERM: "the file system or the owner of the store forbids it: name another one with LAYERLOCK_STORE",
    errno.ENOLCK: "the store needs a file system with locks: name another one with --store or LAYERLOCK_STORE",
    errno.EIO: "the disk or its file system is failing; `layerlock verify` says what can no longer be read",
}
_SYNCING: Final = 16
_PAUSE: Final = 0.1
_DEEPEST: Final = 128
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Turn an OSError of the block into DiskFull or StoreError; `what` completes "could not …"."""
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        message = f"could not {what}: {error.strerror or error}{place}"
        if error.errno in _FULL:
            hint = "free some space (`layerlock gc`), or choose another file system with LAYERLOCK_STORE"
            raise DiskFull(message, hint=hint) from error
        raise StoreError(message, hint=_HINTS.get(error.errno or 0, "")) from error


def write_bytes(path: Path, data: bytes, *, mode: int = 0o644, by_way_of: Path | None = None) -> None:
    """Write `data` to `path` so that at every moment the old contents or all of the new are there.

    The temporary stands beside `path`, or in the folder `by_way_of` of the same file system: who is killed
    leaves it behind. Raises OSError; after an error the old contents stand and no temporary is left.
    """
    write_pieces(path, (data,), mode=mode, by_way_of=by_way_of)


def write_pieces(
    path: Path, pieces: Iterable[bytes], *, mode: int | None = None, by_way_of: Path | None = None
) -> int:
    """Write what `pieces` join to as `write_bytes` does, and give its bytes; what `pieces` raises ends it too.

    Without a `mode` the process's umask decides, as for whatever a person writes into a folder that is shared.
    """
    temporary = (by_way_of or path.parent) / f".{path.name}.{secrets.token_hex(6)}.tmp"
    size = 0
    try:
        descriptor = os.open(temporary, _NEW, 0o666 if mode is None else 0o600)
        try:
            for piece in pieces:
                write_all(descriptor, piece)
                size += len(piece)
            if mode is not None:
                os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)
    return size


def write_all(descriptor: int, data: bytes | bytearray | memoryview) -> None:
    """Write every byte: a single write may stop short, as when a disk fills up."""
    written = os.write(descriptor, data)
    if written < len(data):
        view = memoryview(data)
        while written < len(view):
            written += os.write(descriptor, view[written:])


def fsync_file(path: Path) -> None:
    """Bring a file's contents to the disk."""
    _fsync(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)


def fsync_directory(path: Path) -> None:
    """Bring a directory's entries to the disk: a rename lasts only after this."""
    _fsync(path, _DIRECTORY)


def _fsync(path: Path | str, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_tree(path: Path) -> None:
    """Bring every file and directory below `path` to the disk.

    Many at a time: an fsync waits for the file system's journal, and those that wait together share one commit
    (12,000 files took 1.5 s so). The alternative, one `syncfs` (see `groupsync`), is quicker by itself, but also
    writes whatever a build has lying around in its scratch, and files that reached the disk are slow to remove.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 -- a no-op build never syncs a tree

    found: list[tuple[str, int]] = []
    for folder, _, names in os.walk(path):
        found.append((folder, _DIRECTORY))
        for name in names:
            file = f"{folder}/{name}"
            if stat.S_ISREG(os.lstat(file).st_mode):
                found.append((file, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW))

    def sync(part: int) -> None:
        for file, flags in found[part::_SYNCING]:
            _fsync(file, flags)

    with ThreadPoolExecutor(max_workers=_SYNCING, thread_name_prefix="fsync") as pool:
        list(pool.map(sync, range(min(_SYNCING, len(found)))))  # the list is what raises a thread's error


@contextmanager
def exclusive(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the lock file `path`, waiting for it if need be; it is created where it is missing.

    The lock (flock) belongs to the open file: it excludes other processes and other threads alike, and
    ends with the process, however that dies. `waiting` is called ten times a second for as long as somebody
    else holds it; an error that it raises ends the wait.
    """
    descriptor = hold(path) if waiting is None else _patiently(path, waiting)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def shared(path: Path) -> Iterator[None]:
    """Hold the lock file `path` together with other holders of `shared`, but with none of `exclusive`."""
    descriptor = _lock(path, fcntl.LOCK_SH)
    try:
        yield
    finally:
        os.close(descriptor)


def hold(path: Path) -> int:
    """Take the lock file `path` as `exclusive` does, and return its descriptor: closing it lets go."""
    return _lock(path, fcntl.LOCK_EX)


def try_exclusive(path: Path) -> int | None:
    """Take the lock file `path` if nobody holds it: its descriptor, or None."""
    try:
        return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def _patiently(path: Path, waiting: Callable[[], None]) -> int:
    while (descriptor := try_exclusive(path)) is None:
        waiting()
        time.sleep(_PAUSE)
    return descriptor


def _lock(path: Path, operation: int) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(descriptor, operation)
            # Whoever cleans up may have removed the file while this waited: a lock on a nameless file
            # excludes nobody.
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Remove a file, link or tree, read-only directories included; links are removed, never followed.

    A path that is absent is no error. Depth is no limit either: directories nested deeper than descriptors
    allow are moved up first (a build may nest them far beyond PATH_MAX).
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        path.unlink(missing_ok=True)
        return
    with suppress(FileNotFoundError):
        top = _enter(path)
        try:
            while _empty(top, top, 0):
                pass
        finally:
            os.close(top)
        path.rmdir()


def _enter(path: Path) -> int:
    """Open a directory that may be closed to us; the mode is changed only where it has to be."""
    try:
        descriptor = os.open(path, _DIRECTORY)
    except PermissionError:
        path.chmod(0o700)
        return os.open(path, _DIRECTORY)
    os.fchmod(descriptor, 0o700)
    return descriptor


def _empty(folder: int, top: int, depth: int) -> bool:
    """Remove what `folder` holds; True where something was moved to `top`, which then needs another round."""
    moved = False
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if not is_directory:
            os.unlink(name, dir_fd=folder)
            continue
        os.chmod(name, 0o700, dir_fd=folder)
        if depth >= _DEEPEST:
            os.rename(name, f"moved-{secrets.token_hex(8)}", src_dir_fd=folder, dst_dir_fd=top)
            moved = True
            continue
        inner = os.open(name, _DIRECTORY, dir_fd=folder)
        try:
            moved |= _empty(inner, top, depth + 1)
        finally:
            os.close(inner)
        os.rmdir(name, dir_fd=folder)
    return moved
