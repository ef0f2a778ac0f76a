"""Invoke LambdaVision many times and write docs/lambdavision.md: ./nox -s soak

    ./nox -s soak                      ten thousand with the stub, a hundred real ones under the emulated processor
    ./nox -s soak -- --few             hundreds and none: writes nothing, fails where memory or time grow

Everything is measured by `layerlock invoke`, of which the page says the commands.
"""

from __future__ import annotations

import io
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "lambdavision.md"
GROWTH, SLOWDOWN = 1000.0, 1.5
"""Bytes for each invocation, and how many times as long: more is a leak, or a function that slows down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """What came of one run."""

    function: str
    times: int
    growth: float
    resident: tuple[int, int]
    first: float
    last: float
    cold: float

    @property
    def steady(self) -> bool:
        """Whether it neither leaks nor slows down."""
        return self.growth < GROWTH and self.last / self.first < SLOWDOWN


def main() -> int:
    """Run, judge, and write the page; the exit status says whether everything was steady."""
    few = "--few" in sys.argv
    options = [word for word in sys.argv[1:] if word != "--few"]
    plan = [("lambdavision-stub", 300)] if few else [("lambdavision-stub", 10_000), ("lambdavision", 100)]
    busy = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.jpg"
        image.write_bytes(picture())
        rows = []
        for function, times in plan:
            rows.append(measured(function, times, image, options))
            busy.append(os.getloadavg()[0])
    for row in rows:
        print(as_line(row))
    if not few:
        PAGE.write_text(page(PAGE.read_text(), rows, busy))
    return 0 if all(row.steady for row in rows) else 1


def picture() -> bytes:
    """Make a photograph's worth of colours, always the same."""
    image = Image.new("RGB", (640, 480))
    image.putdata([(x % 256, (x * 7 // 640) % 256, (x // 640) % 256) for x in range(640 * 480)])
    made = io.BytesIO()
    image.save(made, "JPEG")
    return made.getvalue()


def measured(function: str, times: int, image: Path, options: list[str]) -> Row:
    """Invoke a function and take what the command says of it."""
    command = [sys.executable, "-m", "layerlock", "--json", *options, "invoke", function, str(image)]
    done = subprocess.run(
        [*command, "--times", str(times)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    answer, found = result["answer"], result["steadiness"]
    assert (answer["classid"], answer["human"]) == (515, "cowboy hat"), answer
    return Row(
        function=function,
        times=times,
        growth=found["growth"],
        resident=(found["resident"][0], found["resident"][1]),
        first=found["first"],
        last=found["last"],
        cold=result["samples"][0]["seconds"],
    )


def as_line(row: Row) -> str:
    """Write a row of the table."""
    first, last = (size / 1e6 for size in row.resident)
    return (
        f"| {row.function} | {row.times:,} | {row.growth:+,.1f} | {first:.1f} | {last:.1f} | "
        f"{row.cold:.2f} | {row.first * 1e3:.2f} | {row.last * 1e3:.2f} |"
    )


def page(text: str, rows: list[Row], busy: list[float]) -> str:
    """Put the table into the page; `busy` are load averages before, between and after the runs."""
    head = [
        "| function | invocations | bytes resident for each | MB after the warm-up | MB in the end | "
        "s of the first | ms each at first | ms each in the end |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    when = f"{datetime.now(UTC):%B %Y}, {platform.machine()}, Linux {platform.release().split('-')[0]}"
    load = ", ".join(f"{each:.1f}" for each in busy)
    told = f"Measured in {when}, {os.cpu_count()} processors; load before, between and after: {load}."
    table = "\n".join((told, "", *head, *map(as_line, rows)))
    return re.sub(
        r"(<!-- generated: soak -->\n).*?(<!-- end -->)",
        lambda found: f"{found[1]}\n{table}\n\n{found[2]}",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    sys.exit(main())
