"""Reading a NAR from a stream into a folder, without trusting it, and as the store wants it.

The counterpart of `nar.py`. What Nix itself refuses is refused here: names out of order or twice (which could lead
through a link made just before), `.`, `..`, slashes, and padding that is not zero. One tree has one NAR, so a tree
that was unpacked has the hash of the stream that it came from.

A cache's trees have tens of thousands of small files, so each takes the fewest system calls, and nothing is done a
second time: modes are given when files are made, times when they are closed, and a folder's when it is left.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

from layerlock.errors import UnsafeArchive
from layerlock.io.atomic import storing, write_all
from layerlock.io.decompress import Damaged
from layerlock.io.nar import NarDigest
from layerlock.io.tarstream import Stream
from layerlock.io.treewriter import BAD_NAME, Caps
from layerlock.model.digest import sri

_LONGEST: Final = 4096
"""Bytes of a name or a link's target; the kernel takes no longer ones."""
_FORBIDDEN: Final = frozenset({b"", b".", b".."})
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MODES: Final = (0o444, 0o555)
"""Of files and of executables, as in the store."""


def _words(*texts: bytes) -> bytes:
    return b"".join(len(text).to_bytes(8, "little") + text + bytes(-len(text) % 8) for text in texts)


# Of tens of thousands of files only names and contents differ: what stands between them is read and compared as one
# piece, up to where kinds of entries differ. All but two words take 16 bytes.
_WORD: Final = 16
_HEAD: Final = _words(b"nix-archive-1", b"(", b"type", b"directory")
_ENTRY: Final = _words(b"entry")
_NAME: Final = _words(b"(", b"name")
_NODE: Final = _words(b"node", b"(", b"type")
_REGULAR: Final = _words(b"regular")
_SYMLINK: Final = _words(b"symlink")
_DIRECTORY: Final = _words(b"directory")
_CONTENTS: Final = _words(b"contents")
_EXECUTABLE: Final = _words(b"executable", b"")
_TARGET: Final = _words(b"target")
_CLOSE: Final = _words(b")")
_ENDS: Final = tuple(bytes(padding) + _CLOSE + _CLOSE for padding in range(8))
"""What stands after contents, by the zeros that they are filled up with: the ends of node and entry."""


def unpack_nar(pieces: Iterator[bytes], root: Path, *, what: str, caps: Caps, mtime: int) -> NarDigest:
    """Write the directory that a NAR holds into the empty folder `root`; give the NAR's hash and length.

    All modes are 444 or 555 (but `root`'s, which can still be moved), all times `mtime` (seconds). Links may lead
    anywhere, as in a root file system. `what` names it in errors, after which the caller drops the tree.

    Raises:
        Damaged: the stream is no NAR of a directory, ends early, or goes on after its end.
        UnsafeArchive: a name must not be, or a cap is passed.
        StoreError: it cannot be written.
    """
    digest = hashlib.sha256()
    size = 0

    def hashed() -> Iterator[bytes]:
        nonlocal size
        for piece in pieces:
            digest.update(piece)
            size += len(piece)
            yield piece

    _Unpacking(Stream(hashed()), what, caps, mtime).into(root)
    return NarDigest(sri=sri(digest.hexdigest()), size=size)


