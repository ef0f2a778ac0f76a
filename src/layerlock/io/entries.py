"""File trees and zips, read without trusting them: nothing is extracted, no link is followed, all is capped."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Literal, Protocol

from layerlock.errors import UnsafeArchive, UsageError

_CHUNK: Final = 1 << 20
_LONGEST_LINK: Final = 4096
_LISTING: Final = 64 << 20
"""Bytes of a zip's own list of entries: zipfile reads it in one piece."""
_ENCRYPTED: Final = 0x1

Kind = Literal["file", "link", "folder", "other"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Caps:
    """What is looked at before a zip or tree is refused: far above what Lambda lets a layer have."""

    entries: int = 500_000
    bytes: int = 8 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One name in a zip or tree.

    Args:
        path: the name; what is not UTF-8 is escaped.
        kind: what it is.
        mode: the permission bits; None in a zip that was not made on Unix.
        size: its bytes.
        sha256: of its contents; empty for what has none, and where they cannot be read.
        target: where a link points.
        packed: the bytes that its contents take in a zip.
        packing: how a zip holds it, by the name of the fact.
        problem: why its contents were not read.
    """

    path: str
    kind: Kind
    mode: int | None = None
    size: int = 0
    sha256: str = ""
    target: str = ""
    packed: int | None = None
    packing: tuple[tuple[str, str], ...] = ()
    problem: str = ""

    @property
    def executable(self) -> bool:
        """Whether its owner may run it."""
        return bool((self.mode or 0) & stat.S_IXUSR)


class Holding(Protocol):
    """A zip or a tree that is open."""

    entries: tuple[Entry, ...]
    oddities: tuple[str, ...]
    sha256: str
    """Of the zip itself; empty for a tree."""

    def open(self, path: str) -> BinaryIO:
        """Open the contents of a file among the entries."""

    def close(self) -> None:
        """Let go of it."""


DEFAULT_CAPS: Final = Caps()
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What zipfile raises for zips that nobody packed honestly."""


def open_holding(path: Path, caps: Caps = DEFAULT_CAPS) -> Holding:
    """Open a folder as a tree, a file as a zip.

    Raises:
        UsageError: it is neither.
        UnsafeArchive: it goes past a cap, or is a damaged zip.
    """
    if path.is_dir():
        return TreeHolding(path, caps)
    if path.is_file():
        return ZipHolding(path, caps)
    raise UsageError(f"{path} is neither a file nor a folder")


class TreeHolding:
    """A folder, read by descriptors, so that no link in it leads anywhere."""

    def __init__(self, root: Path, caps: Caps = DEFAULT_CAPS) -> None:
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.sha256 = ""
        self.oddities: tuple[str, ...] = ()
        try:
            budget = _Budget(str(root), caps)
            self.entries = tuple(sorted(self._walk(budget), key=lambda entry: entry.path))
        except BaseException:
            self.close()
            raise

    def open(self, path: str) -> BinaryIO:
        """Open a file of the tree."""
        *above, name = path.split("/")
        folder = self._folder(above)
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            return os.fdopen(os.open(name, flags, dir_fd=folder), "rb")
        finally:
            os.close(folder)

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._root)

    def _folder(self, parts: Iterable[str]) -> int:
        """Open a folder below the root, one step after the other, through no link."""
        at = os.dup(self._root)
        for part in parts:
            try:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
            finally:
                os.close(at)
            at = below
        return at

    def _walk(self, budget: _Budget) -> Iterator[Entry]:
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            parts = waiting.pop()
            folder = self._folder(parts)
            try:
                with os.scandir(folder) as found:
                    names = sorted(entry.name for entry in found)
                for name in names:
                    budget.entry()
                    made = self._entry(folder, name, "/".join((*parts, name)), budget)
                    if made.kind == "folder":
                        waiting.append((*parts, name))
                    yield made
            finally:
                os.close(folder)

    def _entry(self, folder: int, name: str, path: str, budget: _Budget) -> Entry:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISDIR(status.st_mode):
            return Entry(path=path, kind="folder", mode=mode)
        if stat.S_ISLNK(status.st_mode):
            return Entry(path=path, kind="link", target=os.readlink(name, dir_fd=folder))
        if not stat.S_ISREG(status.st_mode):
            return Entry(path=path, kind="other", mode=mode, problem="a device, a pipe or a socket")
        try:
            with self.open(path) as file:
                sha256, size = _hash(file, budget)
        except PermissionError:
            return Entry(path=path, kind="file", mode=mode, size=status.st_size, problem="may not be read")
        return Entry(path=path, kind="file", mode=mode, size=size, sha256=sha256)


