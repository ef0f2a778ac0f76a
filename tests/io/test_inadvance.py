"""Streams that are read in advance: in order, bounded, and without leaving threads behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from functools import partial

import pytest

from layerlock.io.inadvance import PIECES, in_advance


class Sources:
    """Sources that count what was asked of them."""

    def __init__(self) -> None:
        self.given: dict[int, int] = {}
        self.closed: set[int] = set()

    def source(self, index: int, pieces: int) -> Generator[bytes, None, None]:
        """Give so many pieces, each of which names its stream."""
        try:
            for number in range(pieces):
                self.given[index] = number + 1
                yield b"%d/%d" % (index, number)
        finally:
            self.closed.add(index)

    def several(self, *pieces: int) -> list[Callable[[], Generator[bytes, None, None]]]:
        """Give sources of so many pieces each."""
        return [partial(self.source, index, count) for index, count in enumerate(pieces)]


def failing() -> Generator[bytes, None, None]:
    """Give a piece and fail."""
    yield b"first"
    raise ValueError("it is damaged")


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Generator[None, None, None]:
    """Hold that all threads have ended."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decompress")]


def wait_until(true: Callable[[], bool]) -> None:
    """Wait until something came about in the other threads."""
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.005)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_everything_comes_in_order(threads: int) -> None:
    counts = (3, 0, PIECES * 3, 1, 1, 0, 200)
    with in_advance(Sources().several(*counts), threads) as streams:
        taken = [list(stream) for stream in streams]
    assert taken == [[b"%d/%d" % (i, n) for n in range(count)] for i, count in enumerate(counts)]


def test_what_waits_is_bounded() -> None:
    """In pieces of a stream, and in streams that are begun."""
    sources = Sources()
    with in_advance(sources.several(*[10 * PIECES] * 20), 2) as streams:
        first = next(streams)
        # One more is on its way into a full line.
        wait_until(lambda: [sources.given.get(i, 0) for i in (0, 1)] == [PIECES + 1] * 2)
        time.sleep(0.1)
        assert sources.given == {0: PIECES + 1, 1: PIECES + 1}
        assert len(list(first)) == 10 * PIECES
        wait_until(lambda: sources.given.get(2, 0) == PIECES + 1)


def test_short_streams_are_not_all_read_at_once() -> None:
    sources = Sources()
    with in_advance(sources.several(*[1] * 50), 2) as streams:
        next(streams)
        wait_until(lambda: len(sources.closed) == 4)
        time.sleep(0.1)
        assert len(sources.given) == 4


def test_a_stream_that_is_left_early_holds_up_nothing() -> None:
    """With as many of them as there are threads, each with more than fits."""
    sources = Sources()
    with in_advance(sources.several(*[3 * PIECES] * 6), 2) as streams:
        assert [next(stream) for stream in streams] == [b"%d/0" % i for i in range(6)]
    assert sources.closed == set(sources.given)


def test_a_failure_is_raised_where_its_stream_is_read() -> None:
    sources = Sources()
    with in_advance([partial(sources.source, 0, 2), failing, partial(sources.source, 2, 1)], 2) as streams:
        assert len(list(next(streams))) == 2
        second = next(streams)
        assert next(second) == b"first"
        with pytest.raises(ValueError, match="damaged"):
            next(second)
        assert list(next(streams)) == [b"2/0"]


def test_leaving_early_ends_the_threads_and_closes_the_sources() -> None:
    sources = Sources()
    with pytest.raises(RuntimeError), in_advance(sources.several(*[5 * PIECES] * 9), 3) as streams:
        next(next(streams))
        raise RuntimeError
    assert sources.closed == set(sources.given)
