"""What scale is measured with: the graph, the page, and a real scheduler with workers whose builds sleep."""

from __future__ import annotations

import pytest

from layerlock.plan.priority import Cost, first_to_last
from tools.blocks import with_blocks
from tools.scale import COUNT, PAGE, WORKERS, graph
from tools.schedules import bound, list_schedule


def test_the_graph_is_the_same_every_time() -> None:
    one, other = graph(200, 0.1), graph(200, 0.1)
    assert one.plan.planned == other.plan.planned
    assert one.seconds == other.seconds
    assert sum(one.seconds.values()) == pytest.approx(20)
    median = sorted(one.seconds.values())[100]
    assert max(one.seconds.values()) > 10 * median


def test_its_shape_lets_a_list_schedule_come_close_to_the_bound() -> None:
    """What is lost in a measurement is the scheduler's then."""
    made = graph(COUNT, 0.1)
    costs = {name: Cost(seconds=each, memory=0) for name, each in made.seconds.items()}
    order = first_to_last(made.derivations, costs)
    for workers in WORKERS:
        least = bound(made.derivations, made.seconds, workers)
        assert list_schedule(made.derivations, made.seconds, order, workers) < 1.02 * least


def test_prose_stays_and_every_block_of_the_page_is_measured() -> None:
    blocks = {name: f"new {name}" for name in ("machine", "planning", "overhead", "makespan", "placement")}
    page = with_blocks(PAGE.read_text(), blocks)
    assert page.count("<!-- measured: ") == len(blocks)
    assert all(text in page for text in blocks.values())
    assert with_blocks(page, blocks) == page
    assert page.startswith("# Scale\n")


@pytest.mark.long
def test_a_real_scheduler_runs_builds_that_sleep() -> None:
    from tools.sleepers import at_home, cluster, makespan  # noqa: PLC0415 - Dask takes long to load

    made = graph(150, 0.05)
    with cluster(2, offers="cores=1") as client:
        took = makespan(client, made.derivations, made.plan.planned, made.seconds, made.priority)
        assert bound(made.derivations, made.seconds, 2) <= took < sum(made.seconds.values()) * 2
        assert 0 < at_home(client, 10, 1 << 30, stated=True) <= 1
