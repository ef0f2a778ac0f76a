"""zstd in seekable frames: how everything in a cache is compressed.

The stream is cut into frames of 4 MiB that stand for themselves, and a table of their sizes follows in a frame that
decoders skip: the "Zstandard Seekable Format" 0.1.0 of the zstd project, which `zstd -d` reads too. So frames are
compressed and decompressed side by side, and the table tells the whole size before anything is decompressed: what
would expand past its bound is refused while it is small. What comes out is held against a hash by whoever reads it,
so the frames carry no checksums of their own.

`zstandard` does it: Python has had zstd since 3.14 only, and of the two well-kept bindings it is the one that gives
the interpreter to others while it works.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import local
from typing import Final, TypeVar

import zstandard

from layerlock.cache.place import Packed
from layerlock.io.decompress import Damaged

FRAME: Final = 4 << 20
"""Bytes that a frame stands for; the last one has fewer."""
LEVEL: Final = 1
"""Of zstd. Level 3 takes nearly twice the time, for about an eighth fewer bytes of trees and the same of sources."""
_SKIPPABLE: Final = 0x184D2A5E
_MAGIC: Final = 0x8F92EAB1
_HEADER: Final = struct.Struct("<II")
_ROW: Final = struct.Struct("<II")
_FOOTER: Final = struct.Struct("<IBI")
_THREADS: Final = 4
"""Frames of one stream that are compressed at once."""
_REQUEST: Final = 6 << 20
_TOGETHER: Final = 4
"""Frames that are read with one request: as many as have these compressed bytes, and at most so many."""
_GROUPS: Final = 2
"""Requests of one object that are under way, or decompressed, at once."""
_TABLE: Final = 64 << 10
"""Bytes at an object's end that are read for the table: enough for 32 GB."""

T = TypeVar("T")
U = TypeVar("U")


def packed_limit(size: int) -> int:
    """Give the most bytes that `size` bytes take compressed: what zstd cannot make smaller grows a little."""
    frames = size // FRAME + 1
    return size + (size >> 8) + frames * (_ROW.size + 64) + 1024


def compress(pieces: Iterator[bytes | memoryview]) -> Iterator[bytes]:
    """Yield the frames of what `pieces` join to, and the table; few frames are held at a time."""
    compressors = local()

    def work(data: bytes | memoryview) -> tuple[int, bytes]:
        if not hasattr(compressors, "it"):
            compressors.it = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
        packed: bytes = compressors.it.compress(data)
        return len(data), packed

    table = bytearray()
    count = 0
    for size, packed in _side_by_side(_cut(pieces), work, _THREADS):
        table += _ROW.pack(len(packed), size)
        count += 1
        yield packed
    table += _FOOTER.pack(count, 0, _MAGIC)
    yield _HEADER.pack(_SKIPPABLE, len(table)) + bytes(table)


def unpacked_size(packed: Packed) -> int:
    """Give the bytes that a compressed object says it stands for. Raises Damaged."""
    return sum(size for _, size in _table(packed))


def decompress(packed: Packed, limit: int) -> Iterator[bytes]:
    """Yield what a compressed object stands for, in pieces of at most a frame.

    It is read as it is decompressed, some frames at a time and a few of those side by side: none of it need be written
    anywhere before.

    Raises:
        Damaged: it is not what `compress` writes, or stands for more than `limit` bytes.
    """
    rows = _table(packed)
    total = sum(size for _, size in rows)
    if total > limit:
        raise Damaged(f"it expands to {total} bytes, more than the {limit} that there may be")
    decompressors = local()

    def work(group: _Group) -> list[bytes]:
        if not hasattr(decompressors, "it"):
            decompressors.it = zstandard.ZstdDecompressor(max_window_size=FRAME * 2)
        data = memoryview(packed.read(group.start, group.end))
        if len(data) != group.end - group.start:
            raise Damaged("it changed while it was read")
        found: list[bytes] = []
        for length, size in group.rows:
            frame, data = data[:length], data[length:]
            try:
                # What the frame itself claims decides how much is allocated.
                if zstandard.frame_content_size(frame) != size:
                    raise Damaged("a frame is not of the size that the table says")
                found.append(decompressors.it.decompress(frame, allow_extra_data=False))
            except zstandard.ZstdError as error:
                raise Damaged(f"a frame is broken: {error}") from error
        return found

    for pieces in _side_by_side(_groups(rows), work, _GROUPS):
        yield from pieces


def _table(packed: Packed) -> list[tuple[int, int]]:
    """Read the table at the end: compressed and whole size of each frame."""
    if packed.size < _HEADER.size + _FOOTER.size:
        raise Damaged("it is too short")
    begin = max(0, packed.size - _TABLE)
    end = packed.read(begin, packed.size)
    if len(end) != packed.size - begin:
        raise Damaged("it changed while it was read")
    count, descriptor, magic = _FOOTER.unpack(end[-_FOOTER.size :])
    start = packed.size - _FOOTER.size - count * _ROW.size - _HEADER.size
    if magic != _MAGIC or descriptor != 0 or start < 0:
        raise Damaged("it does not end in a table of frames: it was cut short, or is something else")
    table = end[start - begin :] if start >= begin else packed.read(start, packed.size)
    header = _HEADER.unpack(table[: _HEADER.size])
    rows = list(_ROW.iter_unpack(table[_HEADER.size : _HEADER.size + count * _ROW.size]))
    if header != (_SKIPPABLE, count * _ROW.size + _FOOTER.size):
        raise Damaged("its table of frames is broken")
    if sum(length for length, _ in rows) != start or any(size > FRAME for _, size in rows):
        raise Damaged("its table of frames does not fit it")
    return rows


@dataclass(frozen=True, kw_only=True, slots=True)
class _Group:
    """Frames that are read together: where they stand, and their rows."""

    start: int
    end: int
    rows: list[tuple[int, int]]


def _groups(rows: list[tuple[int, int]]) -> Iterator[_Group]:
    start = end = 0
    held: list[tuple[int, int]] = []
    for row in rows:
        held.append(row)
        end += row[0]
        if end - start >= _REQUEST or len(held) == _TOGETHER:
            yield _Group(start=start, end=end, rows=held)
            start, held = end, []
    if held:
        yield _Group(start=start, end=end, rows=held)


def _cut(pieces: Iterator[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Join pieces, and cut them anew into frames; a piece that is a frame already is not copied."""
    pending: list[bytes | memoryview] = []
    held = 0
    for piece in pieces:
        if not held and len(piece) == FRAME:
            yield piece
            continue
        view = memoryview(piece)
        while len(view) >= FRAME - held:
            pending.append(view[: FRAME - held])
            view = view[FRAME - held :]
            yield b"".join(pending)
            pending.clear()
            held = 0
        if view:
            pending.append(view)
            held += len(view)
    if held:
        yield b"".join(pending)


def _side_by_side(given: Iterator[T], work: Callable[[T], U], threads: int) -> Iterator[U]:
    """Do `work` on what is given in a few threads, in order; no more is taken than is being worked on.

    A single one, as most files have, is done without a thread.
    """
    first = next(given, None)
    if first is None:
        return
    second = next(given, None)
    if second is None:
        yield work(first)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="zstd") as pool:
        waiting: deque[Future[U]] = deque([pool.submit(work, first), pool.submit(work, second)])
        try:
            for item in given:
                if len(waiting) > threads:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(work, item))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
