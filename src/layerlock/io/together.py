"""Doing several things at once, where the first failure ends the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


def together(works: Iterable[Callable[[], T]], *, most: int) -> list[T]:
    """Do all of `works` in threads, at most `most` at once; give their results in order.

    A failure, or Ctrl-C, is raised at once: what has not begun is dropped, what runs is left to end by itself.
    """
    pool = ThreadPoolExecutor(most, thread_name_prefix="together")
    try:
        futures = [pool.submit(work) for work in works]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            if future in done:
                future.result()
        return [future.result() for future in futures]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def meanwhile(work: Callable[[], object]) -> Iterator[None]:
    """Do `work` in a thread beside the block; both are done at the end. Raises what the block raises, else `work`."""
    with ThreadPoolExecutor(1, thread_name_prefix="meanwhile") as pool:
        pending = pool.submit(work)
        yield
        pending.result()
