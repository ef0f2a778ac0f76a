"""Build a layer twice from nothing, as differently as one machine allows, and compare everything.

    ./nox -s prove                         the layer cv, in a temporary folder
    ./nox -s prove -- --folder DIR         keep stores, events and zips there
    ./nox -s prove -- --layer NAME
    ./nox -s prove -- --at-once            the second build begins a minute after the first, which saves time

The two builds have empty stores, other folders (the recipes' and the store's), another number of jobs, and begin
at different times: the second one when the first has ended, unless told otherwise. What the lock records is taken
out of both copies, so that nothing is stopped early or taken for granted; it is compared at the end. Writes
docs/reproducibility.md for the layer cv.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import tomli
import tomli_w

from tools.calls import ROOT, Called, call, table, this_machine

PAGE = ROOT / "docs" / "reproducibility.md"
FOLDERS = ("one", "another/and deeper/still")
# Smoke tests are no part of a layer: what they leave is how long they took.
UNCOMPARED = "-smoke"


APART = 60.0
"""Seconds between the beginnings of two builds at once."""


def main() -> int:
    """Build twice and compare; give the exit status."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--layer", default="cv")
    options.add_argument("--folder", type=Path)
    options.add_argument("--at-once", action="store_true")
    chosen = options.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="layerlock-prove-"))
    with ThreadPoolExecutor(2) as pool:
        waiting = []
        for jobs, place in enumerate(FOLDERS, start=1):
            waiting.append(pool.submit(build, chosen.layer, folder / place, jobs))
            wait(waiting, timeout=APART if chosen.at_once else None)
        builds = [one.result() for one in waiting]
    rows, same = compare(chosen.layer, builds)
    page = written(chosen.layer, builds, rows, same=same)
    print(page)
    if chosen.layer == "cv" and same:
        PAGE.write_text(page)
    if chosen.folder is None:
        remove(folder)
    return 0 if same else 1


def build(layer: str, folder: Path, jobs: int) -> Called:
    """Build a layer from nothing: a copy of the recipes without records, and an empty store."""
    if folder.exists():
        remove(folder)
    repository = folder / "recipes and locks"
    repository.mkdir(parents=True)
    for name in ("recipes", "patches", "lockfiles"):
        shutil.copytree(ROOT / name, repository / name, symlinks=True)
    path = repository / "lockfiles" / f"{layer}.lock"
    lock = tomli.loads(path.read_text())
    lock.pop("zip", None)
    for derivation in lock["derivations"]:
        derivation.pop("output", None)
    path.write_text(tomli_w.dumps(lock))
    store, out = folder / "store", folder / "out"
    places = ("--repo", str(repository), "--store", str(store))
    print(f"{layer}, {jobs} job(s), in {folder}", file=sys.stderr)
    return call(
        *places, "build", layer, "--jobs", str(jobs), "--out", str(out), events=folder / "events.jsonl"
    )


def outputs(built: Called) -> dict[str, str]:
    """Give every derivation's output; nothing may come from an earlier build."""
    assert not built.of("BuildReused"), "an empty store reused something"
    return {event["name"]: event["output"] for event in built.of("BuildFinished")}


def compare(layer: str, builds: list[Called]) -> tuple[list[tuple[str, ...]], bool]:
    """Compare the outputs of both builds and of the lock, and the zips; give a table's rows and the verdict."""
    lock = tomli.loads((ROOT / "lockfiles" / f"{layer}.lock").read_text())
    locked = {derivation["name"]: derivation.get("output", "") for derivation in lock["derivations"]}
    one, other = (outputs(built) for built in builds)
    rows: list[tuple[str, ...]] = []
    compared: list[bool] = [one.keys() == other.keys()]
    for name, recorded in locked.items():
        # What the layer's build did not need was built by neither, such as packages of other layers.
        if not name.endswith(UNCOMPARED) and (name in one or name in other):
            rows.append(row(name, one.get(name, "not built"), other.get(name, "not built"), recorded))
            compared.append(one.get(name) == other.get(name) == recorded)
    zipped, again = (digest(Path(built.result["path"])) for built in builds)
    recorded = lock.get("zip", {}).get("sha256", "")
    rows.append(row(f"dist/{layer}.zip", zipped, again, recorded))
    return rows, all(compared) and zipped == again == recorded


def row(name: str, one: str, other: str, recorded: str) -> tuple[str, ...]:
    """Write one line of the comparison."""
    if one != other:
        return (f"`{name}`", f"`{one}`", f"**differs**: `{other}`")
    standing = "the same, and as recorded" if one == recorded else "the same, **not as recorded**"
    return (f"`{name}`", f"`{one}`", standing)


def written(layer: str, builds: list[Called], rows: list[tuple[str, ...]], *, same: bool) -> str:
    """Write the page."""
    about: list[tuple[str, ...]] = [("", "first build", "second build")]
    times = [(built.events[0]["time"], built.events[-1]["time"]) for built in builds]
    about.append(("began (UTC)", *(began for began, _ in times)))
    about.append(("ended (UTC)", *(ended for _, ended in times)))
    about.append(("jobs", "1", "2"))
    about.append(("folder", *(f"`.../{place}`" for place in FOLDERS)))
    finding = "Everything came out the same." if same else "**Not everything came out the same.**"
    return "\n".join(
        (
            "# Built twice",
            "",
            f"<!-- Written by `./nox -s prove`. -->\n\nThe layer `{layer}` was built twice from empty stores, in"
            " different folders, begun at different times, with one job and with two. Nothing was shared between the"
            f" builds but the driver and the machine: {this_machine()}.",
            "",
            finding,
            "",
            table(*about),
            "Each output is named by the sha256 of its NAR serialisation, as `layerlock hash` and `nix hash path`"
            " compute it; the zip by the sha256 of the file. The lock's records were taken out of the copies that were"
            " built, and compared afterwards. The smoke tests ran in both builds; their output holds how long they"
            " took, is no part of the layer, and is not compared.",
            "",
            table(("derivation", "output of the first build", "second build and lock"), *rows),
        )
    )


def digest(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(folder: Path) -> None:
    """Remove a folder that holds a store, whose folders are read-only."""
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
