"""Nothing of a container outlives its run: no process, no container, no volume, however the run or the driver ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from docker import APIClient
from docker.errors import NotFound

from layerlock.sandbox.docker import LABEL
from layerlock.sandbox.engine.lifetime import own_label, sweep
from layerlock.sandbox.engine.run import run
from layerlock.sandbox.engine.station import Station
from layerlock.sandbox.spec import SandboxSpec

from .conftest import Backend, Specs

pytestmark = pytest.mark.sandbox
Find = Callable[[str], list[int]]
Stations = Callable[..., Station]

DRIVER = """
import sys
from pathlib import *
from layerlock.sandbox.docker import connect
from layerlock.sandbox.engine.image import Images
from layerlock.sandbox.engine.layout import Way
from layerlock.sandbox.engine.run import run
from layerlock.sandbox.engine.station import Station
from layerlock.sandbox.program import pinned
from layerlock.sandbox.spec import *
engine = connect({variables})
images = Images(engine=engine, pin=pinned({machine!r}), folder={folder!r})
station = Station(engine=engine, images=images, way={way})
images.of({spec}.root, station.way.owner)
print("go", flush=True)
try:
    run({spec}, station=station, log=Path({log!r}), on_line=lambda line: print(line, flush=True))
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(130)
"""


class Leftovers:
    """What an engine holds now that it did not hold before."""

    def __init__(self, client: APIClient) -> None:
        self._client = client
        self._before = self._listed()

    def _listed(self) -> set[str]:
        containers = {each["Id"] for each in self._client.containers(all=True)}
        return containers | {each["Name"] for each in self._client.volumes()["Volumes"] or ()}

    def now(self) -> set[str]:
        """List containers and volumes that came since."""
        return self._listed() - self._before

    def gone(self, seconds: float = 20.0) -> bool:
        """Wait until there are none: an engine removes volumes a moment after it has forgotten their container."""
        until = time.monotonic() + seconds
        while self.now():
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True


@pytest.fixture
def client(engine_host: str) -> Iterator[APIClient]:
    """Give a client of the tests' own."""
    made = APIClient(engine_host, version="auto")
    yield made
    made.close()


@pytest.fixture
def leftovers(client: APIClient) -> Leftovers:
    """Tell what comes and stays."""
    return Leftovers(client)


def _unique() -> str:
    return f"{3000 + time.time_ns() % 10**9 / 10**9:.9f}"


def _gone(find: Find, word: str, seconds: float = 15.0) -> bool:
    until = time.monotonic() + seconds
    while find(word):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(params=[True, False], ids=["mounted", "streamed"])
def station(request: pytest.FixtureRequest, open_stations: Stations) -> Station:
    """Give either kind of station."""
    return open_stations(bind=request.param)


@pytest.mark.parametrize("end", ["exit 0", "exit 1", "sleep 60"])
def test_nothing_is_left_of_a_run(
    station: Station, spec: Specs, tmp_path: Path, processes_named: Find, leftovers: Leftovers, end: str
) -> None:
    word = _unique()
    made = spec("sh", "-c", f"setsid sleep {word} & {end}", limits={"seconds": 2.0})
    run(made, station=station, log=tmp_path / "log", on_line=lambda _: None)
    assert processes_named(word) == []
    assert leftovers.gone()


def test_nothing_is_left_when_it_is_cancelled(
    station: Station, spec: Specs, tmp_path: Path, processes_named: Find, leftovers: Leftovers
) -> None:
    word, cancel = _unique(), threading.Event()
    made = spec("sh", "-c", f"echo here; sleep {word}")
    outcome = run(made, station=station, log=tmp_path / "log", on_line=lambda _: cancel.set(), cancel=cancel)
    assert outcome.cancelled
    assert processes_named(word) == []
    assert leftovers.gone()


def test_a_failing_listener_ends_the_container(
    station: Station, spec: Specs, tmp_path: Path, processes_named: Find, leftovers: Leftovers
) -> None:
    def refuse(line: str) -> None:
        raise RuntimeError(line)

    word = _unique()
    with pytest.raises(RuntimeError, match="hello"):
        run(
            spec("sh", "-c", f"echo hello; sleep {word}"), station=station, log=tmp_path / "l", on_line=refuse
        )
    assert processes_named(word) == []
    assert leftovers.gone()


