"""A worker that something is the matter with: python -m tests.cluster.spoilt FAULT DERIVATION -- WORDS."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import layerlock
from layerlock.cache.keys import signed
from layerlock.cli.main import main
from layerlock.cluster.bench import Bench
from layerlock.cluster.orders import BuildOrder, Made
from layerlock.model.digest import sri


def spoil(fault: str, name: str, until: str) -> None:
    """Have every worker of this process do something wrong where a derivation is to be built.

    A lie is told once the file `until` is there, if one is named.
    """
    whole = Bench.make

    def make(self: Bench, order: BuildOrder, *others: Any) -> Made:
        if order.derivation.name != name:
            return whole(self, order, *others)
        # What has begun is told by then.
        time.sleep(0.2)
        match fault:
            case "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hangs":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "lies":
                # Signed with its own key, which is trusted: only the lock, or another worker, can tell.
                while until and not Path(until).exists():
                    time.sleep(0.05)
                made = whole(self, order, *others)
                entry = replace(made.entry, output=sri("00" * 32), signatures=())
                assert self.key is not None
                return replace(made, entry=signed(entry, (self.key,)))
        raise AssertionError(fault)

    setattr(Bench, "make", make)  # noqa: B010 - types would not have it


if __name__ == "__main__":
    fault, named, _, *words = sys.argv[1:]
    if fault == "older":
        layerlock.__version__ = named
    else:
        spoil(fault, *named.partition(":")[::2])
    sys.exit(main(words))
