"""A small root made of the host's own programs, bubblewrap, and backends that run specs in it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest

from layerlock.errors import SandboxUnavailable
from layerlock.model.recipe import Deb
from layerlock.sandbox.engine.run import run as run_in_container
from layerlock.sandbox.engine.station import Station, open_station
from layerlock.sandbox.limits import Strategy, control
from layerlock.sandbox.probe import probe
from layerlock.sandbox.program import Program, hosts_own, pinned, unpacked
from layerlock.sandbox.run import run
from layerlock.sandbox.spec import Limits, Mount, Outcome, SandboxSpec

from .engines import without_docker

TOOLS = "bash cat chmod dd env head id ln ls mkdir mkfifo setsid sh sleep touch yes"
STDLIB = Path(sysconfig.get_path("stdlib"))
PYTHON = Path(os.path.realpath(sys.executable))
ROOMY = Limits(memory=1 << 30, processes=200, seconds=60.0, log_bytes=1 << 20, output_bytes=64 << 20)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """An outcome together with what was logged."""

    outcome: Outcome
    log: str
    lines: tuple[str, ...]


class Backend(Protocol):
    """Runs a spec; each kind of sandbox has one, and the contract's tests know nothing else of it."""

    def __call__(self, spec: SandboxSpec, **choices: Any) -> Ran: ...


class Specs(Protocol):
    """Makes a spec of a command and of changes to roomy defaults, with fresh writable folders."""

    def __call__(self, *argv: str, **changes: Any) -> SandboxSpec: ...


def _libraries(files: list[Path]) -> set[Path]:
    """Ask the host's loader which libraries programs need."""
    done = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False)
    return {Path(found) for found in re.findall(r"(?:=> |^\s)(/\S+) \(0x", done.stdout, re.MULTILINE)}


def _place(root: Path, file: Path) -> None:
    """Copy a file of the host to the same path, past links among its folders (`/lib -> usr/lib`)."""
    target = root / os.path.realpath(file.parent).lstrip("/") / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy(file, target)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a shell, a few tools and Python; its standard library is a mount of its own."""
    folder = tmp_path_factory.mktemp("root")
    programs = [Path(found) for tool in TOOLS.split() if (found := shutil.which(tool, path="/usr/bin:/bin"))]
    assert len(programs) == len(TOOLS.split())
    extensions = sorted((STDLIB / "lib-dynload").glob("*.so"))
    for name in ("bin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            (folder / name).symlink_to(Path("/", name).readlink())
    for file in {*programs, PYTHON, *_libraries([*programs, PYTHON, *extensions])}:
        _place(folder, file)
    (folder / "etc").mkdir()
    (folder / "etc" / "environment-file").write_text("of the root\n")
    (folder / "etc" / "hosts").write_text("10.0.0.1 leaked\n")
    (folder / "sys").mkdir()
    (folder / "var" / "empty").mkdir(parents=True)
    return folder


@pytest.fixture(scope="session")
def unpacked_debs(tmp_path_factory: pytest.TempPathFactory) -> Path | None:
    """The pinned packages, fetched by apt and unpacked by dpkg; None where apt does not give these bytes."""
    pin = pinned(platform.machine())
    if pin is None or shutil.which("apt-get") is None:
        return None
    return _downloaded(pin.debs, tmp_path_factory.mktemp("debs"))


def _downloaded(debs: tuple[Deb, ...], downloads: Path) -> Path | None:
    tree = downloads / "tree"
    wanted = [f"{deb.name}={deb.version}" for deb in debs]
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}
    done = subprocess.run(
        ["apt-get", "download", *wanted],
        cwd=downloads,
        env=environment,
        capture_output=True,
        timeout=120,
        check=False,
    )
    found = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in downloads.glob("*.deb")}
    if done.returncode != 0 or {deb.sha256 for deb in debs} - found.keys():
        return None
    for deb in debs:
        subprocess.run(["dpkg-deb", "-x", str(found[deb.sha256]), str(tree)], check=True)
    return tree


@pytest.fixture(scope="session")
def program(unpacked_debs: Path | None) -> Program:
    """The pinned bubblewrap where it can be had, else the host's; without either nothing here can be tested."""
    pin = pinned(platform.machine())
    chosen = unpacked(pin, unpacked_debs) if pin is not None and unpacked_debs is not None else hosts_own()
    probe(chosen)
    return chosen


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Fresh /build, /out and /tmp."""
    made = {name: tmp_path / name for name in ("build", "out", "tmp")}
    for folder in made.values():
        folder.mkdir()
    made["tmp"].chmod(0o1777)
    return made


@pytest.fixture(scope="session")
def stdlib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests' Python code needs of the standard library: little enough to be sent for every run."""
    target = tmp_path_factory.mktemp("stdlib") / "lib"
    unwanted = (
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "__pycache__",
        "config-*",
        *("asyncio", "distutils", "email", "idlelib", "pydoc_data", "tkinter", "unittest", "xml"),
    )
    shutil.copytree(STDLIB, target, ignore=shutil.ignore_patterns(*unwanted, "ensurepip", "lib2to3", "*.a"))
    return target


