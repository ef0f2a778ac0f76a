"""A layer that one machine built and another takes out of a cache, by real builds of the small repository."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from layerlock.cache.bring import Cache
from layerlock.cache.folder import Folder
from layerlock.cache.keys import Trust, spelled
from layerlock.errors import NotCached
from layerlock.events import BuildStarted, FetchFinished, Warned
from layerlock.workflows.building import build_layer, record_layer
from layerlock.workflows.caching import push_closure
from layerlock.workflows.locking import lock_layer

from .conftest import Bench

pytestmark = pytest.mark.sandbox

SMALL = """
[layer]
name = "small"
summary = "One C library: what is cached is what counts here, not what is built"
runtime = "python3.9-test"
environment = "bullseye"
packages = ["tiny-c"]
tools = ["guest-tools"]
bytecode = "unchecked-hash"

[[smoke]]
kind = "python"
name = "library"
file = "smoke/small.py"
"""


@pytest.mark.timeout(600)
def test_what_one_machine_built_another_need_not(bench: Bench, workbench: Path, tmp_path: Path) -> None:
    """With a warm cache and an empty store a layer is three outputs, and what changed is built from the others."""
    (workbench / "recipes" / "layers" / "small.toml").write_text(SMALL)
    (workbench / "recipes" / "smoke" / "small.py").write_text(
        'import ctypes\n\nassert ctypes.CDLL("libtiny.so.1").tiny_answer() == 42\n'
    )
    lock_layer(bench.driver(), "small")
    built = record_layer(bench.driver(), "small", tmp_path / "dist")
    key = Ed25519PrivateKey.generate()
    public = spelled(key.public_key())
    (workbench / "recipes" / "caches.toml").write_text(
        f'[[caches]]\nname = "team"\nurl = "{tmp_path}/cache"\n[[keys]]\nname = "first"\nkey = "{public}"\n'
    )
    cache = Cache(name="team", place=Folder(tmp_path / "cache"), trust=Trust(keys=frozenset({public})))
    pushed = push_closure(bench.driver(), "small", cache, key)
    assert pushed.entries > 5

    bench.store = tmp_path / "empty"
    bench.events.clear()
    again = build_layer(bench.driver(caching="only"), "small", tmp_path / "again")
    assert (again.sha256, again.confirmed) == (built.sha256, True)
    assert sorted(e.name for e in bench.events if isinstance(e, FetchFinished)) == [
        "layer-small-smoke",
        "layer-small-tree",
        "layer-small-zip",
    ]
    assert not [event for event in bench.events if isinstance(event, BuildStarted | Warned)]

    bench.edit("recipes/packages/tiny-c.toml", lambda text: text.replace("-Os", "-O3"))
    lock_layer(bench.driver(), "small")
    with pytest.raises(NotCached, match="small"):
        build_layer(bench.driver(caching="only"), "small", tmp_path / "again")
    bench.events.clear()
    build_layer(bench.driver(), "small", tmp_path / "again")
    started = set(bench.of(BuildStarted))
    assert "tiny-c" in started
    assert not started & {"guest-tools", "tiny-python", "environment-bullseye"}
