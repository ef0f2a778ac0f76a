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
from pathlib import Path
from threading import local
from typing import Final, TypeVar

import zstandard

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

T = TypeVar("T")
U = TypeVar("U")


def packed_limit(size: int) -> int:
    """Give the most bytes that `size` bytes take compressed: what zstd cannot make smaller grows a little."""
    frames = size // FRAME + 1
    return size + (size >> 8) + frames * (_ROW.size + 64) + 1024


def compress(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the frames of what `pieces` join to, and the table; few frames are held at a time."""
    compressors = local()

    def work(data: bytes) -> tuple[int, bytes]:
        if not hasattr(compressors, "it"):
            compressors.it = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True)
        packed: bytes = compressors.it.compress(data)
        return len(data), packed

    table = bytearray()
    count = 0
    for size, packed in _side_by_side(_cut(pieces), work):
        table += _ROW.pack(len(packed), size)
        count += 1
        yield packed
    table += _FOOTER.pack(count, 0, _MAGIC)
    yield _HEADER.pack(_SKIPPABLE, len(table)) + bytes(table)


def unpacked_size(path: Path) -> int:
    """Give the bytes that a compressed file says it stands for. Raises Damaged."""
    return sum(size for _, size in _table(path))


def decompress(path: Path, limit: int) -> Iterator[bytes]:
    """Yield what a compressed file stands for, in pieces of at most a frame.

    Raises:
        Damaged: it is not what `compress` writes, or stands for more than `limit` bytes.
    """
    rows = _table(path)
    total = sum(size for _, size in rows)
    if total > limit:
        raise Damaged(f"it expands to {total} bytes, more than the {limit} that there may be")
    decompressors = local()

    def work(frame: tuple[bytes, int]) -> bytes:
        if not hasattr(decompressors, "it"):
            decompressors.it = zstandard.ZstdDecompressor(max_window_size=FRAME * 2)
        packed, size = frame
        try:
            # What the frame itself claims decides how much is allocated.
            if zstandard.frame_content_size(packed) != size:
                raise Damaged("a frame is not of the size that the table says")
            data: bytes = decompressors.it.decompress(packed, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise Damaged(f"a frame is broken: {error}") from error
        return data

    yield from _side_by_side(_frames(path, rows), work)


def _table(path: Path) -> list[tuple[int, int]]:
    """Read the table at the end: compressed and whole size of each frame."""
    length = path.stat().st_size
    with path.open("rb") as file:
        if length < _HEADER.size + _FOOTER.size:
            raise Damaged("it is too short")
        file.seek(length - _FOOTER.size)
        count, descriptor, magic = _FOOTER.unpack(file.read(_FOOTER.size))
        start = length - _FOOTER.size - count * _ROW.size - _HEADER.size
        if magic != _MAGIC or descriptor != 0 or start < 0:
            raise Damaged("it does not end in a table of frames: it was cut short, or is something else")
        file.seek(start)
        header = _HEADER.unpack(file.read(_HEADER.size))
        rows = list(_ROW.iter_unpack(file.read(count * _ROW.size)))
    if header != (_SKIPPABLE, count * _ROW.size + _FOOTER.size):
        raise Damaged("its table of frames is broken")
    if sum(packed for packed, _ in rows) != start or any(size > FRAME for _, size in rows):
        raise Damaged("its table of frames does not fit it")
    return rows


def _frames(path: Path, rows: list[tuple[int, int]]) -> Iterator[tuple[bytes, int]]:
    with path.open("rb") as file:
        for packed, size in rows:
            data = file.read(packed)
            if len(data) != packed:
                raise Damaged("it changed while it was read")
            yield data, size


def _cut(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Join pieces, and cut them anew into frames."""
    pending: list[bytes | memoryview] = []
    held = 0
    for piece in pieces:
        if held + len(piece) < FRAME:  # nearly all are: taken as they are, without a copy
            pending.append(piece)
            held += len(piece)
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
            held = len(view)
    if held:
        yield b"".join(pending)


def _side_by_side(given: Iterator[T], work: Callable[[T], U]) -> Iterator[U]:
    """Do `work` on what is given in a few threads, in order; no more is taken than is being worked on.

    A single frame, as most files have, is done without a thread.
    """
    first = next(given, None)
    if first is None:
        return
    second = next(given, None)
    if second is None:
        yield work(first)
        return
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="zstd") as pool:
        waiting: deque[Future[U]] = deque([pool.submit(work, first), pool.submit(work, second)])
        try:
            for item in given:
                if len(waiting) > _THREADS:
                    yield waiting.popleft().result()
                waiting.append(pool.submit(work, item))
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
