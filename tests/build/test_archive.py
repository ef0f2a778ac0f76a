"""A layer archived for real, and built again from the archive alone: no network, no git, no store, no recipes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from layerlock.errors import InvalidRecipe
from layerlock.events import BuildStarted, FetchStarted, Warned, silent
from layerlock.io.http import Fetcher
from layerlock.model.recipe import EnvironmentRecipe
from layerlock.reproduce.archive import Archive
from layerlock.sources.apt_sources import AptSource
from layerlock.sources.debian_sources import SourcePackage, find_sources
from layerlock.sources.fetch import Reach
from layerlock.sources.git_program import GitProgram
from layerlock.sources.origins import Origins
from layerlock.sources.pip_configuration import PipConfiguration
from layerlock.store.local import LocalStore
from layerlock.workflows.archiving import archive_layer, verify_archive
from layerlock.workflows.building import build_layer, fetch_all, record_layer
from layerlock.workflows.driver import Driver
from layerlock.workflows.locking import lock_layer
from layerlock.workflows.supplier import StoreSupplier
from tests.sources.debian import Key
from tests.sources.test_debian_sources import FILES, publish
from tests.sources.web import Web, served_web

from .conftest import Bench
from .history import commit, layerlock
from .seeded import seeded

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def airless() -> None:
    """Skip where no namespace without a network can be made."""
    tried = subprocess.run(["unshare", "--net", "--", "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"no namespace without a network can be made here: {tried.stderr.strip()}")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a home that has no store yet."""
    home = tmp_path / "home"
    home.mkdir()
    return home


@pytest.fixture
def archive(bench: Bench, tmp_path: Path) -> Path:
    """Lock, record and archive the layer tiny; Debian's sources, which are large, are tried elsewhere."""
    lock_layer(bench.driver(), "tiny")
    record_layer(bench.driver(), "tiny", tmp_path / "dist")
    place = tmp_path / "archive"
    archived = archive_layer(bench.driver(), "tiny", Archive(place), debian_sources=False)
    assert archived.sources_written == len(archived.manifest.files) + len(archived.manifest.trees)
    assert archived.problems == ()
    return place


def result(done: CompletedProcess[str]) -> dict[str, Any]:
    """Give the result that `--json` wrote."""
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    found: dict[str, Any] = next(row for row in rows if row["event"] == "Result")
    return found


