"""A host whose zlib is another one: it unpacks the same trees, and its layer zips are the same byte for byte."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from zlib_ng import zlib_ng

from layerlock.io.atomic import remove_tree
from layerlock.workflows.building import build_layer
from layerlock.workflows.locking import lock_layer

from .conftest import Bench
from .seeded import seeded

pytestmark = pytest.mark.sandbox

# zlib-ng in zlib's place before anything of the driver is imported. Its own package loads `gzip` on the way.
DRIVER = """
import sys
from zlib_ng import zlib_ng
sys.modules["zlib"] = zlib_ng
for name in ("gzip", "zipfile"):
    sys.modules.pop(name, None)
import gzip, zipfile
assert zipfile.zlib is zlib_ng and gzip.zlib is zlib_ng
from layerlock.cli.main import main
sys.exit(main())
"""


def test_a_driver_on_zlib_ng_makes_the_same_zip(bench: Bench, tmp_path: Path) -> None:
    sample = Path(zlib_ng.__file__).read_bytes()
    assert zlib.compress(sample, 6) != zlib_ng.compress(sample, 6), "the two compressors cannot be told apart"

    lock_layer(bench.driver(), "tiny")
    built = build_layer(bench.driver(), "tiny", tmp_path / "dist")

    # Everything but the environments, whose packages hold no zlib streams, is unpacked and built anew.
    store = tmp_path / "store"
    try:
        seeded(bench.store, store)
        places = ("--repo", str(bench.folder), "--store", str(store), "--json")
        ended = subprocess.run(
            [sys.executable, "-c", DRIVER, *places, "build", "tiny", "--out", str(tmp_path / "other")],
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        events = [json.loads(line) for line in ended.stdout.splitlines()]
        made = {event["name"] for event in events if event["event"] == "BuildFinished"}
        assert {"guest-tools", "tiny-c", "layer-tiny-tree", "layer-tiny-zip"} <= made
        zipped = (tmp_path / "other" / built.path.name).read_bytes()
        assert hashlib.sha256(zipped).hexdigest() == built.sha256
        assert zipped == built.path.read_bytes()
    finally:
        remove_tree(store)
