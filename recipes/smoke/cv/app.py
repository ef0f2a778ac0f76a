"""A handler that uses all of the layer: it solves, smooths and encodes."""

import base64

import cv2
import numpy
import scipy.ndimage


def handler(event, context):
    size = event["size"]
    system = numpy.diag(numpy.full(size, 2.0)) - numpy.eye(size, k=1)
    solved = numpy.linalg.solve(system, system @ numpy.arange(size))
    smooth = scipy.ndimage.gaussian_filter(numpy.outer(solved, solved), 1.0)
    picture = cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX).astype(numpy.uint8)
    encoded, png = cv2.imencode(".png", picture)
    decoded = cv2.imdecode(numpy.frombuffer(base64.b64decode(base64.b64encode(png)), numpy.uint8), cv2.IMREAD_GRAYSCALE)
    return {
        "last": round(float(solved[-1]), 6),
        "same": bool(encoded and numpy.array_equal(decoded, picture)),
        "function": context.function_name,
    }