def test_an_air_gapped_rebuild_in_an_empty_folder(
    bench: Bench, archive: Path, home: Path, tmp_path: Path, airless: None
) -> None:
    """By the layer's name, in a network namespace that has no network; then once more, by the zip."""
    shutil.rmtree(bench.folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    own = tmp_path / "own"
    arguments = ("--json", "--from", str(archive), "--store", str(own))
    done = layerlock(empty, "reproduce", "tiny", *arguments, home=home, without_network=True)
    assert done.returncode == 0, done.stderr
    verdict = result(done)
    assert verdict["identical"]
    assert len(verdict["compared"]) == 12
    assert verdict["reused"] == []
    zipped = str(tmp_path / "dist" / "tiny.zip")
    again = layerlock(empty, "reproduce", "--zip", zipped, *arguments, home=home, without_network=True)
    assert again.returncode == 0, again.stderr
    assert result(again)["reused"] == verdict["compared"]
    assert list(empty.iterdir()) == []


def test_a_checkout_builds_from_the_archive(bench: Bench, archive: Path, tmp_path: Path) -> None:
    """With a store that has no source, and not one address is asked; of the environments all is tried above."""
    bench.store = seeded(bench.store, tmp_path / "other-store", sources=False)
    bench.events.clear()
    built = build_layer(bench.driver(archive=archive), "tiny", tmp_path / "out")
    assert built.confirmed
    fetched = [event.url for event in bench.events if isinstance(event, FetchStarted)]
    assert fetched
    assert all(url.startswith(str(archive)) for url in fetched)
    assert bench.of(BuildStarted)


def test_what_an_archive_lacks_or_has_damaged(
    bench: Bench, archive: Path, home: Path, tmp_path: Path
) -> None:
    manifest = Archive(archive).manifests()[0]
    files = {file.name: archive / "files" / "sha256" / file.sha256 for file in manifest.files}
    name = next(name for name in files if name.startswith("bash_"))
    fine = layerlock(tmp_path, "archive", "--verify", str(archive), home=home)
    assert (fine.returncode, fine.stdout.partition(" lists ")[0]) == (
        0,
        "everything that 1 manifest of " + str(archive),
    )

    def fetch() -> CompletedProcess[str]:
        return layerlock(bench.folder, "fetch", "tiny", "--from", str(archive), home=home)

    data = files[name].read_bytes()
    files[name].unlink()
    missing = fetch()
    assert missing.returncode == 18
    assert f"bash is not in the archive {archive}" in missing.stderr
    assert layerlock(tmp_path, "archive", "--verify", str(archive), home=home).returncode == 18
    files[name].write_bytes(bytes(len(data)))
    damaged = fetch()
    assert damaged.returncode == 6
    assert f"{files[name]} is damaged" in damaged.stderr
    verified = layerlock(tmp_path, "archive", "--verify", str(archive), home=home)
    assert verified.returncode == 6
    assert verified.stdout.startswith(f"{files[name]}: its hash is ")
    # The next run mends it, and writes nothing else.
    archived = archive_layer(bench.driver(), "tiny", Archive(archive), debian_sources=False)
    assert archived.sources_written == 1
    assert files[name].read_bytes() == data
    assert fetch().returncode == 0


def test_an_archive_is_the_same_whenever_it_is_written(bench: Bench, archive: Path, tmp_path: Path) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    before = contents(archive)
    other = tmp_path / "other"
    archive_layer(bench.driver(), "tiny", Archive(other), debian_sources=False)
    assert contents(other) == before
    assert archive_layer(bench.driver(), "tiny", Archive(archive), debian_sources=False).written == 0
    assert contents(archive) == before


def test_a_second_lock_shares_what_is_the_same(
    bench: Bench, archive: Path, home: Path, tmp_path: Path
) -> None:
    """The newer lock is told apart by hash; a past revision is archived as it was."""
    first = commit(bench.folder, "First")
    bench.edit("recipes/packages/tiny-c.toml", lambda text: text.replace("-Os", "-O1"))
    lock_layer(bench.driver(), "tiny")
    archived = archive_layer(bench.driver(), "tiny", Archive(archive), debian_sources=False)
    assert archived.written == 0
    assert len(Archive(archive).manifests()) == 2
    both = layerlock(tmp_path, "reproduce", "tiny", "--from", str(archive), home=home)
    assert both.returncode == 2
    assert "holds 2 locks of `tiny`" in both.stderr
    for manifest in Archive(archive).manifests():
        assert f"--lock {archive}/files/sha256/{manifest.lock}" in both.stderr
    other = tmp_path / "past"
    done = layerlock(
        bench.folder,
        "archive",
        f"tiny@{first}",
        "--to",
        str(other),
        "--without-debian-sources",
        home=home,
        store=bench.store,
    )
    assert done.returncode == 0, done.stderr
    names = [{path.name for path in (place / "manifests").iterdir()} for place in (other, archive)]
    assert len(names[0]) == 1
    assert names[0] < names[1]
    (kept,) = Archive(other).manifests()
    assert kept.zip is not None


class Loopback(StoreSupplier):
    """The supply of sources, but for Debian's source packages: those come from a mirror of the tests."""

    def __init__(self, bench: Bench, web: Web, key: Key) -> None:
        apt = (AptSource(address=f"{web.url}/debian", suites=("bullseye",), components=("main",)),)
        origins = Origins(pip=PipConfiguration(indexes=()), apt=apt, snapshot_address=None)
        self.means = Reach(fetcher=Fetcher(), origins=origins, git=GitProgram(), repository=bench.folder)
        self.key = key
        super().__init__(LocalStore(bench.store), lambda: self.means, bench.events.append)

    def source_packages(
        self, environment: EnvironmentRecipe, wanted: Collection[tuple[str, str]]
    ) -> tuple[SourcePackage, ...]:
        about = environment.environment
        return find_sources(about, wanted, self.means, silent, keyring=self.key.keyring)


GCC = "recipes/packages/gcc-runtime.toml"


def test_source_packages_of_shipped_binaries(bench: Bench, tmp_path: Path) -> None:
    """What the purl of a recipe names is looked up in the pinned packages themselves, and then in the signed index."""
    lock_layer(bench.driver(), "tiny")
    fetch_all(bench.driver(), "tiny")
    place, key = Archive(tmp_path / "archive"), Key()
    with served_web(tmp_path / "web") as web:
        driver = replace(bench.driver(), supplier=Loopback(bench, web, key))
        publish(web, key, "debian", "10.2.1-6", name="gcc-10", files=False)
        first = archive_layer(driver, "tiny", place, debian_sources=True)
        assert [(p.package, p.complete, p.files) for p in first.manifest.source_packages] == [
            ("gcc-10", False, ())
        ]
        assert len(first.problems) == len(FILES)
        assert verify_archive(place, bench.events.append) == (1, ())
        assert any(
            "gcc-10 10.2.1-6 was not complete" in e.message for e in bench.events if isinstance(e, Warned)
        )

        publish(web, key, "debian", "10.2.1-6", name="gcc-10")
        second = archive_layer(driver, "tiny", place, debian_sources=True)
        assert (second.problems, second.sources_written) == ((), len(FILES))
        (kept,) = second.manifest.source_packages
        assert (kept.version, kept.ships_in, kept.complete) == ("10.2.1-6", ("gcc-runtime",), True)
        assert {place.read(sha256, "a file") for sha256 in kept.files} == set(FILES.values())
        named = {
            file.name
            for file in second.manifest.files
            if file.needed_by == ("source package gcc-10 10.2.1-6",)
        }
        assert named == set(FILES)

        publish(web, key, "debian", "10.2.1-7", name="gcc-10")
        # What is there already needs no index, and is not forgotten by a run that does not ask for it.
        for debian_sources in (False, True):
            again = archive_layer(driver, "tiny", place, debian_sources=debian_sources)
            assert (again.manifest, again.problems) == (second.manifest, ())
        gone = archive_layer(driver, "tiny", Archive(tmp_path / "other"), debian_sources=True)
        assert "lists gcc-10 10.2.1-6" in gone.problems[0]
        bench.edit(
            GCC,
            lambda text: re.sub(r"deb/debian/.*arch=source", "deb/debian/libgfortran5@10.2.1-6?arch=x", text),
        )
        binary = archive_layer(
            _afresh(driver, bench), "tiny", Archive(tmp_path / "third"), debian_sources=True
        )
        assert binary.problems == gone.problems
        bench.edit(GCC, lambda text: text.replace("10.2.1-6?", "10.2.1-5?"))
        with pytest.raises(
            InvalidRecipe, match=r"no package of the environment `bullseye` is libgfortran5 10\.2\.1-5"
        ) as caught:
            archive_layer(_afresh(driver, bench), "tiny", place, debian_sources=True)
        assert str(caught.value.location).startswith(f"{GCC}:11")


def _afresh(driver: Driver, bench: Bench) -> Driver:
    """Give the driver over recipes that were changed."""
    return replace(bench.driver(), supplier=driver.supplier)


@pytest.mark.parametrize("files", [1, 60])
def test_an_archive_that_was_killed_is_completed(
    bench: Bench, archive: Path, tmp_path: Path, files: int
) -> None:
    """SIGKILL once some files stand; the next run brings the rest and gives the same folder."""
    place = tmp_path / "killed"
    command = [sys.executable, "-m", "layerlock", "--repo", str(bench.folder), "--store", str(bench.store)]
    command += ["archive", "tiny", "--to", str(place), "--without-debian-sources"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if len(list((place / "files" / "sha256").glob("*"))) >= files:
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert list((place / "manifests").glob("*")) == []
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert not (place / "tmp").exists()
    names = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}
    assert names == {str(path.relative_to(archive)) for path in archive.rglob("*") if path.is_file()}