@pytest.fixture
def spec(root: Path, folders: dict[str, Path], stdlib: Path) -> Specs:
    """Makes specs; `limits` may be a dict of changes."""

    def make(*argv: str, **changes: Any) -> SandboxSpec:
        limits = replace(ROOMY, **changes.pop("limits", {}))
        # Sent anew for every run to an engine far away: only where it is used.
        library = (Mount(source=stdlib, target=str(STDLIB)),) if argv[:1] == (str(PYTHON),) else ()
        mounts = (*library, *changes.pop("mounts", ()))
        variables = changes.pop("variables", {"PATH": "/usr/bin:/bin"})
        base = SandboxSpec(
            root=root, argv=argv, variables=variables, cwd="/build", limits=limits, mounts=mounts
        )
        changes = {**folders, **changes}
        return replace(base, **changes)

    return make


@pytest.fixture
def bwrap(program: Program, tmp_path: Path) -> Backend:
    """Runs specs by bubblewrap."""

    def go(spec: SandboxSpec, *, strategy: Strategy = "auto", **choices: Any) -> Ran:
        log = tmp_path / "log"
        lines: list[str] = []
        outcome = run(spec, program=program, log=log, on_line=lines.append, strategy=strategy, **choices)
        return Ran(outcome=outcome, log=log.read_text(errors="replace"), lines=tuple(lines))

    return go


@pytest.fixture(scope="session")
def shell_debs(tmp_path_factory: pytest.TempPathFactory, unpacked_debs: Path | None) -> Path:
    """The pinned packages with the shell that starts the program in containers."""
    pin = pinned(platform.machine())
    if pin is None or unpacked_debs is None:
        without_docker("apt does not give the pinned packages")
    tree = _downloaded(pin.shell_debs, tmp_path_factory.mktemp("shell"))
    if tree is None:
        without_docker("apt does not give the pinned shell")
    shutil.copytree(unpacked_debs, tree, symlinks=True, dirs_exist_ok=True)
    return tree


@pytest.fixture(scope="session")
def engine_variables(engine_host: str) -> dict[str, str]:
    """The environment variables that lead to the engine."""
    return {"DOCKER_HOST": engine_host}


@pytest.fixture(scope="session")
def open_stations(
    engine_variables: dict[str, str], shell_debs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Station]:
    """Opens stations on the engine, once for each kind."""

    @contextmanager
    def scratch(name: str) -> Iterator[Path]:
        yield tmp_path_factory.mktemp(name)

    @cache
    def opened(*, bind: bool) -> Station:
        return open_station(
            engine_variables, lambda _: shell_debs, scratch, machine=platform.machine(), bind=bind
        )

    return opened


def _by_docker(station: Station, tmp_path: Path) -> Backend:
    def go(spec: SandboxSpec, **choices: Any) -> Ran:
        log = tmp_path / "log"
        lines: list[str] = []
        outcome = run_in_container(spec, station=station, log=log, on_line=lines.append, **choices)
        return Ran(outcome=outcome, log=log.read_text(errors="replace"), lines=tuple(lines))

    return go


@pytest.fixture
def docker(open_stations: Callable[..., Station], tmp_path: Path) -> Backend:
    """Runs specs in containers, with the host's folders mounted."""
    return _by_docker(open_stations(bind=True), tmp_path)


@pytest.fixture
def streaming(open_stations: Callable[..., Station], tmp_path: Path) -> Backend:
    """Runs specs in containers, with folders sent and brought back as streams, as to an engine far away."""
    return _by_docker(open_stations(bind=False), tmp_path)


@pytest.fixture(params=["bwrap", "docker", "streaming"])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every kind of sandbox in turn; a new one adds its fixture's name above."""
    chosen: Backend = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=["cgroup2", "cgroup1", "watchdog"])
def strategy(request: pytest.FixtureRequest) -> Strategy:
    """Every way of controlling memory that works on this host; the watchdog always does."""
    chosen: Strategy = request.param
    try:
        control(chosen, ROOMY).close()
    except SandboxUnavailable as error:
        pytest.skip(error.message)
    return chosen


def python(code: str) -> tuple[str, ...]:
    """Give the command that runs Python code inside a root."""
    return (str(PYTHON), "-I", "-S", "-c", code)


@pytest.fixture
def processes_named() -> Iterator[Callable[[str], list[int]]]:
    """Finds live processes of the host by a word in their command line."""

    def find(word: str) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal() and int(entry.name) != os.getpid():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if word.encode() in words:
                    found.append(int(entry.name))
        return found

    yield find
