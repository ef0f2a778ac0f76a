"""Measure the offline audit of what a layer holds: hashing against `sha256sum`, and all that is done beyond hashing.

    python -m tools.audit_speed cv --store DIR

Both read the same files in one run, after one pass that warms the page cache; of three rounds the best one counts.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from layerlock.audit.reading import CAPS
from layerlock.audit.table import CHECKS
from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import Event
from layerlock.io.entries import open_holding
from layerlock.workflows.auditing import Choice, make_subject

ROUNDS = 3
AREAS = ("contents", "objects")


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Seconds, and what they were spent on. `ratio` is sha256sum's time over ours: above 1 we are faster.

    `beyond_hashing_cpu` is processor time, which says something on a busy machine too.
    """

    files: int
    bytes: int
    sha256sum: float
    hashing: float
    ratio: float
    checks: float
    beyond_hashing: float
    beyond_hashing_cpu: float


def measure(repository: Path, store: Path, layer: str) -> Speed:
    """Measure a layer that is built in a store; nothing is written."""
    settings = Settings(repository=repository, store=store, environment=dict(os.environ))
    events: list[Event] = []
    driver = construct(settings, events.append)
    choice = Choice(today=datetime.datetime.now(datetime.UTC).date())

    def audit() -> None:
        # A new subject reads everything anew.
        subject = make_subject(driver, layer, choice)
        assert subject.contents is not None, f"{layer} is not built in {store}"
        for check in CHECKS:
            if check.area in AREAS:
                list(check.run(subject))

    contents = make_subject(driver, layer, choice).contents
    assert contents is not None, f"{layer} is not built in {store}"
    tree = contents.tree
    paths = sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())
    listed = b"\0".join(os.fsencode(path) for path in paths)

    def theirs() -> None:
        subprocess.run(
            ["xargs", "-0", "sha256sum", "--"], input=listed, stdout=subprocess.DEVNULL, check=True
        )

    def ours() -> None:
        with closing(open_holding(tree, CAPS)) as holding:
            assert sum(bool(entry.sha256) for entry in holding.entries) == len(paths)

    theirs()
    sha256sum, hashing, checks = _best(theirs), _best(ours), _best(audit)
    return Speed(
        files=len(paths),
        bytes=sum(path.stat().st_size for path in paths),
        sha256sum=sha256sum,
        hashing=hashing,
        ratio=sha256sum / hashing,
        checks=checks,
        beyond_hashing=checks - hashing,
        beyond_hashing_cpu=_best(audit, time.process_time) - _best(ours, time.process_time),
    )


def _best(work: Callable[[], None], clock: Callable[[], float] = time.perf_counter) -> float:
    taken = []
    for _ in range(ROUNDS):
        begun = clock()
        work()
        taken.append(clock() - begun)
    return min(taken)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("layer")
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--repo", type=Path, default=Path.cwd())
    given = parser.parse_args()
    print(json.dumps(asdict(measure(given.repo, given.store, given.layer)), indent=1))
