"""Measure planning and scheduling of 5,000 derivations, and write what came out into docs/scale.md.

    python -m tools.scale              all of it: eleven minutes, most of which workers sleep
    python -m tools.scale --planning   planning alone

The recipes are those of `tools.synthetic`; durations are drawn with a fixed seed from a log-normal distribution, whose
few long builds make up much of the work, as real ones do. The scheduler and the workers are processes of their own;
builds sleep, so that two processors do for eight workers. To save time, clusters of different sizes run side by side,
and for one worker alone builds take half as long.
"""

from __future__ import annotations

import argparse
import datetime
import os
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from layerlock.model.derivation import Derivation
from layerlock.plan.priority import Cost, first_to_last, priorities
from layerlock.plan.resolve import Plan, plan_layers
from tools import synthetic
from tools.blocks import with_blocks
from tools.schedules import bound, critical_path, list_schedule

PAGE = Path(__file__).parents[1] / "docs" / "scale.md"
COUNT = 5000
SIZES = (625, 1250, 2500, 5000)
WORKERS = (1, 2, 4, 8)
MEAN = 0.22
"""Seconds that a build sleeps on average; half of it where one worker does them all."""
LANES = ((1,), (2,), (4, 8))
"""Numbers of workers: what runs side by side, and what one after the other."""
SIGMA = 1.5
"""Of the logarithms of durations: the longest of 5,000 takes about 200 times the median, 70 times the mean."""
PAIRS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """A plan with its builds' seconds and priorities by name."""

    plan: Plan
    seconds: Mapping[str, float]
    priority: Mapping[str, float]

    @property
    def derivations(self) -> tuple[Derivation, ...]:
        """The derivations in build order."""
        return self.plan.derivations


def graph(count: int, mean: float, seed: int = 0) -> Graph:
    """Plan so many derivations, and draw what each of them takes."""
    made = synthetic.recipes(count, seed)
    plan = plan_layers(made, made.layers, synthetic.CODE, {})
    chance = random.Random(seed)  # noqa: S311 - it has to be the same every time
    drawn = {name: chance.lognormvariate(0, SIGMA) for name in plan.planned}
    factor = mean * len(drawn) / sum(drawn.values())
    seconds = {name: each * factor for name, each in drawn.items()}
    costs = {name: Cost(seconds=each, memory=0) for name, each in seconds.items()}
    return Graph(plan=plan, seconds=seconds, priority=priorities(plan.derivations, costs))


def planning(sizes: tuple[int, ...] = SIZES, rounds: int = 3) -> list[tuple[int, float]]:
    """Give the seconds of a processor that planning takes, by the number of derivations; the best of some rounds."""
    found = []
    for size in sizes:
        made = synthetic.recipes(size)
        times = []
        for _ in range(rounds):
            began = time.process_time()
            plan = plan_layers(made, made.layers, synthetic.CODE, {})
            times.append(time.process_time() - began)
        assert len(plan.derivations) == size
        found.append((size, min(times)))
    return found


def overheads(empty: Graph) -> dict[int, float]:
    """Give the seconds that each of many empty builds takes, by the number of workers."""
    from tools.sleepers import cluster, makespan  # noqa: PLC0415 - planning alone needs no Dask

    found = {}
    for workers in WORKERS:
        with cluster(workers) as client:
            took = makespan(client, empty.derivations, empty.plan.planned, empty.seconds, empty.priority)
        found[workers] = took / len(empty.derivations)
    return found


def makespans(mean: float) -> list[tuple[int, Graph, float]]:
    """Give numbers of workers, the graph that each worked on, and the seconds that it took."""
    from tools.sleepers import cluster, makespan  # noqa: PLC0415 - as above

    def measure(lane: tuple[int, ...]) -> list[tuple[int, Graph, float]]:
        found = []
        for number in lane:
            made = graph(COUNT, mean / 2 if number == 1 else mean)
            with cluster(number) as client:
                took = makespan(client, made.derivations, made.plan.planned, made.seconds, made.priority)
            print(f"{number} workers: {took:.1f} s", flush=True)
            found.append((number, made, took))
        return found

    with ThreadPoolExecutor(len(LANES)) as pool:
        return [row for rows in pool.map(measure, LANES) for row in rows]


def placements() -> dict[str, float]:
    """Give the share of builds that ran where their input of 1 GB was made, with and without stated resources."""
    from tools.sleepers import at_home, cluster  # noqa: PLC0415 - as above

    found = {}
    for name, stated in (("held by the scheduler", False), ("with stated resources", True)):
        with cluster(4, offers="cores=1") as client:
            found[name] = at_home(client, PAIRS, 1 << 30, stated=stated)
    return found


def planning_table() -> str:
    """Measure planning."""
    return _table(
        ("derivations", "planning, seconds", "a derivation, ms"),
        [(f"{size:,}", f"{each:.2f}", f"{each / size * 1000:.3f}") for size, each in planning()],
    )


def tables(mean: float) -> dict[str, str]:
    """Measure everything; give the blocks of the page."""
    planned = planning_table()
    lost = overheads(graph(COUNT, 0.0))
    placed = placements()
    took = makespans(mean)
    return {
        "planning": planned,
        "overhead": _table(
            ("workers", f"seconds for {COUNT:,} empty builds", "a build, ms"),
            [(str(number), f"{each * COUNT:.1f}", f"{each * 1000:.1f}") for number, each in lost.items()],
        ),
        "placement": _table(
            (f"{PAIRS} pairs of builds, 4 workers", "ran where their input was made"),
            [(name, f"{share:.0%}") for name, share in placed.items()],
        ),
        "makespan": _makespan_table(took),
        "machine": f"Measured on {datetime.datetime.now(datetime.UTC).date()} by `python -m tools.scale`, on a "
        f"machine with {len(os.sched_getaffinity(0))} processors and a load of {os.getloadavg()[2]:.1f} "
        "(15 minutes), of which other work was a part.",
    }


def _makespan_table(took: Sequence[tuple[int, Graph, float]]) -> str:
    rows = []
    for number, made, each in took:
        costs = {name: Cost(seconds=one, memory=0) for name, one in made.seconds.items()}
        order = first_to_last(made.derivations, costs)
        least = bound(made.derivations, made.seconds, number)
        ideal = list_schedule(made.derivations, made.seconds, order, number)
        rows.append(
            (
                str(number),
                f"{sum(made.seconds.values()) / COUNT:.2f}, {max(made.seconds.values()):.1f}",
                f"{critical_path(made.derivations, made.seconds):.1f}",
                f"{least:.1f}",
                f"{each:.1f}",
                f"{each / least - 1:.1%}",
                f"{max(ideal / least - 1, 0):.1%}",
            )
        )
    head = ("workers", "a build, s: mean, longest", "critical path, s", "bound, s", "makespan, s")
    return _table((*head, "over the bound", "without any overhead"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def main() -> None:
    """Measure, print, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--planning", action="store_true", help="measure planning alone")
    parser.add_argument("--mean", type=float, default=MEAN, help="seconds that a build sleeps on average")
    options = parser.parse_args()
    blocks = {"planning": planning_table()} if options.planning else tables(options.mean)
    for text in blocks.values():
        print(text, end="\n\n")
    PAGE.write_text(with_blocks(PAGE.read_text(), blocks))


if __name__ == "__main__":
    main()
