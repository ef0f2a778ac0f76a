"""What the patch replaces gives scipy's own results; what it leaves to scipy says that scipy is missing."""

import math
import sys
from pathlib import Path

import numpy
import torch
from fastai.basic_train import Recorder
from fastai.vision.transform import brightness, logit

rows = [line.split() for line in Path(sys.argv[1]).read_text().splitlines() if not line.startswith("#")]
assert len(rows) > 40
worst = 0.0
# scipy computes log(p / (1 - p)); a unit in the last place of each logarithm is what they may be apart.
with numpy.errstate(all="raise"):
    for argument, expected in ([float.fromhex(text) for text in row] for row in rows):
        found = float(logit(argument))
        if math.isnan(expected):
            assert math.isnan(found), (argument, found)
        elif math.isinf(expected):
            assert found == expected, (argument, found)
        else:
            apart = abs(found - expected) / max(1.0, abs(expected))
            assert apart <= 4.5e-16, (argument, found, expected)
            worst = max(worst, apart)
print(f"logit: {len(rows)} values, at most {worst:.2g} apart")

arguments = numpy.array([float.fromhex(argument) for argument, _ in rows])
assert numpy.array_equal(logit(arguments), [logit(argument) for argument in arguments], equal_nan=True)

# As the transformation of a picture: 0.5 changes nothing, and the change is added to every pixel.
pixels = torch.zeros(3, 2, 2)
assert torch.equal(brightness.func(pixels.clone(), 0.5), pixels)
assert torch.allclose(brightness.func(pixels.clone(), 0.6), torch.full((3, 2, 2), math.log(0.6 / 0.4)))

try:
    Recorder.smoothen_by_spline(None, [3.0, 2.0, 1.0])
except ImportError as error:
    assert error.name == "scipy", error
else:
    raise AssertionError("a spline without scipy")
