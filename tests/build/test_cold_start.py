"""The Init Duration that the benchmark takes from AWS's emulator, with modules that sleep while they are imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from layerlock.workflows.building import build_package
from tools.bench_trees import interpreted
from tools.cold_start import Emulated, against, init_duration, inits

from .conftest import Bench

pytestmark = pytest.mark.sandbox

MODULES = ("numpy", "scipy", "cv2")
SITE = "python/lib/python3.11/site-packages"


@pytest.fixture
def emulated(bench: Bench) -> Emulated:
    """Give the emulator, and the Python of the small repository with its client."""
    built = {
        name: build_package(bench.driver(), name)[1]
        for name in ("lambda-emulator", "tiny-client", "tiny-python")
    }
    (root,) = (bench.store / "trees").glob("*-environment-bullseye")
    return Emulated(
        emulator=built["lambda-emulator"] / "aws-lambda-rie",
        client=built["tiny-client"] / "lib/python3.9/site-packages",
        interpreter=interpreted(root, built["tiny-python"], "3.9"),
    )


def layer(folder: Path, seconds: float, modules: tuple[str, ...] = MODULES) -> Path:
    """Make a layer of empty modules, the first of which sleeps."""
    for name in modules:
        (folder / SITE / name).mkdir(parents=True)
        (folder / SITE / name / "__init__.py").touch()
    (folder / SITE / modules[0] / "__init__.py").write_text(f"import time\ntime.sleep({seconds})\n")
    if "scipy" in modules:
        for name in ("stats", "signal", "optimize", "ndimage", "sparse"):
            (folder / SITE / "scipy" / name).mkdir()
        (folder / SITE / "scipy" / "sparse" / "linalg.py").touch()
    return folder


def test_what_imports_take_is_in_the_init_duration(
    emulated: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Init Duration of the emulator's last line would be next to nothing for both."""
    monkeypatch.setattr("tools.cold_start.COLD", 1)
    monkeypatch.setattr("tools.cold_start.WARM", 1)
    trees = {"quick": layer(tmp_path / "quick", 0), "slow": layer(tmp_path / "slow", 1)}
    took = inits(emulated, trees)
    for quick, slow in zip(took["quick"], took["slow"], strict=True):
        assert 0.02 < quick < slow - 0.5
        assert slow > 1
    head, _, first, last = against("slow", took).strip().split("\n")
    assert head == "|  | cold, s | warm, s | cold, of slow | warm, of slow |"
    assert first.startswith("| `quick` | 0.")
    assert last.startswith("| slow | 1.")
    assert last.endswith(" 1.00 | 1.00 |")


def test_a_function_that_does_not_start_is_no_measurement(emulated: Emulated, tmp_path: Path) -> None:
    tree = layer(tmp_path / "broken", 0, modules=("numpy", "scipy"))
    (tmp_path / "app.py").write_text("import cv2\n\ndef handler(event, context):\n    return []\n")
    with pytest.raises(RuntimeError, match="No module named 'cv2'"):
        init_duration(emulated, tmp_path, tree)
