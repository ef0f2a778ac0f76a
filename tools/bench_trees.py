"""What benchmarks are held against and run by: trees out of the store and of wheels, and the layers' own Python."""

from __future__ import annotations

import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

import tomli

from tools.calls import ROOT, call
from tools.files import regular

PLATFORMS: Final = ("manylinux_2_17_x86_64", "manylinux2014_x86_64")


def download(folder: Path) -> list[Path]:
    """Download the wheels whose sources the layer is compiled from, by the recipes' own package URLs."""
    layer = tomli.loads((ROOT / "recipes/layers/cv.toml").read_text())["layer"]
    wanted = []
    for name in layer["packages"]:
        purl = tomli.loads((ROOT / f"recipes/packages/{name}.toml").read_text())["package"].get("purl", "")
        if purl.startswith("pkg:pypi/"):
            wanted.append(purl.removeprefix("pkg:pypi/").replace("@", "=="))
    # The host's pip: the environment of these programs has none.
    pip = [str(Path(sys.base_prefix, "bin", "python3")), "-m", "pip", "download", "--quiet", "--no-deps"]
    platforms = [f"--platform={platform}" for platform in PLATFORMS]
    target = ["--only-binary=:all:", "--python-version=3.11", f"--dest={folder}"]
    subprocess.run([*pip, *target, *platforms, *wanted], check=True)
    return sorted(folder.glob("*.whl"))


def unpacked(archives: list[Path], folder: Path) -> Path:
    """Unpack zips into one folder, with their links."""
    for archive in archives:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                path = Path(opened.extract(member, folder))
                if stat.S_ISLNK(member.external_attr >> 16):
                    target = path.read_text()
                    path.unlink()
                    path.symlink_to(target)
    return folder


def weight(tree: Path) -> int:
    """Sum the sizes of a tree's files."""
    return sum(path.stat().st_size for path in regular(tree))


def files(tree: Path) -> int:
    """Count a tree's files."""
    return sum(1 for _ in regular(tree))


def packed_like_zip(tree: Path, target: Path) -> int:
    """Pack a tree as `zip -9` would; give the size."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in regular(tree):
            archive.write(path, path.relative_to(tree))
    return target.stat().st_size


def held(layer: str) -> dict[str, str]:
    """Give where the store has each output that a layer is made of."""
    return {row["name"]: row["path"] for row in call("show", layer).result["derivations"]}


def python(layer: str = "cv") -> list[str]:
    """Give the command that starts the layer's own Python, with the libraries of the root that stands in for Lambda."""
    runtime = tomli.loads((ROOT / "recipes/layers" / f"{layer}.toml").read_text())["layer"]["runtime"]
    about = tomli.loads((ROOT / "recipes/runtimes" / f"{runtime}.toml").read_text())["runtime"]
    places = held(layer)
    root, home = (Path(places[name]) for name in (f"environment-{about['environment']}", about["package"]))
    return interpreted(root, home, about["python"])


def interpreted(root: Path, home: Path, version: str) -> list[str]:
    """Give the command that starts a Python in the folder `home` with a root's loader and libraries."""
    folders = [root / "lib/x86_64-linux-gnu", root / "usr/lib/x86_64-linux-gnu", home / "lib"]
    (loader,) = folders[0].glob("ld-[0-9]*.so")
    libraries = ":".join(str(folder) for folder in folders)
    return [str(loader), "--library-path", libraries, f"{home}/bin/python{version}"]
