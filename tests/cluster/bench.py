"""A small repository, and a cluster for it: a scheduler and workers as processes, each in a network of its own.

The networks are namespaces, joined by a bridge in the first one: what reaches a worker goes through a link that a
test can cut.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import trustme

ROOT = Path(__file__).parents[2]
PORT = 8786
_KEPT = frozenset(
    {
        *("bash", "coreutils", "dash", "grep", "libacl1", "libattr1"),
        *("libbz2-1.0", "libc-bin", "libc6", "libcrypt1", "libexpat1", "libffi7"),
        *("libgcc-s1", "libgmp10", "liblzma5", "libpcre2-8-0", "libpcre3", "libpython3.9-minimal"),
        *("libpython3.9-stdlib", "libselinux1", "libssl1.1", "libtinfo6", "libuuid1", "patch"),
        *("python3-minimal", "python3.9-minimal", "sed", "zlib1g"),
    }
)
_PACKAGE = """\
[package]
name = "{name}"
version = "1.0"
license = "Apache-2.0"

[build]
environment = "small"
inputs = [{inputs}]
script = '''
echo building {name}
for each in /deps/*/text; do test -f "$each" && cat "$each" >> /out/text; done
sleep {seconds}
echo {name} >> /out/text
'''
"""
_ENVIRONMENT = """\
[environment]
name = "small"
summary = "A shell, and a Python for guest scripts"
system = "x86_64-linux"
archive = "debian"
suite = "bullseye"
snapshot = "20250815T000000Z"
packages = ["bash", "coreutils", "dash", "python3-minimal"]

[variables]
PATH = "/usr/bin:/bin"
"""


def write_repository(folder: Path, seconds: float, **packages: Sequence[str]) -> Path:
    """Write recipes of packages that take some seconds each: their names, and the names of their inputs."""
    recipes = folder / "recipes"
    for kind in ("packages", "environments", "layers"):
        (recipes / kind).mkdir(parents=True)
    lines = (ROOT / "recipes/environments/bullseye.debs.toml").read_text().splitlines()
    named = {line: re.match(r'\s*\{ name = "([^"]+)"', line) for line in lines}
    kept = [line for line, found in named.items() if found is None or found[1] in _KEPT]
    (recipes / "environments/small.debs.toml").write_text("\n".join(kept) + "\n")
    (recipes / "environments/small.toml").write_text(_ENVIRONMENT)
    for name, inputs in packages.items():
        text = _PACKAGE.format(
            name=name, inputs=", ".join(f'"{one}"' for one in inputs), seconds=f"{seconds:.2f}"
        )
        (recipes / f"packages/{name}.toml").write_text(text)
    return folder


@dataclass
class Process:
    """A process of the driver, and the lines that it has written so far, of both streams."""

    popen: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        with self.popen.stdout as lines:
            self.lines.extend(line.rstrip("\n") for line in lines)

    def wait_for(self, pattern: str, seconds: float = 30.0) -> re.Match[str]:
        """Wait for a line in which a pattern is found."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for line in list(self.lines):
                found = re.search(pattern, line)
                if found is not None:
                    return found
            if self.popen.poll() is not None and not self._reader.is_alive():
                break
            time.sleep(0.02)
        raise AssertionError(f"no line with {pattern!r} in:\n{self.text}")

    def end(self, seconds: float = 60.0) -> int:
        """Wait for the end; give the exit code."""
        try:
            code = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            raise AssertionError(f"it did not end in {seconds} s:\n{self.text}") from None
        self._reader.join(5)
        return code

    def stop(self) -> None:
        """Ask it to end, and see to it."""
        with suppress(ProcessLookupError):
            self.popen.send_signal(signal.SIGCONT)
        self.popen.terminate()
        try:
            self.popen.wait(15)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    @property
    def text(self) -> str:
        """Everything that it has written."""
        return "\n".join(self.lines)


