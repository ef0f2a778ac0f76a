"""`python -m layerlock` is the command `layerlock`."""

from __future__ import annotations

import sys

from layerlock.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
