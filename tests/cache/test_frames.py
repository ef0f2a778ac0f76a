"""Seekable frames: what goes in comes out, and nothing that is broken or too large does."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerlock.cache.frames import FRAME, compress, decompress, packed_limit, unpacked_size
from layerlock.cache.place import PackedFile, Unreachable
from layerlock.io.decompress import Damaged


def packed(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "packed"
    path.write_bytes(b"".join(compress(iter([data]))))
    return path


@pytest.mark.parametrize("size", [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME + 17, 11 * FRAME])
def test_what_goes_in_comes_out(size: int, tmp_path: Path) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    path = packed(tmp_path, data)
    assert unpacked_size(PackedFile(path)) == size
    assert b"".join(decompress(PackedFile(path), size)) == data


@settings(max_examples=50, deadline=None)
@given(pieces=st.lists(st.binary(max_size=5000), max_size=20))
def test_pieces_of_any_size(pieces: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("frames") / "packed"
    path.write_bytes(b"".join(compress(iter(pieces))))
    data = b"".join(pieces)
    assert b"".join(decompress(PackedFile(path), len(data))) == data
    assert path.stat().st_size <= packed_limit(len(data))


@pytest.mark.parametrize("size", [0, 1000, FRAME, 3 * FRAME + 5])
def test_what_cannot_be_compressed_stays_below_the_limit(size: int, tmp_path: Path) -> None:
    path = packed(tmp_path, Random(1).randbytes(size))
    assert size < path.stat().st_size <= packed_limit(size)


def test_the_same_bytes_every_time() -> None:
    data = b"the same " * 3_000_000
    one = b"".join(compress(iter([data])))
    assert one == b"".join(compress(data[i : i + 777_777] for i in range(0, len(data), 777_777)))


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd program is not installed")
def test_the_zstd_program_reads_it(tmp_path: Path) -> None:
    data = bytes(range(256)) * 40_000
    done = subprocess.run(
        ["zstd", "-dc"], input=packed(tmp_path, data).read_bytes(), capture_output=True, check=True
    )
    assert done.stdout == data


def test_what_would_expand_too_far_is_refused_before_it_does(tmp_path: Path) -> None:
    path = packed(tmp_path, bytes(64 << 20))
    with pytest.raises(Damaged, match="expands to 67108864 bytes"):
        next(decompress(PackedFile(path), (64 << 20) - 1))


def test_a_frame_that_claims_more_than_the_table_says(tmp_path: Path) -> None:
    """The table is small enough, a frame is not: what the frame claims must not be allocated."""
    path = packed(tmp_path, bytes(FRAME))
    data = bytearray(path.read_bytes())
    data[-13:-9] = struct.pack("<I", 100)  # the last row's second number
    path.write_bytes(bytes(data))
    with pytest.raises(Damaged, match="not of the size that the table says"):
        list(decompress(PackedFile(path), FRAME))


@pytest.mark.parametrize("position", [0, 4, 20, -1, -5, -9, -12, -17, -20])
def test_a_broken_byte_never_gives_other_bytes_unnoticed(position: int, tmp_path: Path) -> None:
    """It is refused here, or the contents differ, which the hash of what it stands for tells."""
    data = bytes(range(256)) * 100
    path = packed(tmp_path, data)
    broken = bytearray(path.read_bytes())
    broken[position] ^= 0x41
    path.write_bytes(bytes(broken))
    try:
        came = b"".join(decompress(PackedFile(path), len(data)))
    except Damaged:
        return
    assert len(came) <= len(data)


class Parts:
    """An object that notes what is read of it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, end: int) -> bytes:
        self.asked.append((start, end))
        return self.data[start:end]


@pytest.mark.parametrize("table", [64 << 10, 40])
def test_an_object_is_read_in_a_few_parts_each_once(table: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table at its end, in one part or two, then frames: some megabytes at a time, or four that pack well."""
    monkeypatch.setattr("layerlock.cache.frames._TABLE", table)
    random = Random(1).randbytes(FRAME)
    data = random * 5 + bytes(9 * FRAME)
    parts = Parts(b"".join(compress(iter([data]))))
    assert b"".join(decompress(parts, len(data))) == data
    tables = [ask for ask in parts.asked if ask[1] == parts.size]
    frames = sorted(ask for ask in parts.asked if ask[1] != parts.size)
    assert len(tables) == (1 if table > 1000 else 2)
    assert len(frames) == 5  # of two, two, one and three, four, two
    assert [start for start, _ in frames] == [0, *(end for _, end in frames[:-1])]


def test_a_file_that_is_cut_while_it_is_read_is_damaged(tmp_path: Path) -> None:
    path = packed(tmp_path, Random(1).randbytes(7 * FRAME))
    pieces = decompress(PackedFile(path), 7 * FRAME)
    next(pieces)
    with path.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(Damaged, match="changed while it was read"):
        list(pieces)


def test_a_file_that_goes_away_is_a_cache_that_does_not_answer(tmp_path: Path) -> None:
    path = packed(tmp_path, Random(1).randbytes(7 * FRAME))
    pieces = decompress(PackedFile(path), 7 * FRAME)
    next(pieces)
    path.unlink()
    with pytest.raises(Unreachable, match="cannot be read"):
        list(pieces)
