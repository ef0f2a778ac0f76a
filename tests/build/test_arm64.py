"""A layer for another processor, built and tried for real: assembled here, run by an emulator; and one upon it."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from layerlock.errors import AbiViolation, LayersOverlap, SmokeFailed, WrongPlatform
from layerlock.events import BuildStarted
from layerlock.io.lockfile import read_lock
from layerlock.workflows.building import build_layer, record_layer
from layerlock.workflows.locking import lock_layer

from .conftest import ROOT, Bench

pytestmark = pytest.mark.sandbox

SITE = "python/lib/python3.9/site-packages"
WHEEL = "simplejson-4.3.0-cp39-cp39-manylinux2014_aarch64.manylinux_2_17_aarch64.manylinux_2_28_aarch64.whl"
LOWER = f'''
[package]
name = "json-arm64"
version = "4.3.0"
license = "MIT"

[[sources]]
kind = "wheel"
name = "simplejson"
urls = ["pypi:simplejson/{WHEEL}"]
sha256 = "8d115cc49b89c20d464008a5e945e9847214f72095b57c1305530ee6bd6eeaaa"

[build]
environment = "bullseye"
builder = "wheels"
python = "3.9"
site = "{SITE}"
'''
UPPER = f"""
[package]
name = "upper-module"
version = "1"
license = "MIT"

[build]
environment = "bullseye"
script = '''
mkdir -p /out/{SITE}
echo 'import simplejson; from simplejson._speedups import make_encoder' > /out/{SITE}/upper.py
'''
"""
LAYER = """
[layer]
name = "{name}"
summary = "A small layer for arm64"
runtime = "python3.9"
architecture = "arm64"
environment = "bullseye-arm64-binutils"
packages = ["{package}"]
tools = ["guest-tools"]
with = [{beneath}]

[[smoke]]
name = "runs"
file = "smoke/{name}.py"
time = "2 min"
"""
TRY_LOWER = """
import platform, sys
import simplejson, simplejson._speedups
assert platform.machine() == "aarch64", platform.machine()
assert sys.executable == "/var/lang/bin/python3.9", sys.executable
assert simplejson._speedups.__file__.startswith("/opt/python/"), simplejson._speedups.__file__
assert simplejson.dumps({"a": 1}) == '{"a": 1}'
"""
TRY_UPPER = "import upper\nassert upper.simplejson.loads('[1]') == [1]\n"


@pytest.fixture
def arm64(bench: Bench) -> Bench:
    """Give the small repository with two layers for arm64, the one upon the other."""
    recipes = bench.folder / "recipes"
    text = (ROOT / "recipes/runtimes/python3.9.toml").read_text()
    (recipes / "runtimes/python3.9.toml").write_text(
        text.replace('package = "python3.9"', 'package = "tiny-python"')
    )
    shutil.copy(ROOT / "recipes/packages/qemu-user.toml", recipes / "packages")
    (recipes / "packages/json-arm64.toml").write_text(LOWER)
    (recipes / "packages/upper-module.toml").write_text(UPPER)
    for name, package, beneath in (("low", "json-arm64", ""), ("high", "upper-module", '"low"')):
        text = LAYER.format(name=name, package=package, beneath=beneath)
        (recipes / f"layers/{name}.toml").write_text(text)
    (recipes / "smoke/low.py").write_text(TRY_LOWER)
    (recipes / "smoke/high.py").write_text(TRY_UPPER)
    return bench


def test_a_layer_for_arm64_is_stripped_tried_and_recorded(arm64: Bench, tmp_path: Path) -> None:
    lock_layer(arm64.driver(), "low")
    recorded = record_layer(arm64.driver(), "low", tmp_path)
    with zipfile.ZipFile(recorded.path) as archive:
        (module,) = (name for name in archive.namelist() if name.endswith(".so"))
        assert module == f"{SITE}/simplejson/_speedups.cpython-39-aarch64-linux-gnu.so"
        data = archive.read(module)
    assert data[:4] == b"\x7fELF"
    assert int.from_bytes(data[18:20], "little") == 183  # EM_AARCH64
    assert b".symtab" not in data
    arm64.events.clear()
    assert build_layer(arm64.driver(), "low", tmp_path).confirmed
    assert arm64.of(BuildStarted) == []


def test_a_layer_upon_another_is_tried_with_it_and_locks_it(arm64: Bench, tmp_path: Path) -> None:
    lock_layer(arm64.driver(), "high")
    built = record_layer(arm64.driver(), "high", tmp_path)
    with zipfile.ZipFile(built.path) as archive:
        assert [n for n in archive.namelist() if not n.endswith("/")] == [f"{SITE}/upper.py"]
    lock = read_lock(arm64.folder / "lockfiles/high.lock", "high")
    below = lock.derivation("layer-low-tree")
    assert below is not None
    assert below.output is not None
    assert lock.derivation("layer-high-merged") is not None

    # Alone it does not work, and the tests say so.
    arm64.edit("recipes/layers/high.toml", lambda text: text.replace('with = ["low"]', "with = []"))
    lock_layer(arm64.driver(), "high")
    with pytest.raises(SmokeFailed, match="'runs'") as caught:
        build_layer(arm64.driver(), "high", tmp_path)
    assert "No module named 'simplejson'" in caught.value.hint


def test_a_file_in_both_layers_is_refused(arm64: Bench, tmp_path: Path) -> None:
    arm64.edit(
        "recipes/packages/upper-module.toml",
        lambda text: text.replace(
            f"mkdir -p /out/{SITE}",
            f"mkdir -p /out/{SITE}/simplejson; touch /out/{SITE}/simplejson/scanner.py",
        ),
    )
    lock_layer(arm64.driver(), "high")
    with pytest.raises(LayersOverlap) as caught:
        build_layer(arm64.driver(), "high", tmp_path)
    assert (
        f"layer-high-merged: the layers low and high both hold {SITE}/simplejson/scanner.py"
        in caught.value.message
    )


def test_an_object_of_the_wrong_processor_is_named(arm64: Bench, tmp_path: Path) -> None:
    """Whatever its wheel's name says: here it comes from a script."""
    arm64.edit(
        "recipes/packages/upper-module.toml",
        lambda text: text.replace(
            "mkdir -p /out",
            "mkdir -p /out/lib; cp -L /lib/x86_64-linux-gnu/libz.so.1 /out/lib/; mkdir -p /out",
        ),
    )
    lock_layer(arm64.driver(), "high")
    with pytest.raises(AbiViolation) as caught:
        build_layer(arm64.driver(), "high", tmp_path)
    assert caught.value.message == "layer-high-tree: lib/libz.so.1 is for another processor than the layer"
    assert caught.value.file == "lib/libz.so.1"


def test_a_wheel_of_the_wrong_processor_is_refused_before_anything_is_fetched(arm64: Bench) -> None:
    arm64.edit("recipes/packages/json-arm64.toml", lambda text: text.replace("aarch64", "x86_64"))
    with pytest.raises(WrongPlatform, match=r"is for manylinux2014_x86_64, .*for Python 3\.9 on aarch64"):
        lock_layer(arm64.driver(), "low")
