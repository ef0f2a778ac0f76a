"""Streaming decompression of gzip, bzip2 and xz, as pieces of bounded size.

Zstandard is not here: Python before 3.14 cannot read it, and what can be unpacked must not depend on the
host.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

PIECE: Final = 1 << 20
_INPUT: Final = 256 << 10
_XZ_MEMORY: Final = 1 << 30
"""`xz -9` needs 65 MB; a header that asks for more than this wants to exhaust the machine."""


class Damaged(Exception):
    """The compressed stream is broken, cut short, or of a kind that is not read here."""


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the interface that lzma's and bz2's have: it keeps what it could not use
    yet.
    """

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)


_KINDS: Final[tuple[tuple[bytes, Callable[[], _Decompressor]], ...]] = (
    (b"\x1f\x8b", _Gzip),
    (b"BZh", bz2.BZ2Decompressor),
    (b"\xfd7zXZ\x00", _xz),
)


def pieces(file: BinaryIO, length: int) -> Iterator[bytes]:
    """Yield the next `length` bytes of `file`, decompressed where their first bytes say so.

    Raises Damaged.
    """
    head = file.read(min(6, length))
    rest = length - len(head)
    for magic, kind in _KINDS:
        if head.startswith(magic):
            return _decompressed(_raw(file, rest, head), kind, magic)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        raise Damaged("it is compressed with zstd, which is not read here")
    return _raw(file, rest, head)


def _raw(file: BinaryIO, length: int, head: bytes) -> Iterator[bytes]:
    if head:
        yield head
    while length > 0:
        piece = file.read(min(_INPUT, length))
        if not piece:
            raise Damaged("it ends early")
        length -= len(piece)
        yield piece


def _decompressed(
    inputs: Iterator[bytes], kind: Callable[[], _Decompressor], magic: bytes
) -> Iterator[bytes]:
    current = kind()
    data = next(inputs)
    try:
        while True:
            piece = current.decompress(data, PIECE)
            data = b""
            if piece:
                yield piece
            if current.eof:
                # Several streams may stand one behind the other; xz and tar pad with zeros between and
                # after them.
                data = current.unused_data.lstrip(b"\0")
                while not data:
                    following = next(inputs, None)
                    if following is None:
                        return
                    data = following.lstrip(b"\0")
                while len(data) < len(magic) and (following := next(inputs, None)):
                    data += following
                if not data.startswith(magic):
                    raise Damaged("something else follows the compressed data")
                current = kind()
            elif len(piece) < PIECE:
                # Everything handed in is used up; a full piece may mean that more waits inside.
                following = next(inputs, None)
                if following is None:
                    raise Damaged("it ends early")
                data = following
    except (zlib.error, lzma.LZMAError, OSError, EOFError) as error:
        raise Damaged(f"it does not decompress: {error}") from error


def ahead(source: Iterator[bytes]) -> Generator[bytes, None, None]:
    """Yield from `source` while a thread already works on the next piece: lzma and zlib let other threads
    run.

    Whoever does not read to the end closes it: the thread is waited for then, which must not be left to the garbage
    collector, since that may run while locks of threads are held.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="decompress") as pool:
        pending = pool.submit(next, source, None)
        while (piece := pending.result()) is not None:
            pending = pool.submit(next, source, None)
            yield piece
