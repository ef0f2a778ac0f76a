"""Writes weights of SqueezeNet 1.1 that know one answer: usage: make.py FILE

The weights are drawn from a seeded generator, and the bias of class 515, "cowboy hat", is raised to 9. So the
network is the real one and takes its real time, and whatever it is shown, the answer is known. Only the standard
library is used, and only what gives the same numbers on every machine: Python's Mersenne Twister, and arithmetic that
IEEE 754 fixes.
"""

from __future__ import annotations

import json
import math
import random
import struct
import sys
from pathlib import Path

COWBOY_HAT, RAISED = 515, 9.0
# Number of the layer within `features`: channels in, channels of the squeeze, channels of each expansion.
FIRES = {
    3: (64, 16, 64),
    4: (128, 16, 64),
    6: (128, 32, 128),
    7: (256, 32, 128),
    9: (256, 48, 192),
    10: (384, 48, 192),
    11: (384, 64, 256),
    12: (512, 64, 256),
}


def convolutions() -> list[tuple[str, int, int, int]]:
    """Give every convolution in order: name, channels in, channels out, width of the window."""
    found = [("features.0", 3, 64, 3)]
    for number, (inside, squeezed, expanded) in FIRES.items():
        name = f"features.{number}"
        found += [
            (f"{name}.squeeze", inside, squeezed, 1),
            (f"{name}.expand1x1", squeezed, expanded, 1),
            (f"{name}.expand3x3", squeezed, expanded, 3),
        ]
    return [*found, ("classifier.1", 512, 1000, 1)]


def model() -> bytes:
    """Give the weights as a .safetensors file."""
    draw = random.Random(COWBOY_HAT).random  # noqa: S311 - a known answer is the point
    header: dict[str, object] = {}
    body = bytearray()

    def add(name: str, shape: list[int], values: list[float]) -> None:
        begin = len(body)
        body.extend(struct.pack(f"<{len(values)}f", *values))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, len(body)]}

    for name, inside, outside, width in convolutions():
        last = name == "classifier.1"
        # He's bound, which keeps the size of what passes through; the last one shall not outweigh the bias.
        bound = 0.002 if last else math.sqrt(6 / (inside * width * width))
        count = outside * inside * width * width
        add(
            f"{name}.weight",
            [outside, inside, width, width],
            [(2 * draw() - 1) * bound for _ in range(count)],
        )
        biases = [0.0] * outside
        if last:
            biases[COWBOY_HAT] = RAISED
        add(f"{name}.bias", [outside], biases)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(body)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(model())
