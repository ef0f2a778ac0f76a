"""A mirror of Debian packages in a folder, made from a store, for programs that only take packages from a mirror.

    python -m tools.deb_mirror ~/.cache/layerlock bullseye FOLDER

The index has no dependencies: the environment's own list of packages is what is compared, and it is closed already.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import tomli

from tools.calls import ROOT

LEFT_OUT = ("depends", "pre-depends", "recommends", "suggests", "conflicts", "breaks", "replaces", "provides")


def main() -> int:
    """Make the mirror and print its line for apt."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("store", type=Path)
    options.add_argument("environment")
    options.add_argument("folder", type=Path)
    chosen = options.parse_args()
    print(make_mirror(chosen.store, chosen.environment, chosen.folder.absolute()))
    return 0


def packages(environment: str) -> dict[str, str]:
    """Give the sha256 of each of an environment's packages, by name, in the order in which they are unpacked."""
    listed = tomli.loads((ROOT / "recipes/environments" / f"{environment}.debs.toml").read_text())["debs"]
    return {deb["name"]: deb["sha256"] for deb in listed}


def make_mirror(store: Path, environment: str, folder: Path) -> str:
    """Copy an environment's packages into a folder and write an index; give the line for apt's sources."""
    held = {path.name[:64]: path for path in (store / "files").iterdir()}
    folder.mkdir(parents=True)
    index = []
    for name, sha256 in packages(environment).items():
        place = folder / f"{name}.deb"
        shutil.copyfile(held[sha256], place)
        control = subprocess.run(["dpkg-deb", "-f", place], check=True, capture_output=True, text=True).stdout
        index.append(
            f"{_without(control)}Filename: ./{place.name}\nSize: {place.stat().st_size}\nSHA256: {sha256}\n"
        )
    (folder / "Packages").write_text("\n".join(index))
    return f"deb [trusted=yes] copy:{folder} ./"


def _without(control: str) -> str:
    """Leave fields, with the lines that continue them, out of a package's description."""
    kept, keeping = [], True
    for line in control.splitlines():
        if not line.startswith(" "):
            keeping = line.partition(":")[0].lower() not in LEFT_OUT
        if keeping:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)


if __name__ == "__main__":
    sys.exit(main())
