"""Measure sizes and times of the layer cv, and write them into docs/benchmarks.md.

    ./nox -s bench                                everything; builds cv once from an empty store
    ./nox -s bench -- --events FILE               take the driver's share from the events of an earlier build
    ./nox -s bench -- --only sizes imports        these alone; what else the page holds stays

Run it on a machine with nothing else to do: on one that is too noisy (see `quiet`), it ends without writing. Sizes
are compared with the ready-made wheels of the same versions, which pip downloads; import times are taken with the
layer's own Python from the store.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from layerlock.io.nar import nar_sha256
from tools import bench_choices, cold_start, environment_speed
from tools.bench_trees import download, files, held, packed_like_zip, python, unpacked, weight
from tools.blocks import with_blocks
from tools.calls import LAYERLOCK, ROOT, Called, call, megabytes, read_events, table, this_machine
from tools.cold_start import SITE
from tools.files import digest, remove
from tools.quiet import Round, calibrate, require_quiet
from tools.speed import speeds

PAGE = ROOT / "docs" / "benchmarks.md"
LAYERS = ("cv", "cv-small", "cv-atlas")
NO_OPS, HASHES, PAIRS = 11, 11, 3


def main() -> int:
    """Measure what is asked for and write it into the page."""
    sections: dict[str, Callable[[Subject], str]] = {
        "sizes": sizes,
        "nothing-to-do": nothing_to_do,
        "share": share,
        "environment": environment,
        "imports": imports,
        "init": init,
        "speed": speed,
        "bytecode": lambda subject: bench_choices.bytecode(subject.folder / "choices"),
        "packing": lambda subject: bench_choices.compressors(subject.trees["cv"], subject.folder / "packed"),
        "hashing": hashing,
    }
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--events", type=Path, help="events of a build from an empty store")
    options.add_argument(
        "--only",
        nargs="+",
        choices=sections,
        default=list(sections),
        metavar="NAME",
        help=", ".join(sections),
    )
    chosen = options.parse_args()
    # A section without a place in the page is told now, not after an hour.
    with_blocks(PAGE.read_text(), dict.fromkeys(chosen.only, ""))
    with temporary() as folder:
        subject = Subject(folder=folder, events=chosen.events)
        blocks = {}
        for name in chosen.only:
            require_quiet(f"before the section {name}")
            blocks[name] = f"{sections[name](subject).rstrip()}\n\n{provenance()}"
            print(f"{name}\n\n{blocks[name]}\n", flush=True)
    write_blocks(blocks)
    return 0


def write_blocks(
    blocks: Mapping[str, str], place: Path = PAGE, measure: Callable[[], Sequence[Round]] = calibrate
) -> None:
    """Write what was measured, if the machine is quiet to the end.

    Raises:
        TooNoisy: it is not, and what was measured last is worth nothing.
    """
    require_quiet("after the last measurement", measure)
    place.write_text(with_blocks(place.read_text(), blocks))


def provenance() -> str:
    """Say by which revision and on what a section was measured."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    revision = subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
    return f"*Measured at {revision} on {this_machine()}.*"


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What sections measure, made when the first of them asks for it.

    `folder` is for what is made; `events` those of a build of cv from an empty store, if there was one.
    """

    folder: Path
    events: Path | None

    @cached_property
    def built(self) -> dict[str, dict[str, Any]]:
        """Give the result of a build of each layer."""
        return {name: call("build", name).result for name in LAYERS}

    @cached_property
    def wheels(self) -> list[Path]:
        """Give the ready-made wheels of the same versions."""
        return download(self.folder / "wheels")

    @cached_property
    def trees(self) -> dict[str, Path]:
        """Give what each layer's zip holds, unpacked, and the wheels as such a tree."""
        trees = {
            name: unpacked([Path(result["path"])], self.folder / name) for name, result in self.built.items()
        }
        wheels = unpacked(self.wheels, self.folder / "unpacked" / SITE)
        return {**trees, "wheels": wheels.parents[len(Path(SITE).parts) - 1]}

    @cached_property
    def interpreter(self) -> list[str]:
        """Give the command that starts the layers' own Python."""
        return python()


def sizes(subject: Subject) -> str:
    """Weigh the layers, and the wheels, which are packed as `zip -9` would."""
    packed = packed_like_zip(subject.trees["wheels"], subject.folder / "wheels.zip")
    weighed = {name: (result["unzipped"], result["size"]) for name, result in subject.built.items()}
    weighed["wheels"] = (weight(subject.trees["wheels"]), packed)
    rows = [
        (name if name == "wheels" else f"`{name}`", *map(megabytes, both), str(files(subject.trees[name])))
        for name, both in weighed.items()
    ]
    versions = ", ".join(" ".join(wheel.name.split("-")[:2]) for wheel in subject.wheels)
    return f"{table(('', 'unzipped, MB', 'zipped, MB', 'files'), *rows)}\nThe wheels are {versions}."


def nothing_to_do(subject: Subject) -> str:
    """Time a build with nothing to do, alone and as a session, and change the zip."""
    took, noticed = no_ops(subject.built["cv"])
    starts = start_times()
    return (
        f"`layerlock build cv` when everything is built: {took:.2f} s of wall time (median of {NO_OPS})."
        " Recipes, patches, lock and the zip's bytes are looked at: a zip changed in one byte, with its size and"
        f" time kept, was {noticed}.\n\n"
        f"`nox -s layer-cv`: {starts['layer']:.2f} s, where `nox -l`, which does nothing but start, takes"
        f" {starts['nox']:.2f} s, and an empty Python program {starts['python']:.3f} s (medians of {NO_OPS}, in"
        " turn)."
    )


