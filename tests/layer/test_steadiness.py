"""Slopes of memory and time, on series whose slope is known."""

from __future__ import annotations

import pytest

from layerlock.layer.steadiness import Sample, steadiness


def series(count: int, grows: float = 0.0, slows: float = 0.0) -> list[Sample]:
    """Make samples every tenth invocation, with a warm-up that is no growth."""
    return [
        Sample(
            invocation=10 * index + 1,
            seconds=0.002 + slows * index,
            resident=int(30e6 + grows * 10 * index) - (20_000_000 if index == 0 else 0),
        )
        for index in range(count)
    ]


def test_what_is_steady_has_no_slope() -> None:
    found = steadiness(series(100))
    assert found is not None
    assert found.growth == pytest.approx(0, abs=1e-6)
    assert found.slowdown == pytest.approx(1)
    assert found.resident == (30_000_000, 30_000_000)


def test_a_leak_has_its_bytes_for_each_invocation() -> None:
    found = steadiness(series(100, grows=512))
    assert found is not None
    assert found.growth == pytest.approx(512, rel=1e-3)


def test_what_slows_down_is_seen() -> None:
    found = steadiness(series(100, slows=0.0001))
    assert found is not None
    assert found.slowdown > 2


@pytest.mark.parametrize("count", [0, 1, 6])
def test_too_few_samples_are_not_judged(count: int) -> None:
    assert steadiness(series(count)) is None
