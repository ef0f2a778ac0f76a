"""A docker engine: the one module that imports the package `docker`, and the one place where its errors are told apart.

Everything here is one call of the engine's API, or a few; what is made of them stands in `sandbox/engine/`.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Generator, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import docker
import docker.context
import docker.errors
import docker.types
import docker.utils
import requests.exceptions
from docker.context.config import get_current_context_name

from layerlock.errors import BuildFailed, SandboxUnavailable
from layerlock.sandbox.engine.connection import Connection
from layerlock.sandbox.engine.layout import GIVEN, OUTER, Container
from layerlock.sandbox.rlimits import rlimits

OLDEST = (1, 41)
"""The oldest API that will do: that of Docker 20.10."""

LABEL = "layerlock.driver"
"""The label on every container: which driver made it."""

_PATIENCE = 10
_CALL = 120
_TRANSFER = 3600
_PIECE = 1 << 20
_DEFAULT = "unix:///var/run/docker.sock"
_HINT = "start a docker engine, or name one with DOCKER_HOST or DOCKER_CONTEXT"
_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "arm64": "aarch64", "aarch64": "aarch64"}


class Missing(Exception):
    """The engine has no such container or image (any more)."""


class Engine:
    """An engine that answers. Every method raises SandboxUnavailable where the engine cannot or will not do it."""

    def __init__(self, address: str, settings: Mapping[str, Any], version: str) -> None:
        self.address = address
        self._settings = settings
        self._version = version
        self._client = _client(settings, version, _CALL)
        self._transfer = _client(settings, version, _TRANSFER)

    @contextlib.contextmanager
    def session(self) -> Iterator[Engine]:
        """Lend the same engine over connections of its own: the library keeps one open for every container's id."""
        own = Engine(self.address, self._settings, self._version)
        try:
            yield own
        finally:
            own._client.close()
            own._transfer.close()

    def machine(self) -> str:
        """Give the engine's processor as `uname -m` calls it."""
        with self._asked("tell what it runs on"):
            said = str(self._client.info().get("Architecture", ""))
        return _MACHINES.get(said, said)

    def has_image(self, tag: str) -> bool:
        """Say whether an image is there."""
        try:
            with self._asked("look for an image"):
                self._client.inspect_image(tag)
        except Missing:
            return False
        return True

    def import_image(self, tag: str, tree: Iterator[bytes]) -> None:
        """Make an image of one layer out of a tar stream."""
        repository, _, name = tag.partition(":")
        with self._asked(f"import the image {tag}"):
            self._transfer.import_image_from_stream(
                tree, repository=repository, tag=name, changes=[f"LABEL {LABEL}="]
            )

    def create(self, container: Container, label: str) -> str:
        """Make a container, not started yet, that removes itself and its volumes when it ends; give its id."""
        try:
            with self._asked("make a container"):
                made = self._client.create_container(
                    container.image,
                    list(container.command),
                    user=container.way.user,
                    stdin_open=True,
                    volumes=[GIVEN],
                    labels={LABEL: label},
                    network_disabled=True,
                    working_dir="/",
                    host_config=_host_config(self._client, container),
                )
        except SandboxUnavailable as error:
            if "bind source path does not exist" in error.message:
                raise BuildFailed(f"a mount's source cannot be used: {error.message}") from error
            raise
        return str(made["Id"])

    def start(self, container: str) -> None:
        """Start a container."""
        with self._asked("start a container"):
            self._client.start(container)

    def attach(self, container: str) -> Connection:
        """Tie this process to a container's standard streams; the end of either ends them."""
        with self._asked("attach to a container"):
            held = self._client.attach_socket(
                container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
        return Connection(_plain(held), held)

    def send(self, container: str, path: str, tree: Iterator[bytes]) -> None:
        """Unpack a tar stream below a folder of a container's volume."""
        with self._asked("take files"):
            self._transfer.put_archive(container, path, tree)

    def fetch(self, container: str, path: str) -> Generator[bytes, None, None]:
        """Give a folder or file of a container as a tar stream, below its own name. Raises Missing."""
        # Not the library's own method: it leaves the connection open where the stream is not read to its end.
        address = f"{self._transfer.base_url}/v{self._transfer.api_version}/containers/{container}/archive"
        with self._asked("give files"):
            answer = self._transfer.get(address, params={"path": path}, stream=True, timeout=_TRANSFER)
            with contextlib.closing(answer):
                if answer.status_code == HTTPStatus.NOT_FOUND:
                    raise Missing(path)
                answer.raise_for_status()
                yield from answer.iter_content(_PIECE)

    def remove(self, container: str) -> None:
        """End and remove a container with its volumes, and wait until it is gone; harmless if it is."""
        until = time.monotonic() + _CALL
        while True:
            try:
                with self._asked("remove a container"):
                    self._client.remove_container(container, v=True, force=True)
                    return
            except Missing:
                return
            except SandboxUnavailable as error:
                # It is removing itself at this moment.
                if "already in progress" not in error.message or time.monotonic() > until:
                    raise
            time.sleep(0.02)

    def processes(self, container: str) -> list[list[str]]:
        """Give id, resident KiB and name of every process in a container."""
        with self._asked("list processes"):
            rows = self._client.top(container, ps_args="-eo pid,rss,comm")["Processes"] or []
        return [[str(field) for field in row] for row in rows]

    def statistics(self, container: str) -> Iterator[Mapping[str, Any]]:
        """Give what a container uses, once a second until it ends."""
        with self._asked("measure"):
            yield from self._client.stats(container, stream=True, decode=True)

    def memory_events(self, container: str) -> Any:
        """Give a stream, to be closed, of an item for each time that a container's memory ran out."""
        with self._asked("watch a container"):
            return self._client.events(decode=True, filters={"container": container, "event": "oom"})

    def execute(
        self, container: str, command: tuple[str, ...], user: str, *, terminal: bool
    ) -> tuple[str, Connection]:
        """Start a further process in a container; give its id and its streams."""
        with self._asked("start a process"):
            made = self._client.exec_create(
                container, list(command), stdin=True, tty=terminal, user=user, environment=["TERM=dumb"]
            )["Id"]
            held = self._client.exec_start(made, tty=terminal, socket=True)
        return str(made), Connection(_plain(held), held)

    def resize(self, process: str, rows: int, columns: int) -> None:
        """Tell a further process the size of its terminal."""
        with contextlib.suppress(SandboxUnavailable, Missing), self._asked("resize a terminal"):
            self._client.exec_resize(process, height=rows, width=columns)

    def status(self, process: str) -> int:
        """Give the exit status of a further process whose streams have ended, as soon as it is known."""
        until = time.monotonic() + _PATIENCE
        while True:
            with self._asked("tell of a process"):
                said = self._client.exec_inspect(process)
            if not said.get("Running") or time.monotonic() > until:
                return int(said.get("ExitCode") or 0)
            time.sleep(0.02)

    def labelled(self) -> dict[str, str]:
        """Give the label of every container that a driver made, by the container's id."""
        with self._asked("list containers"):
            found = self._client.containers(all=True, filters={"label": LABEL})
        return {str(each["Id"]): str(each["Labels"].get(LABEL, "")) for each in found}

    @contextlib.contextmanager
    def _asked(self, what: str) -> Iterator[None]:
        try:
            yield
        except docker.errors.NotFound as error:
            raise Missing(str(error.explanation)) from error
        except docker.errors.APIError as error:
            raise SandboxUnavailable(
                f"the docker engine at {self.address} refuses to {what}: {error.explanation or error}"
            ) from error
        except (requests.exceptions.RequestException, docker.errors.DockerException, OSError) as error:
            raise _unreachable(self.address, error) from error


def connect(variables: Mapping[str, str], *, patience: int = _PATIENCE) -> Engine:
    """Find the engine that the docker command would use with these environment variables.

    Raises:
        SandboxUnavailable: none is there, it does not let us in, does not answer in time, or is too old.
    """
    address = _DEFAULT
    try:
        settings = _settings(variables)
        address = str(settings["base_url"])
        _knock(address)
        client = _client(settings, ".".join(map(str, OLDEST)), patience)
        try:
            said = client.version(api_version=False)
        finally:
            client.close()
    except (
        requests.exceptions.RequestException,
        docker.errors.DockerException,
        OSError,
        ValueError,
    ) as error:
        raise _unreachable(address, error) from error
    version = str(said.get("ApiVersion", "")) if isinstance(said, dict) else ""
    try:
        known = tuple(int(part) for part in version.split("."))
    except ValueError:
        raise SandboxUnavailable(f"what answers at {address} is no docker engine", hint=_HINT) from None
    if known < OLDEST:
        raise SandboxUnavailable(
            f"the docker engine at {address} is too old: Docker {said.get('Version')} with API {version}",
            hint="Docker 20.10 (API 1.41) or later is needed",
        )
    return Engine(address, settings, version)


def _knock(address: str) -> None:
    """Try a socket of this host: the library wraps what is wrong with it, and leaves its own end open."""
    if address.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as trial:
            trial.settimeout(_PATIENCE)
            trial.connect("/" + address.removeprefix("unix://").lstrip("/"))


def _settings(variables: Mapping[str, str]) -> dict[str, Any]:
    """Say where the engine is, in the docker command's order: DOCKER_HOST, DOCKER_CONTEXT, the current context."""
    # An empty mapping would make the library read the process's own.
    found: dict[str, Any] = {**docker.utils.kwargs_from_env({"": "", **variables})}
    if "base_url" not in found:
        name = variables.get("DOCKER_CONTEXT") or get_current_context_name()
        if name and name != "default":
            context = docker.context.Context.load_context(name)
            if context is None:
                raise docker.errors.ContextNotFound(name)
            found = {"base_url": context.Host, "tls": context.TLSConfig or False}
    return {"base_url": _DEFAULT, **found}


def _client(settings: Mapping[str, Any], version: str, seconds: int) -> Any:
    shell_out = str(settings["base_url"]).startswith("ssh://")
    client = docker.APIClient(version=version, timeout=seconds, use_ssh_client=shell_out, **settings)
    # No proxy for the engine, and nothing out of the process's own variables.
    client.trust_env = False
    return client


def _plain(held: Any) -> socket.socket:
    """Give the socket below what the library gives: bytes pass to and fro by it alone."""
    found: socket.socket = getattr(held, "_sock", held)
    found.settimeout(None)
    return found


def _host_config(client: Any, container: Container) -> Any:
    limits = container.limits
    # One more than allowed, so that a sandbox that goes past its limit can be seen to.
    processes = limits.processes + OUTER + 1
    made = client.create_host_config(
        auto_remove=True,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        cap_add=list(container.way.capabilities),
        # As under the other backend no filter but bubblewrap's own measures: the same system calls do the same.
        security_opt=["no-new-privileges", "seccomp=unconfined", "apparmor=unconfined", "label=disable"],
        mem_limit=limits.memory,
        memswap_limit=limits.memory,
        pids_limit=processes,
        ulimits=[
            docker.types.Ulimit(name=name, soft=soft, hard=hard) for name, soft, hard in rlimits(limits)
        ],
        mounts=[
            docker.types.Mount(bind.target, str(bind.source), type="bind", read_only=not bind.writable)
            for bind in container.binds
        ],
        log_config=docker.types.LogConfig(type="none"),
        restart_policy={"Name": ""},
    )
    # bubblewrap has to mount a /proc of its own, which the kernel allows only where nothing of it is hidden.
    made["MaskedPaths"] = []
    made["ReadonlyPaths"] = []
    return made


def _unreachable(address: str, error: Exception) -> SandboxUnavailable:
    """Say why an engine cannot be spoken to; the library wraps the reason several times over."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, PermissionError):
            return SandboxUnavailable(
                f"the docker engine at {address} does not let this user in",
                hint="join the group `docker` (as good as root on this host), or use a rootless engine",
            )
        if isinstance(cause, (FileNotFoundError, ConnectionRefusedError, socket.gaierror)):
            return SandboxUnavailable(f"there is no docker engine at {address}", hint=_HINT)
    if any(isinstance(cause, (TimeoutError, requests.exceptions.Timeout)) for cause in causes):
        return SandboxUnavailable(
            f"the docker engine at {address} does not answer", hint="restart the engine, or name another one"
        )
    if any(isinstance(cause, docker.errors.ContextNotFound) for cause in causes):
        return SandboxUnavailable(f"{error}", hint="see: docker context ls")
    return SandboxUnavailable(f"the docker engine at {address} cannot be used: {error}", hint=_HINT)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Give an error with everything that led to it, by whichever of the three ways it is kept."""
    todo, seen = [error], set[int]()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        linked = (each.__cause__, each.__context__, getattr(each, "reason", None), *each.args)
        todo += [other for other in linked if isinstance(other, BaseException)]
