"""Writes an untrusted tree below one directory, by directory descriptors and without following a link.

Every path is walked component by component with `openat(O_NOFOLLOW)`. In a root file system (`rooted`),
links to directories are resolved by this code, as if the tree were `/`; nothing ever leads outside.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import OrderedDict
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from layerlock.errors import UnsafeArchive
from layerlock.io.atomic import storing, write_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

Parts = tuple[bytes, ...]

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_DIRECTORIES: Final = 128
_LINKS_IN_A_PATH: Final = 40
_NOT_A_DIRECTORY: Final = frozenset({errno.ENOTDIR, errno.ELOOP})
BAD_NAME: Final = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP})
_COPY: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Caps:
    """What an archive may expand to: bytes of all files, number of members, depth of directories."""

    bytes: int = 16 << 30
    entries: int = 1_000_000
    depth: int = 100

    def member(self, entries: int, depth: int) -> str:
        """Say why there must not be so many members, or one so deep; empty where there may."""
        if entries > self.entries:
            return f"is one more than the {self.entries} members allowed"
        return f"is deeper than the {self.depth} directories allowed" if depth > self.depth else ""

    def contents(self, size: int) -> str:
        """Say why all files must not have so many bytes; empty where they may."""
        return f"goes past the {self.bytes} bytes allowed in all" if size > self.bytes else ""


class TreeWriter:
    """Writes members below `root`; use it as a context manager, and call `finish` after the last one.

    `mtime` (seconds) becomes the time of everything written. `rooted` says that the tree is a root file
    system which may hold something already: a directory or an identical file or link may then come again,
    and links may be absolute. Otherwise a file that comes again replaces the earlier one, unless `unique`.

    Every method raises UnsafeArchive, naming `archive` and the member; after an error the caller drops the
    tree.
    """

    def __init__(
        self,
        root: Path,
        *,
        archive: str,
        caps: Caps,
        mtime: int,
        rooted: bool = False,
        unique: bool = False,
    ) -> None:
        self._archive = archive
        self._caps = caps
        self._times = (mtime * 10**9, mtime * 10**9)
        self._rooted = rooted
        self._unique = unique
        self._root = os.open(root, _DIRECTORY)
        self._open: OrderedDict[Parts, int] = OrderedDict()
        self._aliases: dict[Parts, Parts] = {}
        self._directories: set[Parts] = {()}
        self._links: list[Parts] = []
        self._bytes = 0
        self._entries = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for descriptor in (*self._open.values(), self._root):
            os.close(descriptor)
        self._open.clear()

    def refuse(self, parts: Parts, reason: str) -> UnsafeArchive:
        """Make the error for one member."""
        name = os.fsdecode(b"/".join(parts))
        return UnsafeArchive(f"{self._archive}: {name!r} {reason}", hint="nothing was kept of it")

    def directory(self, parts: Parts) -> None:
        """Make a directory (0755); one that is there already is left as it is."""
        with self._member(parts):
            self._folder(parts)

    def file(self, parts: Parts, *, executable: bool, data: Iterable[bytes]) -> None:
        """Write a regular file."""
        with self._member(parts):
            folder, name = self._parent(parts)
            descriptor = self._create(folder, name, parts)
            if descriptor is None:
                if not self._same_file(folder, name, executable, data):
                    raise self.refuse(parts, "is in the tree already, with other contents")
                return
            try:
                for piece in data:
                    self._count(parts, len(piece))
                    write_all(descriptor, piece)
                # By the descriptor: neither the umask nor a name that changed in between matters.
                os.fchmod(descriptor, 0o755 if executable else 0o644)
                os.utime(descriptor, ns=self._times)
            finally:
                os.close(descriptor)

    def symlink(self, parts: Parts, target: bytes) -> None:
        """Make a symbolic link; where it leads is checked by `finish`, when everything stands."""
        with self._member(parts):
            if not target or b"\0" in target:
                raise self.refuse(parts, "is a link without a target")
            if target.startswith(b"/") and not self._rooted:
                raise self.refuse(parts, f"is an absolute link, to {os.fsdecode(target)!r}")
            folder, name = self._parent(parts)
            try:
                os.symlink(target, name, dir_fd=folder)
            except FileExistsError:
                old = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if not stat.S_ISLNK(old.st_mode):
                    raise self.refuse(parts, "comes again as something else") from None
                if os.readlink(name, dir_fd=folder) == target:
                    return
                if self._rooted or self._unique:
                    raise self.refuse(parts, "comes again with another target") from None
                os.unlink(name, dir_fd=folder)
                os.symlink(target, name, dir_fd=folder)
            os.utime(name, ns=self._times, dir_fd=folder, follow_symlinks=False)
            self._links.append(parts)

    def hardlink(self, parts: Parts, target: Parts) -> None:
        """Copy the earlier member `target`: trees here have no hard links, since their hash does not know
        them.
        """
        with self._existing(parts, target) as (status, source, name):
            if stat.S_ISLNK(status.st_mode):
                link = os.readlink(name, dir_fd=source)
                descriptor = None
            elif stat.S_ISREG(status.st_mode):
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
            else:
                raise self.refuse(parts, "is a hard link to something that is no file")
        if descriptor is None:
            self.symlink(parts, link)
            return
        try:
            self.file(parts, executable=bool(status.st_mode & stat.S_IXUSR), data=_contents(descriptor))
        finally:
            os.close(descriptor)

    def finish(self) -> None:
        """Check every link against the finished tree, and set the directories' times."""
        if not self._rooted:
            for parts in self._links:
                with self._member(parts, counted=False):
                    self._check_link(parts)
        os.fchmod(self._root, 0o755)
        for directory in self._directories:
            with storing(f"unpack {self._archive}"):
                os.utime(self._folder(directory), ns=self._times)

    @contextmanager
    def _member(self, parts: Parts, *, counted: bool = True) -> Iterator[None]:
        if counted:
            self._entries += 1
            if reason := self._caps.member(self._entries, len(parts)):
                raise self.refuse(parts, reason)
        try:
            yield
        except OSError as error:
            if error.errno in BAD_NAME:
                raise self.refuse(parts, f"cannot be a file here: {error.strerror}") from error
            with storing(f"unpack {self._archive}"):
                raise

    def _count(self, parts: Parts, size: int) -> None:
        self._bytes += size
        if reason := self._caps.contents(self._bytes):
            raise self.refuse(parts, reason)

    def _parent(self, parts: Parts) -> tuple[int, bytes]:
        if not parts:
            raise self.refuse(parts, "has no name")
        return self._folder(parts[:-1]), parts[-1]

    @contextmanager
    def _existing(self, parts: Parts, target: Parts) -> Iterator[tuple[os.stat_result, int, bytes]]:
        """Find an earlier member without making its directories."""
        if not target:
            raise self.refuse(parts, "is a hard link to nothing")
        folder = os.dup(self._root)
        try:
            place = self._aliases.get(target[:-1], target[:-1])
            for name in place:
                inner = os.open(name, _DIRECTORY, dir_fd=folder)
                os.close(folder)
                folder = inner
            status = os.stat(target[-1], dir_fd=folder, follow_symlinks=False)
            yield status, folder, target[-1]
        except OSError as error:
            name = b"/".join(target)
            raise self.refuse(parts, f"is a hard link to {os.fsdecode(name)!r}, which is missing") from error
        finally:
            os.close(folder)

    def _folder(self, parts: Parts) -> int:
        """Return the descriptor of a directory, made if need be; valid until the next call."""
        if not parts:
            return self._root
        known = self._open.get(parts)
        if known is not None:
            self._open.move_to_end(parts)
            return known
        if parts in self._aliases:
            return self._folder(self._aliases[parts])
        parent = self._folder(parts[:-1])
        name = parts[-1]
        try:
            descriptor = _entered(name, parent)
        except OSError as error:
            if error.errno not in _NOT_A_DIRECTORY:
                raise
            if not self._rooted:
                raise self.refuse(parts, "is used as a directory, and is a file or a link") from None
            self._aliases[parts] = self._resolve(parts)
            return self._folder(self._aliases[parts])
        self._directories.add(parts)
        self._open[parts] = descriptor
        if len(self._open) > _OPEN_DIRECTORIES:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def _resolve(self, parts: Parts) -> Parts:
        """Follow links to a directory as a process would for which the tree is `/`; what is missing is
        taken as is.
        """
        waiting = list(reversed(parts))
        done: list[bytes] = []
        links = 0
        while waiting:
            name = waiting.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                del done[-1:]
                continue
            target = self._target((*done, name))
            if target is None:
                done.append(name)
                continue
            links += 1
            if links > _LINKS_IN_A_PATH:
                raise self.refuse(parts, "passes through links without end")
            if target.startswith(b"/"):
                done.clear()
            waiting.extend(reversed(target.split(b"/")))
        return tuple(done)

    def _target(self, parts: Parts) -> bytes | None:
        """Return where the link at `parts` points, or None for anything else; `parts[:-1]` holds no link."""
        folder = os.dup(self._root)
        try:
            for name in parts[:-1]:
                inner = os.open(name, _DIRECTORY, dir_fd=folder)
                os.close(folder)
                folder = inner
            mode = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                return os.readlink(parts[-1], dir_fd=folder)
            if not stat.S_ISDIR(mode):
                raise self.refuse(parts, "is used as a directory, and is a file")
            return None
        except FileNotFoundError:
            return None
        finally:
            os.close(folder)

    def _create(self, folder: int, name: bytes, parts: Parts) -> int | None:
        """Open a new file; None where an old one stands that the new one must equal."""
        try:
            return os.open(name, _CREATE, 0o600, dir_fd=folder)
        except FileExistsError:
            old = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if not stat.S_ISREG(old.st_mode):
                raise self.refuse(parts, "comes again as something else") from None
            if self._unique:
                raise self.refuse(parts, "comes twice") from None
            if self._rooted:
                return None
            os.unlink(name, dir_fd=folder)
            return os.open(name, _CREATE, 0o600, dir_fd=folder)

    def _same_file(self, folder: int, name: bytes, executable: bool, data: Iterable[bytes]) -> bool:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            if bool(os.fstat(descriptor).st_mode & stat.S_IXUSR) != executable:
                return False
            for piece in data:
                if os.read(descriptor, len(piece)) != piece:
                    return False
            return not os.read(descriptor, 1)
        finally:
            os.close(descriptor)

    def _check_link(self, parts: Parts) -> None:
        """Refuse a link that leads out, through other links too: reading the text alone would miss
        `a/../..`.
        """
        waiting = [parts[-1]]
        done = list(parts[:-1])
        links = 0
        while waiting:
            name = waiting.pop()
            if name in (b"", b"."):
                continue
            if name == b"..":
                if not done:
                    raise self.refuse(parts, "is a link that leads out of the archive")
                done.pop()
                continue
            try:
                target = self._target((*done, name))
            except UnsafeArchive:
                target = None  # the path ends at a file
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ENAMETOOLONG):
                    raise
                target = None  # a path that cannot be: the link leads nowhere
            if target is None:
                done.append(name)
                continue
            links += 1
            if links > _LINKS_IN_A_PATH:
                return  # a circle: it leads nowhere
            if target.startswith(b"/"):
                raise self.refuse(parts, "is a link that leads out of the archive")
            waiting.extend(reversed(target.split(b"/")))


def _entered(name: bytes, parent: int) -> int:
    """Open a directory, made (0755) where there is none."""
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except FileNotFoundError:
        with suppress(FileExistsError):  # by a writer beside this one
            os.mkdir(name, 0o755, dir_fd=parent)
        descriptor = os.open(name, _DIRECTORY, dir_fd=parent)
        os.fchmod(descriptor, 0o755)
        return descriptor


def _contents(descriptor: int) -> Iterator[bytes]:
    while piece := os.read(descriptor, _COPY):
        yield piece
