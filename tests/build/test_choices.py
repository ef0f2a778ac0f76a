"""A layer that chooses otherwise: bytecode in the place of sources, packed by zopfli."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from layerlock.model.derivation import GuestRun
from layerlock.plan.layers import OLDER_PYTHON
from layerlock.workflows.building import build_layer
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.planning import load_layer
from tests.build.conftest import ROOT, Bench

CHOICES = """
[compressor]
name = "zopfli"
level = 5
"""


def choose(bench: Bench) -> None:
    shutil.copy(ROOT / "recipes/packages/zopfli.toml", bench.folder / "recipes/packages")
    bench.edit(
        "recipes/layers/tiny.toml",
        lambda text: text.replace("unchecked-hash", "sourceless").replace(
            'tools = ["guest-tools"]', 'tools = ["guest-tools", "zopfli"]'
        ),
    )
    bench.append("recipes/layers/tiny.toml", CHOICES)
    smoke = "import tiny\nassert tiny.__file__.endswith('.pyc')\nassert tiny.c.tiny_answer() == 42\n"
    (bench.folder / "recipes/smoke/tiny.py").write_text(smoke)


@pytest.mark.sandbox
def test_a_layer_without_sources_packed_by_zopfli(bench: Bench, tmp_path: Path) -> None:
    """Its smoke test imports what it holds."""
    choose(bench)
    lock_layer(bench.driver(), "tiny")
    built = build_layer(bench.driver(), "tiny", tmp_path / "dist")
    with zipfile.ZipFile(built.path) as archive:
        assert archive.testzip() is None
        modules = [name for name in archive.namelist() if ".py" in name]
        assert modules == ["python/lib/python3.9/site-packages/tiny/__init__.pyc"]
        assert sum(info.file_size for info in archive.infolist()) >= built.unzipped
    _, plan, _ = load_layer(bench.driver(), "tiny")
    tree, zipped = (
        next(d for d in plan.derivations if d.name == f"layer-tiny-{end}") for end in ("tree", "zip")
    )
    assert isinstance(tree.action, GuestRun)
    assert isinstance(zipped.action, GuestRun)
    assert (tree.action.entry, zipped.action.entry) == (OLDER_PYTHON, "pack_zopfli.py")
    # zopfli's choices depend on logarithms, and these on the processor where nothing is said.
    assert "-FMA" in zipped.action.variables["GLIBC_TUNABLES"]
    assert "GLIBC_TUNABLES" not in tree.action.variables
