"""A package that is built in an OCI image: pinned by `lock`, pulled from a real registry, run in the real sandbox."""

from __future__ import annotations

import io
import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlock.cli.show import _as_page, _resolved
from layerlock.errors import FetchError, HashMismatch, InvalidRecipe, Offline, StaleLock, UnsafeArchive
from layerlock.events import BuildFinished, BuildStarted, FetchFinished
from layerlock.io.lockfile import read_lock
from layerlock.io.nar import nar_sha256
from layerlock.model.lock import LockedFile
from layerlock.plan.packages import environment_name
from layerlock.workflows.building import build_package, fetch_all
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.planning import load_package
from tests.io.test_archives import tar_bytes
from tests.sandbox.conftest import PYTHON, STDLIB, TOOLS, _libraries, _place
from tests.sources.images import (
    DOCKER,
    MISSING,
    OCI,
    PROGRAM,
    Registry,
    make_image,
    make_index,
    running_registry,
)

from .conftest import Bench

pytestmark = [pytest.mark.sandbox, pytest.mark.skipif(PROGRAM is None, reason=MISSING)]

LEFT_OUT = (
    "test idlelib lib2to3 ensurepip tkinter turtledemo pydoc_data __pycache__ dist-packages site-packages"
)
LOCK = "lockfiles/tiny.lock"
PINS = "recipes/environments/host.image.toml"
RECIPE = "recipes/environments/host.toml"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry") / "store") as registry:
        yield registry


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root made of this host's shell, a few tools and Python."""
    folder = tmp_path_factory.mktemp("root") / "root"
    folder.mkdir()
    for name in ("bin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            (folder / name).symlink_to(Path("/", name).readlink())
    programs = [Path(found) for tool in TOOLS.split() if (found := shutil.which(tool, path="/usr/bin:/bin"))]
    extensions = sorted((STDLIB / "lib-dynload").glob("*.so"))
    for file in {*programs, PYTHON, *_libraries([*programs, PYTHON, *extensions])}:
        _place(folder, file)
    ignore = shutil.ignore_patterns(*LEFT_OUT.split(), "config-*")
    shutil.copytree(STDLIB, folder / str(STDLIB).lstrip("/"), symlinks=True, ignore=ignore)
    (folder / "etc").mkdir(exist_ok=True)
    (folder / "etc" / "release").write_text("lower\n")
    (folder / "etc" / "gone").write_text("lower\n")
    (folder / "srv" / "old").mkdir(parents=True)
    (folder / "srv" / "old" / "data").write_text("lower\n")
    return folder


UPPER = tar_bytes(
    ("etc/release", "file", 0o644, "upper\n"),
    ("etc/.wh.gone", "file", 0o644, ""),
    ("srv/.wh..wh..opq", "file", 0o644, ""),
    ("srv/tool", "file", 0o6755, "#!/bin/sh\necho from the image\n"),
    ("srv/twin", "hard", 0o755, "srv/tool"),
)


@pytest.fixture(scope="module")
def lower(root: Path) -> bytes:
    """Give the root as a layer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.add(root, arcname=".")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def expected(root: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the tree hash of both layers over each other, made without the driver's help."""
    tree = tmp_path_factory.mktemp("expected") / "root"
    shutil.copytree(root, tree, symlinks=True)
    (tree / "etc" / "release").write_text("upper\n")
    (tree / "etc" / "gone").unlink()
    shutil.rmtree(tree / "srv")
    (tree / "srv").mkdir()
    for name in ("tool", "twin"):
        (tree / "srv" / name).write_text("#!/bin/sh\necho from the image\n")
        (tree / "srv" / name).chmod(0o755)
    (tree / "usr" / "bin" / "sh2").symlink_to("bash")
    return nar_sha256(tree)


@pytest.fixture(scope="module")
def locks() -> dict[str, str]:
    """Keep the lock of the layer tiny as it is without an image: Debian's index is asked once."""
    return {}


@pytest.fixture
def bench(bench: Bench, locks: dict[str, str]) -> Bench:
    """Give the small repository with its layer locked."""
    lock = bench.folder / LOCK
    if not locks:
        lock_layer(bench.driver(), "tiny")
        locks[LOCK] = lock.read_text()
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(locks[LOCK])
    bench.events.clear()
    return bench


def add_image(bench: Bench, image: str) -> None:
    """Add an environment made from an image, a package built in it, and put that into the layer tiny."""
    (bench.folder / RECIPE).write_text(f"""
[environment]
name = "host"
image = "{image}"
python = "{PYTHON}"

[links]
"usr/bin/sh2" = "bash"
""")
    (bench.folder / "recipes/packages/in-image.toml").write_text("""
[package]
name = "in-image"
version = "1"
license = "Apache-2.0"

[[sources]]
kind = "path"
path = "sources/tiny-c"

[build]
environment = "host"
script = '''
cat /etc/release > "$out/release"
/srv/tool > "$out/tool"
/srv/twin >> "$out/tool"
test ! -e /etc/gone
test ! -e /srv/old
test ! -u /srv/tool
ls > "$out/sources"
'''
""")
    bench.edit(
        "recipes/layers/tiny.toml", lambda text: text.replace('"tiny-module"]', '"tiny-module", "in-image"]')
    )


@pytest.mark.parametrize("by", ["tag", "digest"])
def test_a_package_is_built_in_an_image(
    bench: Bench, registry: Registry, lower: bytes, expected: str, tmp_path: Path, by: str
) -> None:
    """From the recipe to the output; the pins are in the lock, and the registry is not asked again."""
    other = make_image(lower, architecture="arm64")
    image = make_image(lower, UPPER, kind=DOCKER if by == "tag" else OCI)
    registry.push("host", other)
    registry.push("host", image)
    index = registry.push("host", make_index((other, "arm64", ""), (image, "amd64", "")), tag="stable")
    add_image(bench, f"{registry.host}/host:stable" if by == "tag" else index)
    bench.store = tmp_path / "store"

    with pytest.raises(InvalidRecipe if by == "tag" else StaleLock):
        build_package(bench.driver(), "in-image")
    if by == "tag":
        with pytest.raises(InvalidRecipe, match="not pinned by digest"):
            lock_layer(bench.driver(), "tiny")
        assert not (bench.folder / PINS).exists()
    with pytest.raises(Offline):
        lock_layer(bench.driver(offline=True), "tiny", frozenset({"host"}))
    changed = lock_layer(bench.driver(), "tiny", frozenset({"host"} if by == "tag" else ()))
    assert {"host/layer-001", "host/layer-002"} < set(changed.added)
    assert image.digest in (bench.folder / PINS).read_text()
    locked = read_lock(bench.folder / LOCK, "tiny").source("host/layer-002")
    assert isinstance(locked, LockedFile)
    assert locked.urls == (f"oci:{registry.host}/host@sha256:{locked.sha256}",)

    _, path = build_package(bench.driver(), "in-image")
    assert (path / "release").read_text() == "upper\n"
    assert (path / "tool").read_text() == "from the image\n" * 2
    assert (path / "sources").read_text().split() == ["tiny.c", "tiny.h"]
    made = bench.driver().store.planned(
        load_package(bench.driver(), "in-image").plan.planned[environment_name("host")]
    )
    assert made is not None
    assert made.output == expected
    assert {"host/layer-001", "host/layer-002"} <= {
        e.name for e in bench.events if isinstance(e, FetchFinished)
    }

    page = _as_page(_resolved(bench.driver(), "in-image"))
    assert re.search(r"host +[0-9.]+ MB +2 image layers +fetched", page), page

    bench.events.clear()
    assert lock_layer(bench.driver(), "tiny").changed is False
    build_package(bench.driver(offline=True), "in-image")
    assert bench.of(BuildStarted) == []


def test_a_tag_that_moves_changes_nothing_before_it_is_upgraded(
    bench: Bench, registry: Registry, lower: bytes, tmp_path: Path
) -> None:
    first, second = make_image(lower), make_image(lower, UPPER)
    registry.push("moving", first, tag="latest")
    add_image(bench, f"{registry.host}/moving:latest")
    lock_layer(bench.driver(), "tiny", frozenset({"host"}))
    registry.push("moving", second, tag="latest")
    assert lock_layer(bench.driver(), "tiny").changed is False
    assert first.digest in (bench.folder / PINS).read_text()
    changed = lock_layer(bench.driver(), "tiny", frozenset({"host"}))
    assert changed.added == ("host/layer-002",)
    assert environment_name("host") in changed.replanned
    assert second.digest in (bench.folder / PINS).read_text()
    bench.edit(RECIPE, lambda text: text.replace("moving:latest", "moving:other"))
    with pytest.raises(StaleLock, match="has pins of"):
        lock_layer(bench.driver(), "tiny")


def test_pins_written_by_hand_are_held_against_the_registry(
    bench: Bench, locks: dict[str, str], registry: Registry, lower: bytes
) -> None:
    registry.push("edited", make_image(lower, UPPER), tag="v1")
    add_image(bench, f"{registry.host}/edited:v1")
    lock_layer(bench.driver(), "tiny", frozenset({"host"}))
    bench.edit(PINS, lambda text: "\n".join([*text.splitlines()[:-2], "]", ""]))
    (bench.folder / LOCK).write_text(locks[LOCK])
    with pytest.raises(HashMismatch, match="its layers are others"):
        lock_layer(bench.driver(), "tiny")


def test_a_layer_that_does_not_match_or_is_hostile_leaves_nothing(
    bench: Bench, registry: Registry, tmp_path: Path
) -> None:
    """The image's digest is right in each case: it is the image that is wrong."""
    hostile = tar_bytes(("out", "link", 0o777, ".."), ("out/x", "file", 0o644, "x"))
    add_image(bench, registry.push("bad", make_image(hostile)))
    bench.store = tmp_path / "store"
    lock_layer(bench.driver(), "tiny")
    with pytest.raises(UnsafeArchive, match="host/layer-001: 'out' is used as a directory"):
        build_package(bench.driver(), "in-image")
    said = registry.push("bad", make_image(UPPER, diff_ids=[f"sha256:{'0' * 64}"]))
    bench.edit(
        RECIPE,
        lambda text: "\n".join(
            f'image = "{said}"' if "image =" in line else line for line in text.splitlines()
        ),
    )
    lock_layer(bench.driver(), "tiny")
    with pytest.raises(HashMismatch, match=r"host/layer-001 has the sha256 .* uncompressed"):
        build_package(bench.driver(), "in-image")
    assert "environment-host" not in bench.of(BuildFinished)
    made = load_package(bench.driver(), "in-image").plan.planned[environment_name("host")]
    assert bench.driver().store.planned(made) is None


def test_a_registry_that_is_gone_is_told_of(bench: Bench, tmp_path: Path) -> None:
    with running_registry(tmp_path / "short") as short:
        add_image(bench, short.push("gone", make_image(UPPER)))
        lock_layer(bench.driver(), "tiny")
    bench.store = tmp_path / "store"
    with pytest.raises(FetchError, match="host/layer-001: no address gave the file"):
        fetch_all(bench.driver(), "in-image")
