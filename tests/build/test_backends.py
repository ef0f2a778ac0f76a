"""The same derivation gives the same bytes in every sandbox, and fails in the same way."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Literal, NoReturn

import pytest

from layerlock.errors import BuildFailed, OutOfMemory, PatchFailed, SandboxUnavailable
from layerlock.events import BuildFinished
from layerlock.model.derivation import Realisation
from layerlock.sandbox.engine.layout import Way
from layerlock.sandbox.engine.station import Station
from layerlock.workflows.building import build_package
from layerlock.workflows.driver import Bubblewrap, Docker, Driver, FirstThatWorks

from .conftest import Bench
from .test_realise import script

pytestmark = pytest.mark.sandbox
How = Literal["mounted", "streamed"]


def by_docker(bench: Bench, engine: str, how: How) -> Driver:
    """Make a driver that builds in containers."""
    driver = bench.driver(sandbox="docker", environment={**os.environ, "DOCKER_HOST": engine})
    if how == "mounted":
        return driver
    station = driver.sandbox.prepare()
    assert isinstance(station, Station)
    way = Way(user="0:0", capabilities=station.way.capabilities, bind=False)
    far = replace(station, way=way, returned=("/out", "/build/report.json"))
    return replace(driver, sandbox=Docker(lambda: far))


def forget(store: Path, made: Realisation) -> None:
    """Take it from the store that something was built, so that it is built again."""
    (store / "planned" / f"{made.planned}.json").unlink()
    (store / "realisations" / f"{made.resolved}.json").unlink()


@pytest.mark.parametrize(
    ("package", "how"), [("tiny-c", "mounted"), ("tiny-c", "streamed"), ("tiny-cpp", "mounted")]
)
def test_both_sandboxes_give_the_same_bytes(bench: Bench, engine_host: str, package: str, how: How) -> None:
    ours, _ = build_package(bench.driver(sandbox="bwrap"), package)
    forget(bench.store, ours)
    bench.events.clear()
    theirs, _ = build_package(by_docker(bench, engine_host, how), package)
    assert package in bench.of(BuildFinished)
    assert (theirs.output, theirs.planned) == (ours.output, ours.planned)


@pytest.mark.parametrize("how", ["mounted", "streamed"])
def test_lack_of_memory_is_told_from_a_compilers_error(bench: Bench, engine_host: str, how: How) -> None:
    script(bench, "echo 'int x = ;' > wrong.c && gcc -c wrong.c")
    with pytest.raises(BuildFailed, match="expected expression"):
        build_package(by_docker(bench, engine_host, how), "tiny-c")
    # Code that takes the compiler more memory than it may have.
    many = (
        "awk 'BEGIN { for (i = 0; i < 400000; i++) printf \"int f%d(int x) { return x + %d; }\\n\", i, i }'"
    )
    script(bench, f"{many} > large.c && gcc -O2 -c large.c", limits='memory = "128 MiB"')
    with pytest.raises(OutOfMemory, match="memory limit"):
        build_package(by_docker(bench, engine_host, how), "tiny-c")


@pytest.mark.parametrize("how", ["mounted", "streamed"])
def test_a_guest_scripts_report_comes_back(bench: Bench, engine_host: str, how: How) -> None:
    bench.edit("sources/tiny-c/tiny.c", lambda text: text.replace("return 41", "return 40"))
    with pytest.raises(PatchFailed, match=r"tiny\.c"):
        build_package(by_docker(bench, engine_host, how), "tiny-c")


def test_without_an_engine_nothing_is_built(bench: Bench, tmp_path: Path) -> None:
    bench.edit("recipes/packages/tiny-c.toml", lambda text: text.replace("-Os", "-O1 -DNOWHERE"))
    nowhere = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/none"}
    with pytest.raises(SandboxUnavailable, match="there is no docker engine at unix://"):
        build_package(bench.driver(sandbox="docker", environment=nowhere), "tiny-c")


def test_docker_is_used_where_bubblewrap_does_not_work(bench: Bench, engine_host: str) -> None:
    bench.edit("recipes/packages/tiny-c.toml", lambda text: text.replace("-Os", "-O1 -DELSEWHERE"))
    driver = by_docker(bench, engine_host, "mounted")
    either = replace(driver, sandbox=FirstThatWorks(Bubblewrap(_refuse), driver.sandbox))
    made, _ = build_package(either, "tiny-c")
    assert made.size > 0


def test_where_neither_works_both_reasons_are_told() -> None:
    neither = FirstThatWorks(Bubblewrap(_refuse), Docker(_refuse))
    with pytest.raises(SandboxUnavailable, match="not here; not here") as caught:
        neither.prepare()
    assert caught.value.hint == "look elsewhere"


def _refuse() -> NoReturn:
    raise SandboxUnavailable("not here", hint="look elsewhere")
