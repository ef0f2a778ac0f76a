"""Trees on their way to an engine and back, as tar streams.

What goes out is the driver's own. What comes back is as hostile as any output: it is written by the same writer as
archives from the network, below one folder and without following a link.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from layerlock.errors import HostileOutput, SandboxUnavailable, UnsafeArchive
from layerlock.io.archives import MTIME
from layerlock.io.atomic import remove_tree
from layerlock.io.decompress import Damaged
from layerlock.io.tarstream import Kind, Member, Refused, TarReader
from layerlock.io.treewriter import Caps, Parts, TreeWriter

_PIECE = 1 << 20
_BLOCK = 512
_SPECIAL = stat.S_ISUID | stat.S_ISGID
# As deep and as many as the harvest takes from any sandbox.
_DEPTH = 200
_ENTRIES = 2_000_000


class TooLarge(Exception):
    """What came back is larger than allowed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """A tree or file of the host that stands at `place` (relative) in the stream, or in its place a file with
    `contents` or an empty folder.
    """

    place: str
    source: Path | None = None
    contents: bytes = b""
    folder: bool = False
    mode: int = 0o444


def packed(items: Iterable[Sent], *, uid: int = 0, gid: int = 0) -> Iterator[bytes]:
    """Write a tar stream that depends on names, contents, modes and times (whole seconds) alone, and on the owner.

    Hard links come out as copies. Raises ValueError for devices, pipes and sockets, and for names that an engine
    would take for a deletion.
    """
    for item in items:
        if item.source is not None:
            yield from _tree(item.place, item.source, uid, gid)
        elif item.folder:
            info = _info(item.place, item.mode, 0, uid, gid)
            info.type = tarfile.DIRTYPE
            yield _header(info)
        else:
            yield from _file(
                _info(item.place, item.mode, 0, uid, gid), iter([item.contents]), len(item.contents)
            )
    yield bytes(2 * _BLOCK)


def _tree(place: str, path: Path, uid: int, gid: int) -> Iterator[bytes]:
    status = path.lstat()
    info = _info(place, status.st_mode & 0o7777, status.st_mtime_ns // 10**9, uid, gid)
    if path.name.startswith(".wh."):
        raise ValueError(f"the name of {path} means a deletion to container engines")
    if stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        yield _header(info)
        for name in sorted(os.listdir(path)):  # noqa: PTH208 - names are all that is wanted
            yield from _tree(f"{place}/{name}", path / name, uid, gid)
    elif stat.S_ISLNK(status.st_mode):
        info.type = tarfile.SYMTYPE
        info.linkname = str(path.readlink())
        yield _header(info)
    elif stat.S_ISREG(status.st_mode):
        with path.open("rb") as file:
            yield from _file(info, iter(lambda: file.read(_PIECE), b""), status.st_size)
    else:
        raise ValueError(f"{path} is no file, directory or link")


def _info(place: str, mode: int, seconds: int, uid: int, gid: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(place)
    info.mode, info.mtime, info.uid, info.gid = mode, seconds, uid, gid
    return info


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _file(info: tarfile.TarInfo, pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    info.size = size
    yield _header(info)
    left = size
    for piece in pieces:
        left -= len(piece)
        if left < 0:
            break
        yield piece
    if left:
        raise ValueError(f"{info.name} changed while it was read")
    yield bytes(-size % _BLOCK)


def received(pieces: Iterator[bytes], target: Path, *, most: int, strict: bool) -> None:
    """Put the tree that an engine sends, below one top folder of any name, in the place of the folder `target`.

    With `strict` it is held to what may leave a sandbox; else links may lead anywhere, and the tree ends at the
    first thing that is no file, directory or link. A socket never arrives: engines leave it out.

    Raises:
        HostileOutput: something in the tree must not be taken out.
        SandboxUnavailable: it ends early.
        TooLarge: its files have more than `most` bytes.
    """
    fresh = target.with_name(f"{target.name}.returned")
    fresh.mkdir()
    try:
        _write(pieces, fresh, Caps(bytes=most, entries=_ENTRIES, depth=_DEPTH), strict)
        fresh.chmod(stat.S_IMODE(target.stat().st_mode))
        remove_tree(target)
        fresh.rename(target)
    finally:
        if fresh.exists():
            remove_tree(fresh)


def sizes(pieces: Iterator[bytes]) -> Iterator[int]:
    """Give the bytes of the files so far of a tree that an engine sends, after each; ends at the first oddity."""
    total = 0
    with contextlib.suppress(Damaged, Refused):
        for member in TarReader(pieces):
            total += member.size
            yield total


def single(pieces: Iterator[bytes], *, most: int) -> bytes | None:
    """Give the contents of the one file that an engine sends; None where it is no file, or larger than `most`."""
    try:
        reader = TarReader(pieces)
        for member in reader:
            wanted = member.kind is Kind.FILE and member.size <= most
            return b"".join(reader.data()) if wanted else None
    except (Damaged, Refused):
        return None
    return None


def _write(pieces: Iterator[bytes], folder: Path, caps: Caps, strict: bool) -> None:
    counted = _Counted(pieces)
    with TreeWriter(folder, archive="the output", caps=caps, mtime=MTIME, rooted=not strict) as writer:
        try:
            reader = TarReader(counted)
            for member in reader:
                if strict and member.mode & _SPECIAL and member.kind is not Kind.SYMLINK:
                    raise _hostile(_parts(member.name), "is set-user-id or set-group-id")
                _member(writer, reader, member)
            writer.finish()
        except Refused as refused:
            if strict:
                raise _hostile(_parts(refused.name), f"is {refused.reason}") from refused
        except UnsafeArchive as error:
            if counted.count > caps.bytes:
                raise TooLarge from error
            if strict:
                raise HostileOutput(error.message, hint=_HINT) from error
        except Damaged as error:
            raise SandboxUnavailable(f"the engine did not give the output whole: {error}") from error


class _Counted:
    """Pieces of a stream, counted as they pass."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self.count += len(piece)
        return piece


def _member(writer: TreeWriter, reader: TarReader, member: Member) -> None:
    parts = _parts(member.name)
    match member.kind:
        case Kind.DIRECTORY:
            writer.directory(parts)
        case Kind.FILE:
            writer.file(parts, executable=member.executable, data=reader.data())
        case Kind.SYMLINK:
            writer.symlink(parts, member.link)
        case Kind.HARDLINK:
            writer.hardlink(parts, _parts(member.link))


def _parts(name: bytes) -> Parts:
    """Give a member's path below the top folder. Raises UnsafeArchive for one that leads elsewhere."""
    raw = tuple(name.split(b"/"))
    if b".." in raw or b"\0" in name or name.startswith(b"/"):
        raise UnsafeArchive(f"the output's {os.fsdecode(name)!a} is no path inside of it")
    return tuple(part for part in raw if part not in (b"", b"."))[1:]


_HINT = "remove it at the end of the build's script, or have the script make something plain of it"


def _hostile(parts: Parts, reason: str) -> HostileOutput:
    return HostileOutput(f"the output's {os.fsdecode(b'/'.join(parts))!a} {reason}", hint=_HINT)
