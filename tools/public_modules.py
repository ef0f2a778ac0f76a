"""List the public modules of wheels, as the smoke tests of a layer import them.

    python tools/public_modules.py WHEEL... > recipes/smoke/cv/modules.txt

A module is public if no part of its name starts with an underscore and it is no test. What a layer must be able
to import is thus read from the wheels that people would have used in its place, not from the layer itself.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import PurePosixPath

TESTS = frozenset({"tests", "test", "conftest"})
BUILD = frozenset({"setup"})
"""Scripts of numpy.distutils that lie in some packages: they build, and are not meant to be imported."""


def module_name(path: str) -> str | None:
    """Give the name of the module that a wheel's file is, or None."""
    parts = PurePosixPath(path).parts
    stem, _, rest = parts[-1].partition(".")
    if rest != "py" and not rest.endswith("so"):
        return None
    names = parts[:-1] if stem == "__init__" else (*parts[:-1], stem)
    if parts[0].endswith((".libs", ".data", ".dist-info")) or any(not name.isidentifier() for name in names):
        return None
    hidden = any(name.startswith("_") or name in TESTS for name in names) or names[-1] in BUILD
    return None if hidden or not names else ".".join(names)


def public_modules(wheel: str) -> set[str]:
    """Give the public modules of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for path in archive.namelist() if (name := module_name(path)) is not None}


def main() -> None:
    """Write the modules of all the wheels on the command line, sorted, one a line."""
    wheels = sys.argv[1:]
    print(f"# Public modules of {', '.join(sorted(PurePosixPath(w).name for w in wheels))};")
    print("# written by tools/public_modules.py.")
    for name in sorted(set().union(*(public_modules(wheel) for wheel in wheels))):
        print(name)


if __name__ == "__main__":
    main()
