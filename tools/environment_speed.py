"""Make an environment in turn with mmdebstrap, from the same packages in a local mirror; print times and ratios.

    python -m tools.environment_speed ~/.cache/layerlock bullseye --pairs 3

Needs mmdebstrap (Debian's package), and root, with which it makes folders without user namespaces. Ours is the whole
way from cached packages to a tree in a store: unpacked, normalised, hashed, synced; but for the few
links that the recipe adds. Each is a process of its own.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from layerlock.io.archives import unpack_debs
from layerlock.store.local import LocalStore
from tools.calls import ROOT, table, this_machine
from tools.deb_mirror import make_mirror, packages
from tools.files import remove


def main() -> int:
    """Measure, or make one environment where a measurement asks for it."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("store", type=Path)
    options.add_argument("environment")
    options.add_argument("--pairs", type=int, default=3)
    options.add_argument("--into", type=Path, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.into:
        print(assemble(chosen.store, chosen.environment, chosen.into))
        return 0
    folder = Path(tempfile.mkdtemp(prefix="layerlock-speed-"))
    try:
        measure(chosen.store.absolute(), chosen.environment, chosen.pairs, folder)
    finally:
        remove(folder)
    return 0


def measure(store: Path, environment: str, pairs: int, folder: Path) -> None:
    """Time both in turn, the packages in the page cache."""
    line = make_mirror(store, environment, folder / "mirror")
    names = ",".join(packages(environment))
    theirs = ["mmdebstrap", "--quiet", "--variant=extract", "--mode=root", f"--include={names}", "bullseye"]
    ours = [sys.executable, "-m", "tools.environment_speed", str(store), environment, "--into"]
    rows = [("", "mmdebstrap, s", "of processors", "layerlock, s", "of processors", "ratio")]
    ratios = []
    for number in range(pairs):
        wall, processor = timed([*theirs, str(folder / f"theirs-{number}"), line])
        own_wall, own_processor = timed([*ours, str(folder / f"ours-{number}")])
        remove(folder / f"theirs-{number}")
        remove(folder / f"ours-{number}")
        ratios.append(own_wall / wall)
        rows.append(
            (
                str(number + 1),
                f"{wall:.1f}",
                f"{processor:.1f}",
                f"{own_wall:.1f}",
                f"{own_processor:.1f}",
                f"{ratios[-1]:.2f}",
            )
        )
    print(f"{environment}, on {this_machine()}; median ratio {statistics.median(ratios):.2f}\n")
    print(table(*rows))


def assemble(store: Path, environment: str, folder: Path) -> str:
    """Make an environment's tree in a new store from the packages in another; give its hash."""
    held = {path.name[:64]: path for path in (store / "files").iterdir()}
    target = LocalStore(folder)
    with target.scratch(environment) as scratch:
        unpack_debs([held[sha256] for sha256 in packages(environment).values()], scratch / "tree")
        return target.add_tree(scratch / "tree", environment).sri


def timed(command: list[str]) -> tuple[float, float]:
    """Run a command; give its wall time, and the time of processors that it and its children took, in seconds."""
    os.sync()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
