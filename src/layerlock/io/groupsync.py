"""Bringing a whole file system to the disk, once for everybody who waits: the group commit of databases.

A tree of ten thousand files takes ten thousand `fsync`, each of which may wait for the file system's journal; one
`syncfs` (Linux) writes all of it with a commit or two. It also writes whatever else waits there, so it is for many
trees in a row, as out of a cache, and not beside a build whose scratch is soon dropped (see `atomic.fsync_tree`).
OSTree commits its transactions so too.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread


class GroupSync:
    """A sync that threads share: it is begun after each of its callers called, and is over when they return.

    Callable from several threads at once. Whoever calls while one runs waits for the next, with all others that do.
    """

    def __init__(self, sync: Callable[[], None]) -> None:
        self._sync = sync
        self._guard = Lock()
        self._turn = Lock()
        self._next: Future[None] | None = None
        self._along = 0
        self._ended = Event()
        self._pacer: Thread | None = None
        self._failure: BaseException | None = None

    def __call__(self) -> None:
        """Wait for a sync that begins from now on. Raises what it raised, in each thread that waited for it."""
        with self._guard:
            leads = self._next is None
            mine = self._next = self._next or Future()
        if leads:
            self._lead(mine)
        mine.result()

    def _lead(self, mine: Future[None]) -> None:
        try:
            with self._turn:
                with self._guard:
                    self._next = None  # what is written from now on needs another one
                self._sync_or_fail()
        except BaseException as error:
            mine.set_exception(error)
        else:
            mine.set_result(None)

    def _sync_or_fail(self) -> None:
        if self._failure is not None:
            raise self._failure
        try:
            self._sync()
        except BaseException as error:
            if self._along:
                self._failure = error
            raise

    @contextmanager
    def all_along(self, pause: float) -> Iterator[None]:
        """Sync again and again meanwhile, with a pause (seconds) after each: who waits then waits for little.

        The kernel begins to write by itself only when much is waiting, or half a minute has passed. It tells of a write
        that failed once, so a sync that fails fails all that follow, until nobody is in such a context any more.
        """
        with self._guard:
            self._along += 1
            if self._along == 1:
                self._ended = Event()
                self._pacer = Thread(target=self._go_on, args=(self._ended, pause), name="sync", daemon=True)
                self._pacer.start()
        try:
            yield
        finally:
            with self._guard:
                self._along -= 1
                ended, pacer = (self._ended, self._pacer) if not self._along else (None, None)
            if ended is not None and pacer is not None:
                ended.set()
                pacer.join()
                with self._guard:
                    if not self._along:
                        self._failure = None

    def _go_on(self, ended: Event, pause: float) -> None:
        with suppress(OSError):  # whoever waits is told
            while not ended.wait(pause):
                self()


def sync_file_system(path: Path) -> None:
    """Bring everything to the disk that was written to the file system of the directory `path`.

    Raises OSError, for writes that failed in between too (Linux 5.8 and later).
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)
