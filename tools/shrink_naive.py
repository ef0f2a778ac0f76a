"""Hold `layerlock shrink` against what was found by hand, on fastai as pip installs it; writes docs/fastai.md.

    python -m tools.shrink_naive --store DIR [--jobs N]

The layer stands in tools/naive/. It is locked and shrunk in a copy of the repository's recipes, over the layer
torch-x86_64, which is built first where the store does not have it. Trials that the store remembers are not run again.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import Event, Tried
from layerlock.layer.globs import selected
from layerlock.layer.usage import Holding, read_holding
from layerlock.plan.functions import names_of
from layerlock.workflows.driver import Driver
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.planning import load_layer
from layerlock.workflows.shrinking import Shrunk, shrink

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "fastai.md"
LAYER: Final = "fastai-naive"
SPACY: Final = (
    *(
        "blis",
        "catalogue",
        "cymem",
        "murmurhash",
        "plac_core",
        "preshed",
        "spacy",
        "srsly",
        "thinc",
        "tqdm",
        "wasabi",
    ),
    *("plac", "plac_ext", "plac_tk"),
)
BY_HAND: Final[Mapping[str, tuple[str, ...]]] = {
    "the packages' tests": ("**/tests/**",),
    "spacy and what it brings": tuple(f"**/site-packages/{name}*" for name in SPACY),
    "beautifulsoup4, packaging": (
        "**/site-packages/bs4/**",
        "**/site-packages/soupsieve/**",
        "**/site-packages/packaging/**",
    ),
    "bottleneck, numexpr": ("**/site-packages/bottleneck/**", "**/site-packages/numexpr*/**"),
    "setuptools but pkg_resources": ("**/site-packages/setuptools/**", "**/site-packages/_distutils_hack/**"),
    "matplotlib's fonts": ("**/mpl-data/fonts/**",),
    "matplotlib's images": ("**/mpl-data/images/**",),
    "matplotlib's samples": ("**/mpl-data/sample_data/**",),
    "matplotlib's styles": ("**/mpl-data/stylelib/**", "**/mpl-data/plot_directive/**"),
    "installers' records": ("**/*.dist-info/**",),
}
"""What the author of the layer that this one stands for had left out by hand, but for scipy, which took an edit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One thing that was found by hand: its bytes, those of them that were found by trial, and files that stay."""

    name: str
    by_hand: int
    found: int
    left: tuple[str, ...]


def main() -> int:
    """Shrink, compare, and write the page; the exit status says whether everything was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--store", type=Path, required=True, help="the store to build in")
    parser.add_argument("--jobs", type=int, help="trials at once")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "repository"
        lay_out(repository)
        settings = Settings(
            repository=repository, store=options.store, environment=dict(os.environ), jobs=options.jobs
        )

        def tell(event: Event) -> None:
            if isinstance(event, Tried):
                print(f"{time.monotonic() - started:6.0f} s  {event.message}", flush=True)

        driver = construct(settings, tell)
        lock_layer(driver, LAYER)
        found = shrink(driver, LAYER)
        rows, more = compared(found, holding_of(driver))
    PAGE.write_text(page(PAGE.read_text(), found, rows, more))
    missed = [row for row in rows if unexplained(row.left, found.metadata)]
    for row in missed:
        print(f"not found: {row.name}: {', '.join(unexplained(row.left, found.metadata)[:5])}")
    hollow = {each.package for each in found.hollow}
    if "scipy" not in hollow:
        print(f"scipy is not among what is imported and never called: {', '.join(sorted(hollow))}")
    return 1 if missed or "scipy" not in hollow else 0


def lay_out(target: Path) -> None:
    """Copy the repository's recipes, with the naive layer's among them."""
    for name in ("recipes", "patches", "lockfiles"):
        shutil.copytree(ROOT / name, target / name)
    shutil.copytree(ROOT / "tools" / "naive" / "recipes", target / "recipes", dirs_exist_ok=True)


def holding_of(driver: Driver) -> Holding:
    """List the layer before it was shrunk."""
    recipe = driver.repository.layer(LAYER)
    _, plan, _ = load_layer(driver, LAYER)
    names = names_of(recipe)
    outputs = []
    for name in (names.tree, names.zip):
        made = driver.store.planned(plan.planned[name])
        assert made is not None, f"{name} is not built"
        outputs.append(driver.store.held_tree(made.output))
    tree, packed = outputs
    modules = driver.repository.runtime(recipe.layer.runtime).search.modules
    return read_holding(tree / "tree", packed / f"{LAYER}.zip", modules)


def compared(found: Shrunk, holding: Holding) -> tuple[list[Row], int]:
    """Hold the rules against the list, where a file counts for the first entry that has it; also the bytes beyond."""
    patterns = [pattern for rule in found.rules for pattern in rule.patterns]
    keep = [pattern for rule in found.rules for pattern in rule.keep]
    gone = {path for path in holding.files if selected(path, patterns) and not selected(path, keep)}
    rows, listed = [], set[str]()
    for name, theirs in BY_HAND.items():
        files = {path for path in holding.files if selected(path, theirs)} - listed
        listed |= files
        rows.append(
            Row(
                name=name,
                by_hand=size_of(holding, files),
                found=size_of(holding, files & gone),
                left=tuple(sorted(files - gone)),
            )
        )
    return rows, size_of(holding, gone - listed)


def size_of(holding: Holding, files: Iterable[str]) -> int:
    """Add up files."""
    return sum(holding.files[path].size for path in files)


def unexplained(left: Collection[str], read: Collection[str]) -> list[str]:
    """Give what was left out by hand and stays here, but for licence texts and metadata that is `read`."""
    return [
        path
        for path in left
        if path not in read
        and not re.search(r"(?i)/(?:licen[cs]e|copying|authors|notice)[^/]*$|/licenses/", path)
    ]


def page(text: str, found: Shrunk, rows: list[Row], more: int) -> str:
    """Put the tables into the page."""
    lines = ["| by hand | MB | found by `shrink`, MB |", "| --- | ---: | ---: |"]
    lines += [f"| {row.name} | {row.by_hand / 1e6:.2f} | {row.found / 1e6:.2f} |" for row in rows]
    lines.append(f"| what nobody had found by hand | | {more / 1e6:.2f} |")
    lines += ["", "| rule | files | MB unzipped | MB zipped |", "| --- | ---: | ---: | ---: |"]
    lines += [
        f"| {rule.name} | {rule.files:,} | {rule.bytes / 1e6:.2f} | {rule.packed / 1e6:.2f} |"
        for rule in found.rules
    ]
    before, after = found.before, found.after
    lines += [
        "",
        f"{before.unzipped / 1e6:.1f} MB come to {after.unzipped / 1e6:.1f} MB, zipped {before.zipped / 1e6:.1f} MB to "
        f"{after.zipped / 1e6:.1f} MB, in {found.trials} trials.",
        "",
        "Imported and never called:",
        "",
    ]
    for hollow in found.hollow:
        place, statement = hollow.statements[0] if hollow.statements else ("compiled code", "")
        others = f" and {len(hollow.statements) - 1} more" if len(hollow.statements) > 1 else ""
        lines.append(f"- {hollow.package}, {hollow.bytes / 1e6:.1f} MB, by {place} (`{statement}`){others}")
    block = "\n".join(lines)
    return re.sub(
        r"(<!-- generated: shrink -->\n).*?(<!-- end -->)",
        lambda mark: f"{mark[1]}\n{block}\n\n{mark[2]}",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    sys.exit(main())