def _code(spec: SandboxSpec, station: Station, variables: Mapping[str, str], tmp_path: Path) -> list[str]:
    code = DRIVER.format(
        spec=repr(spec), variables=dict(variables), machine=station.images.pin.machine,
        folder=station.images.folder, way=_way(station), log=str(tmp_path / "driver.log"),
    )  # fmt: skip
    return [sys.executable, "-c", code]


def _way(station: Station) -> str:
    return repr(station.way)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_drivers_end_is_the_containers(
    station: Station,
    spec: Specs,
    tmp_path: Path,
    engine_variables: dict[str, str],
    processes_named: Find,
    leftovers: Leftovers,
    how: signal.Signals,
) -> None:
    word = _unique()
    made = spec("sh", "-c", f"trap '' HUP INT TERM; (setsid sleep {word} &); echo ready; sleep {word}")
    with subprocess.Popen(
        _code(made, station, engine_variables, tmp_path), stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        assert [driver.stdout.readline() for _ in range(2)] == ["go\n", "ready\n"]
        assert leftovers.now()
        driver.send_signal(how)
        status = driver.wait(timeout=30)
        said = driver.stdout.read()
    assert _gone(processes_named, word)
    assert leftovers.gone()
    assert (status, said) == ((130, "interrupted\n") if how == signal.SIGINT else (-signal.SIGKILL, ""))


def test_a_driver_killed_during_the_start_leaves_nothing_that_runs(
    open_stations: Stations,
    spec: Specs,
    tmp_path: Path,
    engine_variables: dict[str, str],
    processes_named: Find,
    leftovers: Leftovers,
) -> None:
    """A container that was made and never started may be left: the next driver sweeps it."""
    station, word = open_stations(bind=True), _unique()
    for step in range(8):
        with subprocess.Popen(
            _code(spec("sleep", word), station, engine_variables, tmp_path),
            stdout=subprocess.PIPE,
            text=True,
        ) as driver:
            assert driver.stdout is not None
            assert driver.stdout.readline() == "go\n"
            time.sleep(step * 0.06)
            driver.kill()
    assert _gone(processes_named, word)
    until = time.monotonic() + 20
    while leftovers.now() and time.monotonic() < until:
        sweep(station.engine)
        time.sleep(0.1)
    assert leftovers.gone()


@pytest.fixture
def idle(open_stations: Stations, client: APIClient) -> Iterator[Callable[[str], str]]:
    """Make containers with a label, never started."""
    image = open_stations(bind=True).images.bare()
    made: list[str] = []

    def make(label: str) -> str:
        made.append(client.create_container(image, ["x"], labels={LABEL: label})["Id"])
        return made[-1]

    yield make
    for container in made:
        with suppress(NotFound):
            client.remove_container(container)


def test_only_containers_of_dead_drivers_are_swept(
    open_stations: Stations, idle: Callable[[str], str]
) -> None:
    engine = open_stations(bind=True).engine
    boot, namespace, pid, started = own_label().split(" ")
    kept = {
        idle(own_label()),
        idle(f"another-boot {namespace} {pid} 1"),
        idle(f"{boot} pid:[1] {pid} 1"),
        idle("what is this"),
    }
    swept = {idle(f"{boot} {namespace} {pid} 1"), idle(f"{boot} {namespace} 99999999 {started}")}
    sweep(engine)
    assert kept <= engine.labelled().keys()
    assert not swept & engine.labelled().keys()


def test_no_descriptor_is_left_open(docker: Backend, spec: Specs) -> None:
    docker(spec("sh", "-c", ":"))
    before = sorted(path.name for path in Path("/proc/self/fd").iterdir())
    for _ in range(3):
        docker(spec("sh", "-c", "echo x"))
    assert sorted(path.name for path in Path("/proc/self/fd").iterdir()) == before
