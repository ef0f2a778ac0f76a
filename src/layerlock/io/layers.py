"""Lays the layers of an OCI image over each other, from which anything may be expected.

What comes out depends on the layers' bytes alone. The rules are those of the OCI image specification ("Image Layer
Filesystem Changeset"): a whiteout `.wh.NAME` hides NAME of lower layers, an opaque one `.wh..wh..opq` hides all that
lower layers have in its directory, and neither touches what the same layer brings, wherever in the archive it stands.
Each layer is therefore read twice: once to check its hash and to gather whiteouts, and once to write its members.

Modes become 0644 and 0755, owners, times and extended attributes are dropped, hard links come out as copies. Devices
and pipes below `dev` are left out, since the sandbox has a `/dev` of its own; anywhere else they are refused, as is
everything that `archives` refuses. Members of AUFS's own (`.wh..wh.NAME`), which old engines left in layers, are left
out.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from layerlock.errors import HashMismatch, UnsafeArchive
from layerlock.io.atomic import storing
from layerlock.io.decompress import Damaged, ahead, pieces
from layerlock.io.layerwriter import LayerWriter
from layerlock.io.tarstream import Kind, Member, Refused, TarReader
from layerlock.io.treewriter import Caps, Parts

WHITEOUT: Final = b".wh."
OPAQUE: Final = b".wh..wh..opq"
_AUFS: Final = b".wh..wh."
_DEVICES: Final = b"dev"
DEFAULT_CAPS: Final = Caps()
_MTIME: Final = 0
_ROOM: Final = 4096
"""Bytes that a tar archive may hold for each member besides its contents: headers, padding, long names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A layer's archive, plain or compressed with gzip, and the sha256 (hexadecimal) of the plain archive."""

    name: str
    path: Path
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Changes:
    """What a layer hides of the lower ones, and the directories that it brings."""

    removed: tuple[Parts, ...]
    emptied: tuple[Parts, ...]
    directories: frozenset[Parts]


def unpack_layers(layers: tuple[Layer, ...], into: Path, *, caps: Caps = DEFAULT_CAPS) -> None:
    """Unpack the layers of an image, the lowest first, into the empty folder `into`.

    `caps` hold for all of them together.

    Raises:
        UnsafeArchive: a layer holds what it must not, or passes a cap.
        HashMismatch: a layer's plain archive is not the one of its hash.
        StoreError, DiskFull: the file system refuses something.
    """
    with LayerWriter(into, archive="the image", caps=caps, mtime=_MTIME, rooted=True) as writer:
        for layer in layers:
            writer.begin(layer.name)
            with storing(f"read {layer.name}"), layer.path.open("rb") as file:
                try:
                    changes = _look(file, layer, writer, caps)
                    for parts in changes.emptied:
                        writer.empty(parts, changes.directories)
                    for parts in changes.removed:
                        writer.remove(parts, changes.directories)
                    file.seek(0)
                    with closing(ahead(_plain(file))) as stream:
                        _write(TarReader(stream, special=True), writer)
                except Damaged as error:
                    raise UnsafeArchive(
                        f"{layer.name} is damaged, or no layer that is read here: {error}"
                    ) from error
                except Refused as refused:
                    raise writer.refuse((refused.name,), f"is {refused.reason}") from refused
        writer.finish()


def _look(file: BinaryIO, layer: Layer, writer: LayerWriter, caps: Caps) -> _Changes:
    """Read a layer through: check its hash, and gather what has to be known before anything of it is written."""
    digest = hashlib.sha256()
    size = 0

    def measured(source: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal size
        for piece in source:
            size += len(piece)
            if size > caps.bytes + caps.entries * _ROOM:
                raise writer.refuse((), f"expands past the {caps.bytes} bytes allowed")
            digest.update(piece)
            yield piece

    stream = measured(_plain(file))
    removed: list[Parts] = []
    emptied: list[Parts] = []
    directories: set[Parts] = set()
    for entries, member in enumerate(TarReader(stream, special=True), start=1):
        if entries > caps.entries:
            raise writer.refuse((member.name,), f"is one more than the {caps.entries} members allowed")
        parts = _parts(member.name, writer)
        hidden = _hidden(parts, member, writer)
        if hidden is not None:
            (emptied if parts[-1] == OPAQUE else removed).append(hidden)
        elif member.kind is Kind.DIRECTORY:
            directories.add(parts)
    for _ in stream:
        pass  # what stands behind the archive's end is hashed too
    if digest.hexdigest() != layer.sha256:
        raise HashMismatch(
            f"{layer.name} has the sha256 {digest.hexdigest()} uncompressed; pinned is {layer.sha256}",
            hint="the image's configuration and its layers do not belong together: pin the image anew",
        )
    return _Changes(removed=tuple(removed), emptied=tuple(emptied), directories=frozenset(directories))


def _write(reader: TarReader, writer: LayerWriter) -> None:
    for member in reader:
        parts = _parts(member.name, writer)
        if _hidden(parts, member, writer) is not None or _left_out(parts, member):
            continue
        if not parts and member.kind is not Kind.DIRECTORY:
            raise writer.refuse((member.name,), "is no directory, and stands where the root is")
        match member.kind:
            case Kind.DIRECTORY:
                writer.directory(parts)
            case Kind.FILE:
                writer.file(parts, executable=member.executable, data=reader.data())
            case Kind.SYMLINK:
                writer.symlink(parts, member.link)
            case Kind.HARDLINK:
                writer.hardlink(parts, _parts(member.link, writer))
            case Kind.SPECIAL:
                raise writer.refuse(parts, "is a device or a pipe")


def _parts(name: bytes, writer: LayerWriter) -> Parts:
    """Split a name, refusing what could lead outside; () for the root itself."""
    raw = tuple(name.split(b"/"))
    if b".." in raw or b"\0" in name or name.startswith(b"/"):
        raise writer.refuse(raw, "is no path inside the image")
    return tuple(part for part in raw if part not in (b"", b"."))


def _hidden(parts: Parts, member: Member, writer: LayerWriter) -> Parts | None:
    """Give what a whiteout hides (of an opaque one the directory), or None for any other member."""
    if any(part.startswith(WHITEOUT) and not part.startswith(_AUFS) for part in parts[:-1]):
        raise writer.refuse(parts, "stands below a whiteout")
    name = parts[-1] if parts else b""
    if not name.startswith(WHITEOUT) or (name.startswith(_AUFS) and name != OPAQUE):
        return None
    if member.kind not in (Kind.FILE, Kind.HARDLINK):
        raise writer.refuse(parts, f"is a {member.kind.value} with the name of a whiteout")
    if name == OPAQUE:
        return parts[:-1]
    of = name.removeprefix(WHITEOUT)
    if of in (b"", b".", b".."):
        raise writer.refuse(parts, "is a whiteout of nothing, or of what stands above it")
    return (*parts[:-1], of)


def _left_out(parts: Parts, member: Member) -> bool:
    if any(part.startswith(_AUFS) for part in parts):
        return True
    return member.kind is Kind.SPECIAL and len(parts) > 1 and parts[0] == _DEVICES


def _plain(file: BinaryIO) -> Iterator[bytes]:
    """Give the layer's plain archive; how it is compressed is told by its bytes, as everywhere here."""
    return pieces(file, os.fstat(file.fileno()).st_size)
