"""Reading several streams in advance, one after the other for who takes them, side by side for who makes them.

Decompression leaves the interpreter to other threads, so that archives which are unpacked in a fixed order can be
decompressed on all processors. What waits to be taken is bounded: some pieces of each of a few streams.
"""

from __future__ import annotations

from collections import deque
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    Source = Callable[[], Generator[bytes, None, None]]

PIECES: Final = 32
"""Pieces of one stream that wait at most; they are of a megabyte at most (see `decompress`)."""
_BESIDES: Final = 2
"""Streams that may be begun beyond those that threads work on: many are over in a moment."""


@dataclass(slots=True)
class _Line:
    """What a stream has given and nobody took yet."""

    waiting: deque[bytes] = field(default_factory=deque)
    ended: bool = False
    dropped: bool = False
    failure: BaseException | None = None


class _Advance:
    def __init__(self, sources: Sequence[Source], threads: int) -> None:
        self._sources = sources
        self._window = threads + _BESIDES
        self._lines = [_Line() for _ in sources]
        self._changed = Condition()
        self._begun = 0
        self._taken = 0
        self._stopped = False

    def work(self) -> None:
        """Read one stream after the other, those first that are wanted first."""
        while (index := self._next()) is not None:
            line = self._lines[index]
            try:
                with closing(self._sources[index]()) as pieces:
                    for piece in pieces:
                        if not self._put(line, piece):
                            break
            except BaseException as error:  # it is raised where the stream is taken
                line.failure = error
            with self._changed:
                line.ended = True
                self._changed.notify_all()

    def take(self, index: int) -> Iterator[bytes]:
        """Yield the pieces of a stream; whatever its source raised is raised here."""
        line = self._lines[index]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: line.waiting or line.ended)
                if not line.waiting:
                    break
                piece = line.waiting.popleft()
                self._changed.notify_all()
            yield piece
        if line.failure is not None:
            raise line.failure

    def done(self, index: int) -> None:
        """Let go of a stream, read to its end or not."""
        with self._changed:
            self._taken = index + 1
            self._lines[index].dropped = True
            self._lines[index].waiting.clear()
            self._changed.notify_all()

    def stop(self) -> None:
        """Have the threads end."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _next(self) -> int | None:
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stopped
                    or self._begun == len(self._sources)
                    or self._begun < self._taken + self._window
                )
            )
            if self._stopped or self._begun == len(self._sources):
                return None
            self._begun += 1
            return self._begun - 1

    def _put(self, line: _Line, piece: bytes) -> bool:
        """Hand a piece over; False where nobody wants any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or line.dropped or len(line.waiting) < PIECES)
            if self._stopped or line.dropped:
                return False
            line.waiting.append(piece)
            self._changed.notify_all()
            return True


@contextmanager
def in_advance(sources: Sequence[Source], threads: int) -> Iterator[Iterator[Iterator[bytes]]]:
    """Lend the streams of all sources in their order, each to be taken before the next; `threads` read ahead.

    A stream that is not read to its end is dropped when the next one is taken. The threads have ended when the
    context is left. What a source raises is raised where its stream is read.
    """
    advance = _Advance(sources, threads)
    workers = [Thread(target=advance.work, name=f"decompress_{number}") for number in range(threads)]

    def streams() -> Iterator[Iterator[bytes]]:
        for index in range(len(sources)):
            yield advance.take(index)
            advance.done(index)

    try:
        for worker in workers:
            worker.start()
        yield streams()
    finally:
        advance.stop()
        for worker in workers:
            if worker.ident is not None:
                worker.join()