class ZipHolding:
    """A zip; its members are read in place and never written anywhere."""

    def __init__(self, path: Path, caps: Caps = DEFAULT_CAPS) -> None:
        self._name = path.name
        budget = _Budget(path.name, caps)
        with path.open("rb") as file:
            self.sha256 = _hash(file, budget)[0]
        self._file = _Bounded(io.FileIO(path))
        try:
            self._zip = zipfile.ZipFile(self._file)
            self._read(_Budget(path.name, caps))
        except _DAMAGED as error:
            self._file.close()
            raise UnsafeArchive(f"{path.name} is damaged, or no zip: {error}") from error
        except BaseException:
            self._file.close()
            raise

    def open(self, path: str) -> BinaryIO:
        """Open a member."""
        return self._zip.open(self._members[path])  # type: ignore[return-value] # it reads, which is all

    def close(self) -> None:
        """Let go of the zip."""
        self._zip.close()
        self._file.close()

    def _read(self, budget: _Budget) -> None:
        members = self._zip.infolist()
        for info in members:
            budget.entry()
            budget.declared(info.file_size)
        self._members: dict[str, zipfile.ZipInfo] = {}
        seen: Counter[str] = Counter()
        oddities: list[str] = []
        if self._zip.comment:
            oddities.append("the zip has a comment")
        entries = []
        for info in members:
            name = info.orig_filename
            path = name.rstrip("/")
            seen[path] += 1
            if seen[path] > 1:
                oddities.append(f"{name}: there is more than one entry of this name")
                path = f"{path} (entry {seen[path]} of this name)"
            while path in self._members:
                path += " (again)"
            if name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name:
                oddities.append(f"{name}: no path inside the archive")
            self._members[path] = info
            entries.append(self._entry(info, path, budget))
        self.order = tuple(entry.path for entry in entries)
        self.entries = tuple(sorted(entries, key=lambda entry: entry.path))
        self.oddities = tuple(dict.fromkeys(oddities))

    def _entry(self, info: zipfile.ZipInfo, path: str, budget: _Budget) -> Entry:
        bits = info.external_attr >> 16 if info.create_system == 3 else 0
        kind = _kind(info.orig_filename, bits)
        made = Entry(
            path=path,
            kind=kind,
            mode=stat.S_IMODE(bits) if bits else None,
            size=0 if kind in ("folder", "link") else info.file_size,
            packed=info.compress_size,
            packing=_packing(info),
        )
        if kind in ("folder", "other"):
            return made
        try:
            return self._filled(made, info, budget)
        except _Unreadable as error:
            return replace(made, problem=str(error))
        except _DAMAGED as error:
            return replace(made, problem=f"damaged: {error}")

    def _filled(self, made: Entry, info: zipfile.ZipInfo, budget: _Budget) -> Entry:
        if info.flag_bits & _ENCRYPTED:
            raise _Unreadable("encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise _Unreadable("neither stored nor deflated")
        with self._zip.open(info) as data:
            if made.kind == "link":
                target = data.read(_LONGEST_LINK + 1)
                if len(target) > _LONGEST_LINK:
                    raise _Unreadable("a link with too long a target")
                return replace(made, target=os.fsdecode(target))
            sha256, size = _hash(data, budget)
            return replace(made, sha256=sha256, size=size)


class _Unreadable(Exception):
    """Contents that are not looked at."""


class _Bounded(io.BufferedReader):
    """A file of which no absurd amount is read in one piece, whatever sizes the zip in it declares."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LISTING:
            raise UnsafeArchive(f"a zip whose list of entries has {size:,} bytes is not read")
        return super().read(size)


class _Budget:
    """Counts what was read against the caps."""

    def __init__(self, name: str, caps: Caps) -> None:
        self._name = name
        self._caps = caps
        self._entries = self._bytes = self._declared = 0

    def entry(self) -> None:
        self._entries += 1
        if self._entries > self._caps.entries:
            raise UnsafeArchive(f"{self._name} has more than {self._caps.entries:,} entries")

    def declared(self, size: int) -> None:
        self._declared += size
        if self._declared > self._caps.bytes:
            raise UnsafeArchive(f"{self._name} declares more than {self._caps.bytes:,} bytes of contents")

    def read(self, size: int) -> None:
        self._bytes += size
        if self._bytes > self._caps.bytes:
            raise UnsafeArchive(f"{self._name} holds more than {self._caps.bytes:,} bytes")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _hash(file: _Readable, budget: _Budget) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    while piece := file.read(_CHUNK):
        budget.read(len(piece))
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def _kind(name: str, bits: int) -> Kind:
    known: dict[int, Kind] = {
        0: "file",
        stat.S_IFREG: "file",
        stat.S_IFLNK: "link",
        stat.S_IFDIR: "folder",
    }
    return "folder" if name.endswith("/") else known.get(stat.S_IFMT(bits), "other")


def _packing(info: zipfile.ZipInfo) -> tuple[tuple[str, str], ...]:
    """Give what a zip says of a member beside its contents and mode."""
    date = "{:04}-{:02}-{:02} {:02}:{:02}:{:02}".format(*info.date_time)
    return (
        ("time", date),
        ("compression", f"method {info.compress_type}, {info.compress_size} bytes"),
        ("system", str(info.create_system)),
        ("flags", f"{info.flag_bits:#06x}"),
        ("extra fields", info.extra.hex()[:200]),
        ("comment", info.comment.hex()[:200]),
        ("attributes", f"{info.external_attr & 0xFFFF:#06x}, {info.internal_attr:#06x}"),
        ("version", f"{info.create_version}, {info.extract_version}"),
    )
