"""Reading a NAR from a stream into a folder, without trusting it.

The counterpart of `nar.py`. What Nix itself refuses is refused here: names out of order or twice (which could lead
through a link made just before), `.`, `..`, slashes, and padding that is not zero. One tree has one NAR, so a tree
that was unpacked has the hash of the stream that it came from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NoReturn

from layerlock.errors import UnsafeArchive
from layerlock.io.decompress import Damaged
from layerlock.io.tarstream import Stream
from layerlock.io.treewriter import Parts, TreeWriter

_PIECE: Final = 1 << 20
_LONGEST: Final = 4096
"""Bytes of a name or a link's target; the kernel takes no longer ones."""
_FORBIDDEN: Final = frozenset({b"", b".", b".."})


def _words(*texts: bytes) -> bytes:
    return b"".join(len(text).to_bytes(8, "little") + text + bytes(-len(text) % 8) for text in texts)


# Of tens of thousands of files only names and contents differ: what stands between them is compared as one piece.
_HEAD: Final = _words(b"nix-archive-1", b"(", b"type")
_NAME: Final = _words(b"(", b"name")
_NODE: Final = _words(b"node", b"(", b"type")
_CLOSE: Final = _words(b")")
_EMPTY: Final = _words(b"")
_TARGET: Final = _words(b"target")


def unpack_nar(pieces: Iterator[bytes], writer: TreeWriter) -> None:
    """Write the directory that a NAR holds by `writer`, which checks sizes, depths and links.

    Raises:
        Damaged: the stream is no NAR of a directory, ends early, or goes on after its end.
        UnsafeArchive: a name must not be, or a cap of the writer is passed.
    """
    stream = _Tokens(pieces)
    stream.expect(_HEAD)
    if stream.token() != b"directory":
        raise Damaged("it holds no directory")
    # A stack instead of recursion, as in writing: of each folder its path, and the last name in it.
    parts: list[bytes] = []
    last: list[bytes] = [b""]
    while last:
        match stream.token():
            case b")":
                last.pop()
                if parts:
                    parts.pop()
                    stream.expect(_CLOSE)  # of the entry around the folder
            case b"entry":
                _entry(stream, writer, parts, last)
            case other:
                _unexpected(other)
    stream.end()


def _entry(stream: _Tokens, writer: TreeWriter, parts: list[bytes], last: list[bytes]) -> None:
    """Read one entry of a folder; of a folder only its head, which is put on the stack."""
    stream.expect(_NAME)
    name = stream.token()
    if name in _FORBIDDEN or b"/" in name or b"\0" in name:
        raise UnsafeArchive(f"a NAR holds the name {name!r}", hint="nothing was kept of it")
    if name <= last[-1]:
        raise UnsafeArchive(f"a NAR holds {name!r} after {last[-1]!r}", hint="nothing was kept of it")
    last[-1] = name
    stream.expect(_NODE)
    here: Parts = (*parts, name)
    match stream.token():
        case b"directory":
            writer.directory(here)
            parts.append(name)
            last.append(b"")
            return
        case b"symlink":
            stream.expect(_TARGET)
            writer.symlink(here, stream.token())
            stream.expect(_CLOSE)
        case b"regular":
            word = stream.token()
            executable = word == b"executable"
            if executable:
                stream.expect(_EMPTY)
                word = stream.token()
            if word == b"contents":
                writer.file(here, executable=executable, data=stream.contents())
                word = stream.token()
            elif word == b")":
                writer.file(here, executable=executable, data=())
            if word != b")":
                _unexpected(word)
        case other:
            _unexpected(other)
    stream.expect(_CLOSE)


class _Tokens:
    """The strings of a NAR: a length of eight bytes, the bytes, and zeros up to a multiple of eight."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._stream = Stream(pieces)

    def token(self) -> bytes:
        """Read a short string."""
        length = int.from_bytes(self._exactly(8), "little")
        if length > _LONGEST:
            raise Damaged(f"a name or target claims {length} bytes")
        padded = self._exactly(length + -length % 8)
        text = padded[:length]
        if padded[length:].strip(b"\0"):
            raise Damaged("its padding is not zero")
        return text

    def expect(self, wanted: bytes) -> None:
        """Read strings that are known, given as they stand in a NAR."""
        found = self._exactly(len(wanted))
        if found != wanted:
            _unexpected(found)

    def contents(self) -> Iterator[bytes]:
        """Yield a file's contents; all of them have to be taken."""
        left = length = int.from_bytes(self._exactly(8), "little")
        while left:
            piece = self._stream.read(min(left, _PIECE))
            if not piece:
                raise Damaged("it ends early")
            left -= len(piece)
            yield piece
        if any(self._exactly(-length % 8)):
            raise Damaged("its padding is not zero")

    def end(self) -> None:
        """Make sure that nothing follows."""
        if self._stream.read(1):
            raise Damaged("it goes on after its end")

    def _exactly(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) != count:
            raise Damaged("it ends early")
        return data


def _unexpected(token: bytes) -> NoReturn:
    raise Damaged(f"it is no NAR: {token[:40]!r} stands where something else is wanted")
