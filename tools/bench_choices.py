"""What a layer's choices cost and bring: of bytecode, and of the compressor. Sections of docs/benchmarks.md.

`python -m tools.bench --only bytecode packing` measures these alone: ten minutes, most of them zopfli's.

Variants of the layer cv are built from a copy of the recipes, so that no recipe of them stands in the repository.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tools.bench_trees import packed_like_zip, python, unpacked, weight
from tools.calls import ROOT, call, megabytes, table
from tools.cold_start import imports

GUEST: Final = ROOT / "src" / "layerlock" / "guest"
BYTECODE: Final = {
    "none": "",
    "unchecked-hash": "",
    # Files that are read as text: OpenCV's loader, and numpy's list of its own documents.
    "sourceless": 'keep_sources = ["**/cv2/config*.py", "**/numpy/doc/*.py"]\n',
}
"""The choices of bytecode, and what the layer cv has to say besides."""

PACKERS: Final = (
    *(("libdeflate", "pack.py", level, 3) for level in range(6, 13)),
    ("zopfli", "pack_zopfli.py", 15, 1),
)
"""Compressor, guest script, level or iterations, and how often it is timed."""


def variant(folder: Path, choice: str) -> Path:
    """Build the layer cv with another choice of bytecode, smoke tests and all; give the zip."""
    name = f"cv-{choice}"
    for each in ("recipes", "lockfiles", "patches"):
        shutil.copytree(ROOT / each, folder / each)
    (folder / "recipes" / "layers" / f"{name}.toml").write_text(
        # Whole, whatever of it cv leaves out; the budget is that of cv's own choice.
        f'no_bytecode = []\n\n[layer]\nname = "{name}"\nbase = "cv"\nsummary = "cv with other bytecode"\n'
        f'bytecode = "{choice}"\ncolumns = true\n'
        f"{BYTECODE[choice]}"
        '[budget]\nunzipped = "250 MB"\nzipped = "50 MB"\n'
    )
    call("--repo", str(folder), "lock", name)
    return Path(str(call("--repo", str(folder), "build", name, "--out", str(folder / "dist")).result["path"]))


def bytecode(folder: Path) -> str:
    """Compare sizes and the time of imports; `folder` is new."""
    folder.mkdir()
    paths = {choice: variant(folder / choice, choice) for choice in BYTECODE}
    trees = {choice: unpacked([path], folder / f"tree-{choice}") for choice, path in paths.items()}
    took = imports(python(), trees)
    rows: list[tuple[str, ...]] = [("bytecode", "unzipped, MB", "zipped, MB", "cold, s", "warm, s")]
    for choice, path in paths.items():
        sizes = (megabytes(weight(trees[choice])), megabytes(path.stat().st_size))
        rows.append((f"`{choice}`", *sizes, *(f"{time:.2f}" for time in took[choice])))
    return table(*rows)


def compressors(tree: Path, folder: Path) -> str:
    """Pack a tree by every compressor, as guest code does it, on all processors; `folder` is new."""
    folder.mkdir()
    cores = len(os.sched_getaffinity(0))
    times: dict[tuple[str, int], list[float]] = {}
    sizes: dict[tuple[str, int], int] = {}
    slow = []
    for turn in range(max(often for *_, often in PACKERS)):
        called, size, took = usual(tree, folder / f"usual-{turn}.zip")
        slow.append(took)
        for name, script, level, often in PACKERS:
            if turn < often:
                sizes[name, level], took = packed(folder / str(turn), tree, script, level, cores)
                times.setdefault((name, level), []).append(took)
    first = statistics.median(slow)
    rows = [
        ("compressor", "MB", "s", "size against the first", "times as fast"),
        (f"{called}, one processor", megabytes(size), f"{first:.2f}", "1.000", "1.0"),
    ]
    for (name, level), each in times.items():
        called = f"`{name}`, {'level' if name == 'libdeflate' else 'iterations'} {level}"
        out, took = sizes[name, level], statistics.median(each)
        rows.append((called, megabytes(out), f"{took:.2f}", f"{out / size:.3f}", f"{first / took:.1f}"))
    return f"{megabytes(weight(tree))} MB, on {cores} processors.\n\n{table(*rows)}"


def usual(tree: Path, target: Path) -> tuple[str, int, float]:
    """Pack as people do; give what it is called, the zip's bytes, and the seconds that it took."""
    began = time.perf_counter()
    if (program := shutil.which("zip")) is not None:
        # -X: no times and owners beside the names; -y: links as links, as in a layer.
        subprocess.run([program, "-9", "-q", "-r", "-X", "-y", str(target), "."], cwd=tree, check=True)
        return "`zip -9`", target.stat().st_size, time.perf_counter() - began
    return "zlib 9", packed_like_zip(tree, target), time.perf_counter() - began


def packed(folder: Path, tree: Path, script: str, level: int, jobs: int) -> tuple[int, float]:
    """Run a guest script that packs; give the zip's bytes and the seconds that it took."""
    task = folder / "task.json"
    out = folder / f"out-{script}-{level}"
    out.mkdir(parents=True)
    told = {
        "name": "l.zip",
        "tree": str(tree),
        "level": level,
        "jobs": jobs,
        "out": str(out),
        "scratch": str(out),
    }
    task.write_text(json.dumps({**told, "compressor": "zopfli" if "zopfli" in script else "libdeflate"}))
    began = time.perf_counter()
    subprocess.run([sys.executable, str(GUEST / script), str(task)], check=True)
    return (out / "l.zip").stat().st_size, time.perf_counter() - began
