"""Writes the table of scipy's logit that fastai's smoke tests hold its replacement against.

It runs in an environment of its own, apart from the driver's:

    python3 -m venv DIR && DIR/bin/pip install scipy==1.10.1 numpy==1.24.4
    DIR/bin/python tools/logit_table.py > recipes/smoke/fastai/logit.txt
"""

from __future__ import annotations

import importlib
import sys

EDGES = (
    *("-inf", "-1.0", "-5e-324", "-0.0", "0.0", "1.0", "1.0000000000000002", "2.0", "inf", "nan"),
    *("5e-324", "1e-320", "2.225073858507201e-308", "2.2250738585072014e-308", "1e-300"),
    *("1.1102230246251565e-16", "1e-08", "0.001", "0.1", "0.25", "0.3", "0.7", "0.75", "0.9", "0.999"),
    *("0.49999999999999994", "0.5000000000000001", "0.9999999999999999"),
)
"""Outside of the domain, its ends and their neighbours, denormal numbers, and the middle's neighbours."""

BETWEEN = tuple(str(i / 100) for i in range(40, 61))
"""What fastai's default change of brightness draws from."""


def main() -> None:
    """Print the table: the argument and scipy's result, both exact."""
    scipy, special = importlib.import_module("scipy"), importlib.import_module("scipy.special")
    numpy = importlib.import_module("numpy")
    sys.stdout.write(
        f"# scipy.special.logit of scipy {scipy.__version__} (numpy {numpy.__version__}), "
        "as tools/logit_table.py writes it:\n"
        "# argument and result, in hexadecimal.\n"
    )
    for text in (*EDGES, *BETWEEN):
        argument = float(text)
        sys.stdout.write(f"{argument.hex()} {float(special.logit(argument)).hex()}\n")


if __name__ == "__main__":
    main()
