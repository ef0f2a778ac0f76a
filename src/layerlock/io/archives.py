"""Unpacks tar, zip and .deb archives, from which anything may be expected, into a directory.

What comes out depends on the archive's bytes alone: files 0644 or 0755 by the owner's execute bit,
directories 0755, owned by whoever unpacks, one fixed time. Each function is a transform whose number is
hashed into the derivations that use it: whoever changes what a function gives has to write a new one with
the next number beside it.

Refused, with UnsafeArchive naming the archive and the member: absolute names and `..`, links that lead
outside, paths through links, devices, pipes and sockets, members that come again as something else, more
bytes, members or depth than `Caps` allows, and damaged archives. What was written until then stays for the
caller to drop.
"""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from typing import TYPE_CHECKING, Final

from layerlock.errors import StoreError, UnsafeArchive
from layerlock.io.atomic import remove_tree, storing
from layerlock.io.besidewriter import BesideWriter
from layerlock.io.decompress import PIECE, Damaged, ahead, pieces
from layerlock.io.tarstream import Kind, Member, Refused, TarReader, ar_member
from layerlock.io.treewriter import Caps, Parts, TreeWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

UNPACK_TAR: Final = "tar/1"
UNPACK_ZIP: Final = "zip/1"
UNPACK_DEB: Final = "deb/1"

MTIME: Final = 315_532_800
"""1980-01-01, the earliest that a zip can hold: builds make wheels of what was unpacked."""

DEFAULT_CAPS: Final = Caps()
_LONGEST_LINK: Final = 4096
_ENCRYPTED: Final = 0x1
_UNPACKING: Final = 8
"""Threads that unpack packages at most: what is neither decompressing nor a system call is done one at a time."""


def unpack_tar(
    archive: Path, into: Path, *, strip: int = 0, caps: Caps = DEFAULT_CAPS, mtime: int = MTIME
) -> None:
    """Unpack a tar (plain, gzip, bzip2 or xz, told by its bytes) into the new or empty directory `into`.

    `strip` leading components are dropped, which every member has to share. Of a file that comes twice the
    later one stays, as tar has it. Hard links come out as copies.

    Raises UnsafeArchive; StoreError and DiskFull for what the file system refuses.
    """
    _require_empty(into)
    with (
        storing(f"read {archive.name}"),
        archive.open("rb") as file,
        TreeWriter(into, archive=archive.name, caps=caps, mtime=mtime) as writer,
    ):
        names = _Names(writer, strip)
        try:
            with closing(ahead(pieces(file, archive.stat().st_size))) as stream:
                _write_members(TarReader(stream), writer, names)
        except Damaged as error:
            raise _damaged(archive, error) from error
        names.check()
        writer.finish()


def unpack_deb(archive: Path, into: Path, *, caps: Caps = DEFAULT_CAPS, mtime: int = MTIME) -> None:
    """Unpack the files of a .deb into `into`, a root file system which may hold other packages already.

    No maintainer script is run and none is kept. A path through a link to a directory (`/lib` of a merged
    `/usr`) ends where it would if the tree were `/`. Links may be absolute. A file or link that is there
    already has to be identical, and a directory never gives way to a link: unpack the package that brings
    such links first.

    Raises UnsafeArchive; StoreError and DiskFull for what the file system refuses.
    """
    unpack_debs((archive,), into, caps=caps, mtime=mtime)


def unpack_debs(
    archives: Sequence[Path], into: Path, *, caps: Caps = DEFAULT_CAPS, mtime: int = MTIME
) -> None:
    """Unpack .deb files as if one after the other with `unpack_deb`; into an empty `into` on all processors.

    Side by side is tried first. Where packages meet, so that their order matters, or where one is refused, all of it
    is done once more in order: what comes out, and which error, depends on the packages alone.
    """
    with storing(f"make {into}"):
        into.mkdir(exist_ok=True)
        empty = not any(into.iterdir())
    if empty and len(archives) > 1:
        try:
            _unpack_side_by_side(archives, into, caps, mtime)
        except UnsafeArchive:
            with storing(f"make {into}"):
                remove_tree(into)
                into.mkdir()
        else:
            return
    for archive in archives:
        with TreeWriter(into, archive=archive.name, caps=caps, mtime=mtime, rooted=True) as writer:
            _unpack_deb(archive, writer)
            writer.finish()


def _unpack_side_by_side(archives: Sequence[Path], into: Path, caps: Caps, mtime: int) -> None:
    """Unpack .deb files into the empty folder `into`, several at once. Raises UnsafeArchive where two meet."""

    def unpack(archive: Path) -> frozenset[Parts]:
        with BesideWriter(into, archive=archive.name, caps=caps, mtime=mtime) as writer:
            _unpack_deb(archive, writer)
            return writer.folders

    with storing(f"read {into.name}'s packages"):
        # The largest first: a large one at the end would keep one processor, with nothing left for the others.
        largest_first = sorted(archives, key=lambda archive: archive.stat().st_size, reverse=True)
    pool = ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), _UNPACKING), thread_name_prefix="unpack")
    try:
        running = [pool.submit(unpack, archive) for archive in largest_first]
        folders = frozenset[Parts]().union(*(done.result() for done in as_completed(running)))
    finally:
        pool.shutdown(cancel_futures=True)
    with TreeWriter(into, archive=into.name, caps=caps, mtime=mtime) as writer:
        for folder in sorted(folders):
            writer.directory(folder)
        writer.finish()


