"""One sync for several threads: nobody is told too early, and everybody hears of a failure."""

from __future__ import annotations

import errno
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from layerlock.io.groupsync import GroupSync, sync_file_system


def test_who_calls_during_a_sync_shares_the_next_one() -> None:
    """Whatever is written before a call is synced after the call, with at most one sync that runs for it."""
    guard = threading.Lock()
    written: set[int] = set()
    synced: set[int] = set()
    syncs = 0
    first_runs, go_on = threading.Event(), threading.Event()

    def sync() -> None:
        nonlocal syncs
        syncs += 1
        with guard:
            seen = set(written)
        first_runs.set()
        assert go_on.wait(30)
        synced.update(seen)

    group = GroupSync(sync)

    def add(number: int) -> bool:
        with guard:
            written.add(number)
        group()
        return number in synced

    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(add, 0)
        assert first_runs.wait(30)
        others = [pool.submit(add, number) for number in range(1, 9)]
        while len(written) < 9:
            time.sleep(0.001)
        go_on.set()
        assert all(one.result(30) for one in (first, *others))
    assert 2 <= syncs <= 9


def test_a_failure_is_raised_in_every_thread_that_waited_and_not_later() -> None:
    failing = True
    gate = threading.Barrier(4)

    def sync() -> None:
        if failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    group = GroupSync(sync)

    def call() -> None:
        gate.wait(30)
        group()

    with ThreadPoolExecutor(4) as pool:
        for one in [pool.submit(call) for _ in range(4)]:
            with pytest.raises(OSError, match="Input/output error"):
                one.result(30)
    failing = False
    group()


def test_what_fails_while_it_goes_on_all_along_is_told_to_all_who_wait_meanwhile() -> None:
    """The kernel tells of a failed write once; it may be told to nobody who waits, and be about what they wrote."""
    tried = threading.Event()
    syncs = 0

    def sync() -> None:
        nonlocal syncs
        syncs += 1
        if syncs == 1:
            tried.set()
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    group = GroupSync(sync)
    with group.all_along(0.001):
        assert tried.wait(30)
        with group.all_along(0.001):
            pass
        for _ in range(2):
            with pytest.raises(OSError, match="Input/output error"):
                group()
    assert syncs == 1
    group()
    assert syncs == 2


def test_a_file_system_is_synced_by_any_of_its_folders(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    sync_file_system(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_file_system(tmp_path / "absent")
