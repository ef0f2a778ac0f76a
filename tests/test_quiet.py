"""What is measured on a noisy machine is not written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.bench import write_blocks
from tools.quiet import LIMIT, TooNoisy, calibrate, noise

QUIET = [(0.040 + 0.0001 * number, 0.040) for number in range(20)]
UNEVEN = [*QUIET[:15], *[(0.080, 0.040)] * 5]
EVENLY_SLOWED = [(0.120, 0.040)] * 20


def test_noise_is_the_slower_rounds_over_the_best_one() -> None:
    """A load that slows all rounds alike counts, though their times do not differ; a single slow one does not."""
    assert noise(QUIET) == pytest.approx(0.045)
    assert noise(UNEVEN) == pytest.approx(1.0)
    assert noise(EVENLY_SLOWED) == pytest.approx(2.0)
    assert noise([*QUIET, (5.0, 0.040)]) < LIMIT


def test_too_few_rounds_tell_nothing() -> None:
    with pytest.raises(ValueError, match="3 rounds"):
        noise(QUIET[:3])


def test_a_page_is_written_on_a_quiet_machine_alone(tmp_path: Path) -> None:
    """And on a noisy one the old page stays, and the message says what to do."""
    page = tmp_path / "benchmarks.md"
    page.write_text("Prose.\n<!-- measured: sizes -->\n<!-- end -->\n")
    write_blocks({"sizes": "first"}, page, lambda: QUIET)
    before = page.read_text()
    assert before == "Prose.\n<!-- measured: sizes -->\n\nfirst\n\n<!-- end -->\n"
    for rounds in (UNEVEN, EVENLY_SLOWED):
        with pytest.raises(TooNoisy, match=r"100%|200%") as caught:
            write_blocks({"sizes": "second"}, page, lambda rounds=rounds: rounds)  # type: ignore[misc] # bound at once
        assert "Nothing was written" in str(caught.value)
        assert page.read_text() == before


def test_a_busy_machine_is_noisy() -> None:
    """For real: with two programs on each processor that do nothing but run."""
    busy = [
        sys.executable,
        "-c",
        "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass",
    ]
    programs = [subprocess.Popen(busy) for _ in range(2 * len(os.sched_getaffinity(0)))]
    try:
        assert noise(calibrate(20)) > LIMIT
    finally:
        for program in programs:
            program.kill()
            program.wait()
