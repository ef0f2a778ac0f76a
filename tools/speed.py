"""Time what numpy, scipy and OpenCV compute, with layers' libraries and with the ready-made wheels'.

    python -m tools.speed NAME=TREE [NAME=TREE...]     trees as they stand below /opt; the first is the measure

Sizes decide between flags and libraries only where speed allows: this is the table that says so. Everything runs in one
thread and what counts is processor time, so that it can be told on a busy machine, too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.bench_trees import python
from tools.calls import table
from tools.cold_start import started

PROGRAM = """
import json, time
import cv2, numpy, scipy.fft, scipy.linalg, scipy.ndimage, scipy.signal, scipy.spatial.distance, scipy.special

cv2.setNumThreads(1)
random = numpy.random.default_rng(1)
square, other, half = random.random((1000, 1000)), random.random((1000, 1000)), random.random((400, 400))
single, symmetric, many = square.astype(numpy.float32), half + half.T, random.random(1_000_000)
points = random.random((1000, 20))
whole = random.integers(0, 1 << 30, 1_000_000)
photo = random.integers(0, 256, (1080, 1920, 3), numpy.uint8)
turn = cv2.getRotationMatrix2D((960, 540), 30, 1)
work = {
    "matrix product, 1000 x 1000": lambda: square @ other,
    "the same in single precision": lambda: single @ single,
    "solve, 1000 x 1000": lambda: numpy.linalg.solve(square, other[0]),
    "SVD, 400 x 400": lambda: numpy.linalg.svd(half),
    "eigenvalues and vectors, symmetric, 400 x 400": lambda: scipy.linalg.eigh(symmetric),
    "matrix times vector, 1000 x 1000": lambda: square @ many[:1000],
    "FFT, 1000 x 1000": lambda: scipy.fft.fft2(square),
    "sort a million": lambda: numpy.sort(many),
    "sort a million integers": lambda: numpy.sort(whole),
    "exp and sin of a million": lambda: numpy.sin(numpy.exp(many)),
    "clip a million": lambda: numpy.clip(many, 0.2, 0.8),
    "shuffle a million": lambda: random.permutation(1_000_000),
    "a sum of products of a million": lambda: (many * many + many).sum(),
    "erf of a million": lambda: scipy.special.erf(many),
    "resample 100,000 by 3 / 7": lambda: scipy.signal.resample_poly(many[:100_000], 3, 7),
    "distances of 1000 points, 20 dimensions": lambda: scipy.spatial.distance.cdist(points, points),
    "Gaussian filter, scipy, 1000 x 1000": lambda: scipy.ndimage.gaussian_filter(square, 2),
    "Gaussian filter, OpenCV, 1920 x 1080": lambda: cv2.GaussianBlur(photo, (5, 5), 0),
    "median filter, OpenCV": lambda: cv2.medianBlur(photo, 5),
    "resize to 640 x 360, by area": lambda: cv2.resize(photo, (640, 360), interpolation=cv2.INTER_AREA),
    "resize to 800 x 450, linear": lambda: cv2.resize(photo, (800, 450)),
    "turn by 30°": lambda: cv2.warpAffine(photo, turn, (1920, 1080)),
    "to grey": lambda: cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY),
    "write PNG": lambda: cv2.imencode(".png", photo[:270, :480]),
}

def least(once):
    once()
    times, until = [], time.perf_counter() + 0.3
    while len(times) < 3 or time.perf_counter() < until:
        began = time.process_time()
        once()
        times.append(time.process_time() - began)
    return min(times)

print(json.dumps({name: least(once) for name, once in work.items()}))
"""


def speeds(interpreter: Sequence[str], trees: Mapping[str, Path]) -> str:
    """Time each operation in one process for each tree; a table of milliseconds, and of the first tree's ratios.

    `interpreter` is loader, option, libraries and program, as `bench` gives it. The least of an operation's times
    counts.
    """
    took = {name: _measure(interpreter, tree) for name, tree in trees.items()}
    first, *others = took
    rows = [("ms", *took, *(f"{first} / {name}" for name in others))]
    for work in took[first]:
        times = (f"{each[work] * 1e3:.2f}" for each in took.values())
        rows.append((work, *times, *(f"{took[first][work] / took[name][work]:.2f}" for name in others)))
    return table(*rows)


def _measure(interpreter: Sequence[str], tree: Path) -> dict[str, float]:
    command, variables = started(interpreter, tree)
    variables["OPENBLAS_NUM_THREADS"] = (
        "1"  # of the wheels' BLAS, which takes all processors unless told not to
    )
    done = subprocess.run(
        [*command, "-c", PROGRAM], env=variables, check=True, capture_output=True, text=True
    )
    took: dict[str, float] = json.loads(done.stdout)
    return took


def main() -> int:
    """Time the trees of the command line."""
    trees = dict(each.split("=", 1) for each in sys.argv[1:])
    print(speeds(python(), {name: Path(tree) for name, tree in trees.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
