"""Whether a machine is quiet enough to measure on.

A short piece of work that always takes the same is done over and over on all processors at once. Where something else
runs, rounds wait for it; where the machine is a virtual one and its host is busy, they are slower than others. Noise
is the ninetieth percentile of the rounds' wall times over the least time of a processor that one of them took, less
one: the spread of the wall times alone would not see a load that slows all of them alike.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

LIMIT = 0.25
"""Noise above which nothing is written: medians of a few runs no longer tell one commit from the next."""
ROUNDS = 40
_WORK = bytes(48 << 20)
"""What a round hashes: 30 to 150 ms. Hashing leaves the interpreter, so that all processors are at work."""


class TooNoisy(SystemExit):
    """Something else runs on the machine."""


Round = tuple[float, float]
"""The seconds that a round took, and those of a processor."""


def noise(rounds: Sequence[Round]) -> float:
    """Give the noise of some rounds.

    Raises:
        ValueError: there are too few to tell.
    """
    if len(rounds) < 10:
        raise ValueError(f"{len(rounds)} rounds tell nothing of noise")
    slower = sorted(wall for wall, _ in rounds)[len(rounds) * 9 // 10]
    return slower / min(processor for _, processor in rounds) - 1


def calibrate(rounds: int = ROUNDS) -> list[Round]:
    """Do rounds on all processors, so many in all."""
    processors = len(os.sched_getaffinity(0))
    with ThreadPoolExecutor(processors) as pool:
        # One more for each than is counted: threads begin, and processors wake up.
        runs = [pool.submit(_rounds, rounds // processors + 1) for _ in range(processors)]
        return [took for run in runs for took in run.result()[1:]]


def require_quiet(when: str, measure: Callable[[], Sequence[Round]] = calibrate) -> float:
    """Give the noise just now.

    Raises:
        TooNoisy: it is over the limit; nothing should be written.
    """
    found = noise(measure())
    if found > LIMIT:
        raise TooNoisy(
            f"this machine is too noisy {when}: the same work took {found:.0%} longer than at best, and "
            f"{LIMIT:.0%} is allowed. Nothing was written. End what else runs, then measure again."
        )
    print(f"noise {when}: {found:.1%}", file=sys.stderr)
    return found


def _rounds(count: int) -> list[Round]:
    done = []
    for _ in range(count):
        began, spent = time.perf_counter(), time.thread_time()
        hashlib.sha256(_WORK).digest()
        done.append((time.perf_counter() - began, time.thread_time() - spent))
    return done
