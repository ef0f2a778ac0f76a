"""Write the locks under requirements/ anew, with hashes, and no index named: ./nox -s requirements -- --upgrade

The wheels of the image of workers follow them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools import worker_pins

ROOT = Path(__file__).resolve().parent.parent
COMPILE = (
    *("uv", "pip", "compile", "--quiet", "--universal", "--python-version=3.11", "--generate-hashes"),
    *("--no-annotate", "--no-emit-index-url", "--custom-compile-command=./nox -s requirements"),
)
FOLLOW = "--constraints=requirements/dev.txt"
LOCKS: dict[str, tuple[str, ...]] = {
    # The widest first; the next four follow its versions.
    "dev": ("--group=dev", "pyproject.toml"),
    "nox": ("--group=nox", FOLLOW, "pyproject.toml"),
    "cluster": ("--group=cluster", FOLLOW, "pyproject.toml"),
    "driver": (FOLLOW, "pyproject.toml"),
    "docs": ("--group=docs", FOLLOW, "pyproject.toml"),
    # Apart from the others, and with nothing of the driver: what it pins contradicts them.
    "examples": ("--group=examples",),
}


def main() -> int:
    """Write every lock; arguments go to the two that follow no other."""
    uv = [str(Path(sys.executable).parent / COMPILE[0]), *COMPILE[1:]]
    for name, of in LOCKS.items():
        more = () if FOLLOW in of else tuple(sys.argv[1:])
        line = [*uv, *of, f"--output-file=requirements/{name}.txt", *more]
        subprocess.run(line, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    worker_pins.write(debian=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
