"""OpenCV resizes, filters, and writes and reads PNG; its build information tells nothing of the build machine.

Argument: a file with `module: version` lines.
"""

import sys

import cv2
import numpy

with open(sys.argv[1], encoding="utf-8") as file:
    versions = dict(line.strip().split(": ") for line in file)
assert cv2.__version__ == versions["cv2"], cv2.__version__
ramp = numpy.tile(numpy.arange(256, dtype=numpy.uint8), (64, 1))
image = numpy.dstack([ramp, ramp[:, ::-1], numpy.full_like(ramp, 7)])

half = cv2.resize(image, (128, 32), interpolation=cv2.INTER_AREA)
assert half.shape == (32, 128, 3)
# Each pixel is the mean of 2 x 2: of 2k and 2k + 1, rounded.
assert numpy.abs(half[0, :, 0].astype(int) - (2 * numpy.arange(128) + 0.5)).max() <= 0.5

encoded, data = cv2.imencode(".png", half)
assert encoded and data[:8].tobytes() == b"\x89PNG\r\n\x1a\n"
assert numpy.array_equal(cv2.imdecode(data, cv2.IMREAD_COLOR), half)

gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
assert cv2.GaussianBlur(numpy.full((9, 9), 50, numpy.uint8), (5, 5), 0).min() == 50
assert cv2.Canny(gray, 50, 150).shape == gray.shape
found, contours = cv2.connectedComponents((numpy.eye(8) > 0).astype(numpy.uint8))
assert found == 2 and contours.shape == (8, 8)
turned = cv2.warpAffine(image, cv2.getRotationMatrix2D((128, 32), 180, 1), (256, 64))
assert turned.shape == image.shape

information = cv2.getBuildInformation()
print(information)
assert "PNG" in information and "/build/" not in information and "/deps/" not in information
moments = [line.split()[-1] for line in information.splitlines() if "Timestamp:" in line]
assert moments == ["1980-01-01T00:00:00Z"], moments
print("images agree")