class Networks:
    """Network namespaces with a bridge in the first one, whose address is 10.77.N.1."""

    def __init__(self, number: int) -> None:
        self._prefix = f"ll{os.getpid() % 100000}x{number}"
        self._subnet = f"10.77.{number}"
        self._made: list[str] = []
        self._ip(f"netns add {self._prefix}-0")
        self._made.append(f"{self._prefix}-0")
        self._in(0, "link set lo up")
        self._in(0, "link add hub type bridge")
        self._in(0, f"addr add {self._subnet}.1/24 dev hub")
        self._in(0, "link set hub up")

    def add(self) -> int:
        """Make one more, joined to the first; give its number."""
        number = len(self._made)
        name = f"{self._prefix}-{number}"
        self._ip(f"netns add {name}")
        self._made.append(name)
        self._in(number, "link set lo up")
        self._in(0, f"link add to{number} type veth peer name eth0 netns {name}")
        self._in(0, f"link set to{number} master hub up")
        self._in(number, f"addr add {self.address(number)}/24 dev eth0")
        self._in(number, "link set eth0 up")
        return number

    def address(self, number: int) -> str:
        """Give the address of the machine in a network."""
        return f"{self._subnet}.{number + 1}"

    def entering(self, number: int) -> list[str]:
        """Give the words before a command that put it into a network."""
        return ["nsenter", f"--net=/run/netns/{self._made[number]}"]

    def cut(self, number: int) -> None:
        """Cut a link: nothing gets through, and nobody is told."""
        self._in(0, f"link set to{number} nomaster")

    def close(self) -> None:
        """Remove everything."""
        for name in self._made:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def _in(self, number: int, words: str) -> None:
        self._ip(f"-n {self._made[number]} {words}")

    def _ip(self, words: str) -> None:
        subprocess.run(["ip", *words.split()], check=True, capture_output=True)


class Cluster:
    """A scheduler and workers over mutual TLS, and the command line that uses them."""

    def __init__(self, folder: Path, networks: Networks, template: Path, cache: Path, key: Path) -> None:
        self.folder = folder
        self.networks = networks
        self.cache = cache
        self._template = template
        self._key = key
        self._authority = trustme.CA()
        self._authority.cert_pem.write_to_path(folder / "ca.pem")
        self.certificate("valid")
        self.workers: dict[str, Process] = {}
        self.places: dict[str, int] = {}
        self.address = f"tls://{networks.address(0)}:{PORT}"
        self.scheduler: Process | None = None

    def certificate(self, name: str, **others: object) -> None:
        """Make a certificate that the cluster's authority has signed."""
        made = self._authority.issue_cert("cluster", **others)  # type: ignore[arg-type]
        made.cert_chain_pems[0].write_to_path(self.folder / f"{name}.pem")
        made.private_key_pem.write_to_path(self.folder / f"{name}.key")

    def tls(self, name: str = "valid") -> list[str]:
        """Give the options that name certificates."""
        paths = (self.folder / "ca.pem", self.folder / f"{name}.pem", self.folder / f"{name}.key")
        return [
            word
            for part, path in zip(("ca", "cert", "key"), paths, strict=True)
            for word in (f"--tls-{part}", str(path))
        ]

    def start(self, *, lost_after: int = 3, hopeless_after: int = 20) -> None:
        """Start the scheduler."""
        self.scheduler = self.run(
            "scheduler",
            self.address,
            *self.tls(),
            f"--lost-after={lost_after}",
            f"--hopeless-after={hopeless_after}",
        )

    def worker(
        self,
        name: str,
        *more: str,
        spoilt: Sequence[str] = (),
        cache: Path | None = None,
        key: Path | None = None,
    ) -> Process:
        """Start a worker; `spoilt` says what is the matter with it, as `tests.cluster.spoilt` understands it."""
        if name not in self.places:
            self.places[name] = self.networks.add()
            store = self.folder / f"store-{name}"
            subprocess.run(["cp", "-al", str(self._template), str(store)], check=True)
        number = self.places[name]
        self.workers[name] = self.run(
            *("--store", str(self.folder / f"store-{name}")),
            *("worker", self.address, "--name", name, "--host", self.networks.address(number)),
            *("--cores=2", "--memory=8GiB", "--room=50 MB", "--cache", str(cache or self.cache)),
            *(("--key", str(key or self._key)) if key != Path() else ()),
            *self.tls(),
            *more,
            network=number,
            spoilt=spoilt,
        )
        return self.workers[name]

    def build(self, repository: Path, *words: str, store: str = "store-mine") -> Process:
        """Start a build."""
        return self.run(
            *("--store", str(self.folder / store), "--repo", str(repository), "--verbose"),
            *("build", *words, "--scheduler", self.address, *(() if "--tls-ca" in words else self.tls())),
        )

    def run(self, *words: str, network: int = 0, spoilt: Sequence[str] = ()) -> Process:
        """Start a command of the driver in a network, in a folder that is in no repository of recipes."""
        module = ["tests.cluster.spoilt", *spoilt, "--"] if spoilt else ["layerlock"]
        # The spoilt ones are found by way of it.
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        line = [*self.networks.entering(network), sys.executable, "-m", *module, *words]
        return Process(
            subprocess.Popen(
                line,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": path},
                start_new_session=True,
            )
        )

    def close(self) -> None:
        """End everything."""
        for process in (*self.workers.values(), *((self.scheduler,) if self.scheduler else ())):
            process.stop()


@contextmanager
def networks(number: int) -> Iterator[Networks]:
    """Lend networks."""
    made = Networks(number)
    try:
        yield made
    finally:
        made.close()