class _Unpacking:
    """One tree: the stream, and the folders that are open, from the root down to where an entry is made."""

    def __init__(self, stream: Stream, what: str, caps: Caps, mtime: int) -> None:
        self._stream = stream
        self._what = what
        self._caps = caps
        self._times = (mtime * 10**9, mtime * 10**9)
        self._bytes = 0
        self._entries = 0
        self._parts: list[bytes] = []
        self._folders: list[int] = []
        self._exact: dict[bool, bool] = {}

    def into(self, root: Path) -> None:
        with storing(f"unpack {self._what}"):
            try:
                self._folders.append(os.open(root, _FOLDER))
                self._root()
            except FileExistsError as error:  # where a file system takes two names for the same one
                raise self._refuse("comes twice") from error
            except OSError as error:
                if error.errno in BAD_NAME:
                    raise self._refuse(f"cannot be a file here: {error.strerror}") from error
                raise
            finally:
                for descriptor in self._folders:
                    os.close(descriptor)

    def _root(self) -> None:
        self._expect(_HEAD)
        # A stack instead of recursion, as in writing: of each folder the last name in it.
        last = [b""]
        while last:
            word = self._exactly(_WORD)
            if word == _ENTRY:
                name = self._name(last[-1])
                last[-1] = name
                if self._entry(name):
                    last.append(b"")
            elif word == _CLOSE:
                last.pop()
                self._leave(bool(last))
            else:
                _unexpected(word)
        if self._stream.read(1):
            raise Damaged("it goes on after its end")

    def _name(self, last: bytes) -> bytes:
        self._expect(_NAME)
        name = self._text(_NODE)
        if name in _FORBIDDEN or b"/" in name or b"\0" in name:
            raise UnsafeArchive(f"a NAR holds the name {name!r}", hint="nothing was kept of it")
        if name <= last:
            raise UnsafeArchive(f"a NAR holds {name!r} after {last!r}", hint="nothing was kept of it")
        return name

    def _entry(self, name: bytes) -> bool:
        """Read an entry's node and make it; True for a folder, of which only the head is read."""
        self._parts.append(name)
        self._entries += 1
        if reason := self._caps.member(self._entries, len(self._parts)):
            raise self._refuse(reason)
        kind = self._exactly(_WORD)
        if kind == _REGULAR:
            self._file(name)
        elif kind == _SYMLINK:
            self._link(name)
        elif kind == _DIRECTORY[:_WORD]:
            self._expect(_DIRECTORY[_WORD:])
            os.mkdir(name, 0o755, dir_fd=self._folders[-1])
            self._folders.append(os.open(name, _FOLDER, dir_fd=self._folders[-1]))
            return True
        else:
            _unexpected(kind)
        self._parts.pop()
        return False

    def _leave(self, inner: bool) -> None:
        """Close a folder, in which nothing is made any more."""
        descriptor = self._folders.pop()
        try:
            os.fchmod(descriptor, 0o555 if inner else 0o755)
            os.utime(descriptor, ns=self._times)
        finally:
            os.close(descriptor)
        if inner:
            self._parts.pop()
            self._expect(_CLOSE)  # of the entry around the folder

    def _link(self, name: bytes) -> None:
        self._expect(_TARGET)
        target = self._text(_ENDS[0])
        if not target or b"\0" in target:
            raise self._refuse("is a link without a target")
        os.symlink(target, name, dir_fd=self._folders[-1])
        os.utime(name, ns=self._times, dir_fd=self._folders[-1], follow_symlinks=False)

    def _file(self, name: bytes) -> None:
        word = self._exactly(_WORD)
        executable = word == _EXECUTABLE[:_WORD]
        if executable:
            self._expect(_EXECUTABLE[_WORD:])
            word = self._exactly(_WORD)
        length = 0
        if word == _CONTENTS:
            length = int.from_bytes(self._exactly(8), "little")
        elif word != _CLOSE:
            _unexpected(word)
        mode = _MODES[executable]
        descriptor = os.open(name, _NEW, mode, dir_fd=self._folders[-1])
        try:
            self._write(descriptor, length)
            if not self._exact.get(executable):
                # The process's umask may take bits away, and a folder's access list may change them; where the first
                # file has what was asked for, all have.
                self._exact[executable] = stat.S_IMODE(os.fstat(descriptor).st_mode) == mode
                os.fchmod(descriptor, mode)
            os.utime(descriptor, ns=self._times)
        finally:
            os.close(descriptor)
        self._expect(_ENDS[-length % 8] if word == _CONTENTS else _CLOSE)

    def _write(self, descriptor: int, length: int) -> None:
        for piece in self._stream.views(length):
            self._bytes += len(piece)
            if reason := self._caps.contents(self._bytes):
                raise self._refuse(reason)
            write_all(descriptor, piece)
            length -= len(piece)
        if length:
            raise Damaged("it ends early")

    def _refuse(self, reason: str) -> UnsafeArchive:
        name = os.fsdecode(b"/".join(self._parts))
        return UnsafeArchive(f"{self._what}: {name!r} {reason}", hint="nothing was kept of it")

    def _text(self, after: bytes) -> bytes:
        """Read a short string, and what has to stand after it."""
        length = int.from_bytes(self._exactly(8), "little")
        if length > _LONGEST:
            raise Damaged(f"a name or target claims {length} bytes")
        end = length + -length % 8
        data = self._exactly(end + len(after))
        if any(data[length:end]):
            raise Damaged("its padding is not zero")
        if data[end:] != after:
            _unexpected(data[end:])
        return data[:length]

    def _expect(self, wanted: bytes) -> None:
        """Read strings that are known, given as they stand in a NAR."""
        found = self._exactly(len(wanted))
        if found != wanted:
            _unexpected(found)

    def _exactly(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) != count:
            raise Damaged("it ends early")
        return data


def _unexpected(token: bytes) -> NoReturn:
    raise Damaged(f"it is no NAR: {token[:40]!r} stands where something else is wanted")
