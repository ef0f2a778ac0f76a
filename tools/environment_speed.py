"""Make an environment in turn with mmdebstrap, from the same packages in a local mirror; give times and ratios.

    python -m tools.environment_speed ~/.cache/layerlock bullseye --pairs 3

Needs mmdebstrap (Debian's package), and root, with which it makes folders without user namespaces. Ours is the whole
way from cached packages to a tree in a store: unpacked, normalised, hashed, synced; but for the few
links that the recipe adds. Each is a process of its own. It is also the section `environment` of `tools.bench`.

The last column is what no way of making the tree can go below: dpkg-deb decompressing the same packages into nothing,
the largest first, one on each processor.

Folders are removed at the end of all: ext4 looks through inodes that were freed in the last half minute whenever it
wants a new one, which made the second of two pairs slower by seconds.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from layerlock.io.archives import unpack_debs
from layerlock.store.local import LocalStore
from tools.calls import ROOT, table
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
    if lacking := missing():
        sys.exit(f"{lacking}: nothing to compare with")
    folder = Path(tempfile.mkdtemp(prefix="layerlock-speed-"))
    try:
        print(measure(chosen.store.absolute(), chosen.environment, chosen.pairs, folder))
    finally:
        remove(folder)
    return 0


def missing() -> str:
    """Say what a comparison lacks on this machine; empty for nothing."""
    if shutil.which("mmdebstrap") is None:
        return "mmdebstrap is not installed"
    return "" if os.geteuid() == 0 else "mmdebstrap needs root here"


def measure(store: Path, environment: str, pairs: int, folder: Path) -> str:
    """Time both in turn, the packages in the page cache; give a table and the median of the ratios."""
    line = make_mirror(store, environment, folder / "mirror")
    names = ",".join(packages(environment))
    theirs = ["mmdebstrap", "--quiet", "--variant=extract", "--mode=root", f"--include={names}", "bullseye"]
    ours = [sys.executable, "-m", "tools.environment_speed", str(store), environment, "--into"]
    rows: list[tuple[str, ...]] = [
        ("", "mmdebstrap, s", "of processors", "layerlock, s", "of processors", "ratio", "dpkg-deb, s")
    ]
    ratios, least = [], []
    debs = sorted(held(store, environment), key=lambda path: path.stat().st_size, reverse=True)
    decompress = ["xargs", "-P", str(os.cpu_count()), "-n", "1", "dpkg-deb", "--fsys-tarfile"]
    for number in range(1, pairs + 1):
        taken = [
            timed([*theirs, str(folder / f"theirs-{number}"), line]),
            timed([*ours, str(folder / f"ours-{number}")]),
        ]
        ratios.append(taken[1][0] / taken[0][0])
        alone, _ = timed(decompress, "\n".join(map(str, debs)))
        least.append(alone / taken[0][0])
        spent = (f"{took:.1f}" for pair in taken for took in pair)
        rows.append((str(number), *spent, f"{ratios[-1]:.2f}", f"{alone:.1f}"))
    told = (
        f"{len(debs)} packages; the median ratio is {statistics.median(ratios):.2f},"
        f" and {statistics.median(least):.2f} would be that of decompressing alone"
    )
    return f"`{environment}`, {told}.\n\n{table(*rows)}"


def assemble(store: Path, environment: str, folder: Path) -> str:
    """Make an environment's tree in a new store from the packages in another; give its hash."""
    target = LocalStore(folder)
    with target.scratch(environment) as scratch:
        unpack_debs(held(store, environment), scratch / "tree")
        made = target.add_tree(scratch / "tree", environment, many=True)
    target.settle()
    return made.sri


def held(store: Path, environment: str) -> list[Path]:
    """Give where a store has an environment's packages, in their order."""
    files = {path.name[:64]: path for path in (store / "files").iterdir()}
    return [files[sha256] for sha256 in packages(environment).values()]


def timed(command: list[str], told: str = "") -> tuple[float, float]:
    """Run a command with words on its standard input.

    Gives its wall time, and the time of processors that it and its children took, in seconds.
    """
    os.sync()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT, input=told, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    sys.exit(main())