def _unpack_deb(archive: Path, writer: TreeWriter) -> None:
    with storing(f"read {archive.name}"), archive.open("rb") as file:
        try:
            _, size = ar_member(file, "data.tar")
            _write_members(TarReader(pieces(file, size)), writer, _Names(writer, 0))
        except Damaged as error:
            raise _damaged(archive, error) from error


def unpack_zip(
    archive: Path, into: Path, *, strip: int = 0, caps: Caps = DEFAULT_CAPS, mtime: int = MTIME
) -> None:
    """Unpack a zip (stored or deflated members) into the new or empty directory `into`.

    `strip` as for tar. A name that comes twice is refused: readers differ on which one counts. Links are
    taken from archives made on Unix.

    Raises UnsafeArchive; StoreError and DiskFull for what the file system refuses.
    """
    _require_empty(into)
    with (
        storing(f"read {archive.name}"),
        TreeWriter(into, archive=archive.name, caps=caps, mtime=mtime, unique=True) as writer,
    ):
        names = _Names(writer, strip)
        try:
            with zipfile.ZipFile(archive) as opened:
                for info in opened.infolist():
                    _write_zip_member(opened, info, writer, names)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise _damaged(archive, error) from error
        names.check()
        writer.finish()


class _Names:
    """Turns member names into path components, dropping the leading ones that all members share."""

    def __init__(self, writer: TreeWriter, strip: int) -> None:
        self._writer = writer
        self._strip = strip
        self._top: Parts | None = None

    def parts(self, name: bytes) -> Parts:
        """Split a name, refusing what could lead outside; () for the top itself."""
        raw = tuple(name.split(b"/"))
        if b".." in raw or b"\0" in name or name.startswith(b"/"):
            raise self._writer.refuse(raw, "is no path inside the archive")
        parts = tuple(part for part in raw if part not in (b"", b"."))
        if not self._strip:
            return parts
        top = parts[: self._strip]
        if len(top) == self._strip:
            if self._top is None:
                self._top = top
            if top != self._top:
                shared = os.fsdecode(b"/".join(self._top))
                raise self._writer.refuse(parts, f"stands outside of {shared!r}, which is to be stripped")
        return parts[self._strip :]

    def check(self) -> None:
        """Refuse an archive that had nothing below the stripped components."""
        if self._strip and self._top is None:
            raise self._writer.refuse((), f"has no {self._strip} leading directories to strip")


def _write_members(reader: TarReader, writer: TreeWriter, names: _Names) -> None:
    try:
        for member in reader:
            parts = names.parts(member.name)
            if not parts and member.kind is not Kind.DIRECTORY:
                raise writer.refuse((member.name,), "is no directory, and stands where one is stripped")
            _write_member(member, parts, reader, writer, names)
    except Refused as refused:
        raise writer.refuse((refused.name,), f"is {refused.reason}") from refused


def _write_member(member: Member, parts: Parts, reader: TarReader, writer: TreeWriter, names: _Names) -> None:
    match member.kind:
        case Kind.DIRECTORY:
            writer.directory(parts)
        case Kind.FILE:
            writer.file(parts, executable=member.executable, data=reader.data())
        case Kind.SYMLINK:
            writer.symlink(parts, member.link)
        case Kind.HARDLINK:
            writer.hardlink(parts, names.parts(member.link))
        case Kind.SPECIAL:
            raise AssertionError("the reader was not asked for devices")


def _write_zip_member(
    opened: zipfile.ZipFile, info: zipfile.ZipInfo, writer: TreeWriter, names: _Names
) -> None:
    # zipfile cuts names at a NUL and maps separators; what the archive says is in orig_filename.
    name = os.fsencode(info.orig_filename)
    if b"\\" in name:
        raise writer.refuse((name,), "has a backslash in its name")
    if info.flag_bits & _ENCRYPTED:
        raise writer.refuse((name,), "is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise writer.refuse((name,), "is neither stored nor deflated")
    parts = names.parts(name)
    mode = info.external_attr >> 16 if info.create_system == 3 else 0
    kind = stat.S_IFMT(mode)
    if name.endswith(b"/") or kind == stat.S_IFDIR:
        writer.directory(parts)
        return
    if not parts:
        raise writer.refuse((name,), "is no directory, and stands where one is stripped")
    with opened.open(info) as data:
        if kind == stat.S_IFLNK:
            target = data.read(_LONGEST_LINK + 1)
            if len(target) > _LONGEST_LINK:
                raise writer.refuse(parts, "is a link with too long a target")
            writer.symlink(parts, target)
        elif kind in (0, stat.S_IFREG):
            writer.file(parts, executable=bool(mode & stat.S_IXUSR), data=iter(lambda: data.read(PIECE), b""))
        else:
            raise writer.refuse(parts, "is a device, a pipe or a socket")


def _require_empty(into: Path) -> None:
    with storing(f"make {into}"):
        into.mkdir(exist_ok=True)
        if any(into.iterdir()):
            raise StoreError(f"{into} is not empty: nothing is unpacked over something else")


def _damaged(archive: Path, error: Exception) -> UnsafeArchive:
    return UnsafeArchive(f"{archive.name} is damaged, or no archive of a kind that is read here: {error}")