def share(subject: Subject) -> str:
    """Compare a build from nothing with its own commands."""
    return overhead(read_events(subject.events) if subject.events else cold_build(subject.folder / "cold"))


def environment(subject: Subject) -> str:
    """Make the environment of cv in turn with mmdebstrap, where there is one."""
    if lacking := environment_speed.missing():
        return f"Not measured: {lacking}."
    call("fetch", "cv")
    store = Path(held("cv")["environment-bullseye"]).parents[1]
    return environment_speed.measure(store, "bullseye", PAIRS, subject.folder / "environment")


def imports(subject: Subject) -> str:
    """Time the imports from every tree."""
    return cold_start.against("wheels", cold_start.imports(subject.interpreter, subject.trees))


def init(subject: Subject) -> str:
    """Have AWS's emulator time how a function starts that does the imports."""
    emulator, client = (Path(held("cv")[f"lambda-{each}"]) for each in ("emulator", "client"))
    emulated = cold_start.Emulated(
        emulator=emulator / "aws-lambda-rie",
        client=client / "lib/python3.11/site-packages",
        interpreter=subject.interpreter,
    )
    return cold_start.against("wheels", cold_start.inits(emulated, subject.trees))


def speed(subject: Subject) -> str:
    """Time what the layers compute."""
    return speeds(subject.interpreter, {n: subject.trees[n] for n in ("cv", "cv-atlas", "wheels")})


def no_ops(built: dict[str, object]) -> tuple[float, str]:
    """Time a build with nothing to do, and see whether a changed zip is noticed."""
    times = []
    for _ in range(NO_OPS):
        began = time.perf_counter()
        subprocess.run([str(LAYERLOCK), "build", "cv"], check=True, capture_output=True, cwd=ROOT)
        times.append(time.perf_counter() - began)
    path = Path(str(built["path"]))
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    again = call("build", "cv")
    noticed = bool(again.of("Warned")) and digest(path) == built["sha256"]
    return statistics.median(times), "noticed and written anew" if noticed else "**not noticed**"


def start_times() -> dict[str, float]:
    """Time the session of a layer with nothing to do, and what of it is nox, and Python; medians, in seconds."""
    nox = str(LAYERLOCK.with_name("nox"))
    commands = {
        "layer": [nox, "-s", "layer-cv"],
        "nox": [nox, "-l"],
        "python": [sys.executable, "-c", "pass"],
    }
    times = [{name: timed(command)[0] for name, command in commands.items()} for _ in range(NO_OPS)]
    return {name: statistics.median(each[name] for each in times) for name in commands}


def cold_build(folder: Path) -> Called:
    """Build cv from an empty store, its sources fetched before."""
    store = ("--store", str(folder / "store"))
    call(*store, "fetch", "cv")
    return call(*store, "build", "cv", "--offline", "--out", str(folder / "out"))


def overhead(built: Called) -> str:
    """Compare what builds took with what their own commands took."""
    rows = [("derivation", "whole, s", "its commands, s", "peak memory, MB")]
    whole = commands = 0.0
    for event in built.of("BuildFinished"):
        whole, commands = whole + event["seconds"], commands + event["command_seconds"]
        rows.append(
            (
                f"`{event['name']}`",
                f"{event['seconds']:.1f}",
                f"{event['command_seconds']:.1f}",
                megabytes(event["peak_memory"]) if event["peak_memory"] else "-",
            )
        )
    share = (whole - commands) / commands
    return (
        "Staging, unpacking, harvesting, hashing and storing, and making the environments, against the builds' own"
        f" commands: {whole - commands:.1f} s beside {commands:.1f} s, {share:.1%}.\n\n" + table(*rows)
    )


def hashing(subject: Subject) -> str:
    """Hash trees in turn with Nix.

    Raises:
        SystemExit: Nix is not installed.
    """
    del subject
    nix = shutil.which("nix")
    if nix is None:
        sys.exit("nix is not installed (Debian's nix-bin): leave the section hashing out with --only")
    theirs = [nix, "--extra-experimental-features", "nix-command", "hash", "path", "--sri"]
    places = held("cv")
    rows = [("tree", "MB", "`layerlock hash`, s", "the function alone, s", "`nix hash path`, s", "ratio")]
    for name in ("environment-bullseye", "layer-cv-tree"):
        place = places[name]
        times: list[tuple[float, float, float]] = []
        for _ in range(HASHES):
            ours, said = timed([str(LAYERLOCK), "hash", place])
            began = time.perf_counter()
            alone = nar_sha256(Path(place))
            took = time.perf_counter() - began
            nix_took, nix_said = timed([*theirs, place])
            assert said == nix_said == alone, f"{name} is hashed differently"
            times.append((ours, took, nix_took))
        whole, inner, other = (statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(one[0] / one[2] for one in times)
        size = megabytes(weight(Path(place)))
        rows.append((f"`{name}`", size, f"{whole:.3f}", f"{inner:.3f}", f"{other:.3f}", f"{ratio:.2f}"))
    return table(*rows)


def timed(command: list[str]) -> tuple[float, str]:
    """Run a command; give its wall time in seconds and what it printed."""
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    return time.perf_counter() - began, done.stdout.strip()


@contextmanager
def temporary() -> Iterator[Path]:
    """Lend a folder that may come to hold a store."""
    folder = Path(tempfile.mkdtemp(prefix="layerlock-bench-"))
    try:
        yield folder
    finally:
        remove(folder)


if __name__ == "__main__":
    sys.exit(main())
