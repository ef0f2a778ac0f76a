"""Measure a push and a pull of a layer's closure to a local S3, against `aws s3 sync` of the same bytes.

    python -m tools.cache_speed cv --store DIR --aws /path/to/aws --memory TMPFS --scratch DIR TMPFS --page PAGE

The service is `tools.s3_standin`, in a process of its own and with its objects in memory, new for every measurement.
Its ceiling is what plain requests get out of it (four at a time, 8 MiB each, from memory): at least twice as fast as
what is measured, or the service was the limit. Rounds alternate, and of several the best one counts: only the ratios
say something on a busy machine. Processor seconds (the service's left out) say more there than seconds.

`push` and `pull` are whole: reading the store, hashing, compressing and signing; or decompressing, unpacking into tens
of thousands of files, hashing and syncing to the disk, which `aws s3 sync` does not do. They are held against it
three times: `contents` is the same bytes uncompressed (a NAR a tree, a file a source), which is what one would do
without a cache and with archives; `objects` is the finished objects of the cache; and `files` (with `--files`) is the
closure as it stands in the store, a file an object. `send` and `bring` move the finished objects as it does, without
any of that work.

`--scratch` says where stores and downloads are made: the store that is pushed is elsewhere. A disk should be a file
system of its own that is new, such as a file with `mkfs.ext4` mounted by `mount -o loop`: ext4 without a journal
passes over inodes that were deleted within five minutes one by one, so that what earlier rounds, or others, have
deleted makes files up to ten times slower to make. Before each measurement everything there is synced, so that none
writes what another left. A tmpfs shows what is left where no disk is waited for.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from operator import attrgetter
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from layerlock.cache.bring import Cache
from layerlock.cache.folder import Folder
from layerlock.cache.frames import decompress
from layerlock.cache.keys import Trust, spelled
from layerlock.cache.place import PackedFile, Place
from layerlock.cache.s3 import S3
from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import silent
from layerlock.io.atomic import remove_tree, write_all
from layerlock.io.groupsync import sync_file_system
from layerlock.io.together import together
from layerlock.workflows.caches import Substitutes
from layerlock.workflows.caching import pull_closure, push_closure
from layerlock.workflows.driver import Driver
from tools.cache_speed_page import page

ROOT = Path(__file__).parents[1]
BUCKET = "speed"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
SIGNER = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"
PART = 8 << 20
AT_ONCE = 8
QUICKEST = attrgetter("seconds")


@contextmanager
def service(memory: Path) -> Iterator[str]:
    """Run an S3 service with an empty bucket; give its address."""
    with tempfile.TemporaryDirectory(prefix="s3-", dir=memory) as name:
        command = [sys.executable, "-m", "tools.s3_standin", f"{name}/objects"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd=ROOT, **pipes) as process:  # type: ignore[call-overload]
            try:
                port = int(process.stdout.readline())
                assert ask("PUT", port, f"/{BUCKET}", b"") == 200
                yield f"http://127.0.0.1:{port}"
            finally:
                process.stdin.close()
                process.wait()


def ask(method: str, port: int, path: str, body: bytes) -> int:
    """Send one plain request, and take all of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request(method, path, body=body, headers={"Authorization": SIGNER})
    answer = connection.getresponse()
    while answer.read(1 << 20):
        pass
    connection.close()
    return answer.status


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """What something took: seconds, and seconds of processors in this process and those that it waited for."""

    seconds: float
    busy: float


def timed(work: Callable[[], object]) -> Taken:
    """Give what something takes."""
    before, started = os.times(), time.monotonic()
    work()
    seconds, after = time.monotonic() - started, os.times()
    return Taken(seconds=seconds, busy=sum(after[:4]) - sum(before[:4]))


def ceiling(address: str, total: int) -> tuple[float, float]:
    """Give the bytes a second that the service takes and gives by plain requests."""
    port = int(address.rpartition(":")[2])
    body = os.urandom(PART)
    paths = [f"/{BUCKET}/ceiling/{number}" for number in range(max(4, total // PART))]

    def rate(method: str, data: bytes) -> float:
        works = [partial(ask, method, port, path, data) for path in paths]
        return len(paths) * PART / timed(lambda: together(works, most=4)).seconds

    return rate("PUT", body), rate("GET", b"")


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What is measured: a layer that is built in a store, and folders for what comes."""

    repository: Path
    store: Path
    layer: str
    scratch: Path
    key: Ed25519PrivateKey

    def driver(self, store: Path) -> Driver:
        """Make a driver over a store; caches are given to it where they are wanted."""
        settings = Settings(repository=self.repository, store=store, environment={}, caching="none")
        return construct(settings, silent)

    def cache(self, place: Place) -> Cache:
        """Give a cache whose key is trusted."""
        return Cache(name="speed", place=place, trust=Trust(keys=frozenset({spelled(self.key.public_key())})))

    def timed(self, work: Callable[[], object]) -> Taken:
        """Give what something takes that finds nothing of others to be written."""
        sync_file_system(self.scratch)
        return timed(work)

    def push(self, place: Place) -> Taken:
        """Push everything."""
        return self.timed(
            lambda: push_closure(self.driver(self.store), self.layer, self.cache(place), self.key)
        )

    def objects(self) -> list[str]:
        """List the objects, the largest first."""
        folder = self.scratch / "objects"
        return sorted(Folder(folder).listing(), key=lambda one: -(folder / one).stat().st_size)

    def unpack(self) -> int:
        """Write what the objects stand for beside them; give the bytes."""
        total = 0
        for one in self.objects():
            packed, plain = self.scratch / "objects" / one, self.scratch / "contents" / one
            plain.parent.mkdir(parents=True, exist_ok=True)
            with plain.open("wb") as file:
                if packed.suffix == ".zst":
                    total += sum(map(file.write, decompress(PackedFile(packed), 1 << 40)))
                else:
                    total += file.write(packed.read_bytes())
        return total

    def files(self) -> int:
        """Copy the closure beside the objects as it stands in the store; give the number of its files."""
        for one in self.objects():
            kind, _, name = one.partition("/")
            for entry in (self.store / kind).glob(f"{name[:64]}-*"):
                place = self.scratch / "files" / kind / entry.name
                place.parent.mkdir(parents=True, exist_ok=True)
                subprocess.run(["cp", "-a", str(entry), str(place)], check=True)
        return sum(len(names) for _, _, names in os.walk(self.scratch / "files"))

    def ours(self, address: str, fresh: Path) -> dict[str, Taken]:
        """Push, pull into a new store, and bring the objects as they are."""
        place = s3(address)
        pushed = self.push(place)
        reader = replace(self.driver(fresh / "store"), substitutes=Substitutes(lambda: (self.cache(place),)))
        pulled = self.timed(lambda: pull_closure(reader, self.layer))
        (fresh / "objects").mkdir()
        works = [
            partial(brought, place, one, fresh / "objects" / one.replace("/", "-")) for one in self.objects()
        ]
        return {"push": pushed, "pull": pulled, "bring": self.timed(lambda: together(works, most=AT_ONCE))}

    def theirs(self, address: str, fresh: Path, aws: str, what: str) -> dict[str, Taken]:
        """Move the objects, their contents or the closure's files by `aws s3 sync`; then bring them to the disk."""
        sync = [aws, "--endpoint-url", address, "s3", "sync", "--quiet", "--no-follow-symlinks"]

        def run(*arguments: str) -> None:
            subprocess.run([*sync, *arguments], check=True, env=dict(os.environ))

        up = self.timed(lambda: run(str(self.scratch / what), f"s3://{BUCKET}"))
        down = self.timed(lambda: run(f"s3://{BUCKET}", str(fresh / "synced")))
        disk = timed(lambda: sync_file_system(fresh))
        return {
            f"sync {what} up": up,
            f"sync {what} down": down,
            f"sync {what} down, then to the disk": Taken(
                seconds=down.seconds + disk.seconds, busy=down.busy + disk.busy
            ),
        }

    def sent(self, address: str) -> dict[str, Taken]:
        """Send the objects as they are."""
        place = s3(address)
        works = [partial(place.write, one, pieces(self.scratch / "objects" / one)) for one in self.objects()]
        return {"send": self.timed(lambda: together(works, most=AT_ONCE))}


def brought(place: Place, key: str, dest: Path) -> None:
    """Bring an object as it is into a file."""
    packed = place.open(key, dest.parent, 1 << 40)
    assert packed is not None
    with dest.open("wb", buffering=0) as file:
        for start in range(0, packed.size, PART):
            write_all(file.fileno(), packed.read(start, min(start + PART, packed.size)))


def s3(address: str) -> S3:
    """Give the bucket as a place."""
    return S3(BUCKET, "", endpoint=address, region="us-east-1")


def measure(trial: Trial, aws: str, rounds: int, memory: Path, *, files: bool) -> dict[str, Any]:
    """Measure; what is written stands below the trial's scratch."""
    os.environ |= CREDENTIALS
    rows: list[dict[str, Taken]] = []
    ask_kind = ["findmnt", "-n", "-o", "FSTYPE", "-T", str(trial.scratch)]
    kind = subprocess.run(ask_kind, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    @contextmanager
    def trying() -> Iterator[tuple[str, Path]]:
        with service(memory) as address, tempfile.TemporaryDirectory(dir=trial.scratch) as fresh:
            yield address, Path(fresh)
            remove_tree(Path(fresh))
            Path(fresh).mkdir()

    trial.push(Folder(trial.scratch / "objects"))
    sizes = [(trial.scratch / "objects" / one).stat().st_size for one in trial.objects()]
    contents = trial.unpack()
    for _ in range(rounds):
        with trying() as (address, fresh):
            rows.append(trial.ours(address, fresh))
        for what in ("objects", "contents"):
            with trying() as (address, fresh):
                rows.append(trial.theirs(address, fresh, aws, what))
        with trying() as (address, _):
            rows.append(trial.sent(address))
    with service(memory) as address:
        most = ceiling(address, sum(sizes))
    shutil.rmtree(trial.scratch / "contents")
    count = trial.files() if files else 0
    if files:
        with trying() as (address, fresh):
            rows.append(trial.theirs(address, fresh, aws, "files"))
    best = {
        what: min((row[what] for row in rows if what in row), key=QUICKEST) for row in rows for what in row
    }
    return {
        "layer": trial.layer,
        "kind": kind,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rounds": rounds,
        "objects": len(sizes),
        "files": count,
        "bytes": sum(sizes),
        "contents": contents,
        "seconds": {what: round(taken.seconds, 2) for what, taken in best.items()},
        "busy": {what: round(taken.busy, 2) for what, taken in best.items()},
        "every round": {
            what: [round(row[what].seconds, 2) for row in rows if what in row] for what in ("push", "pull")
        },
        "load": [round(one, 1) for one in os.getloadavg()],
        "ceiling in MB a second": {"up": round(most[0] / 1e6), "down": round(most[1] / 1e6)},
    }


def pieces(path: Path) -> Iterator[bytes]:
    """Read a file."""
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def main() -> int:
    """Measure what the command line says, and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("layers", nargs="+", help="layers, or packages")
    parser.add_argument("--repo", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--aws", default="aws", help="the AWS command line, in an environment of its own")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory", type=Path, required=True, help="where the service keeps objects: a tmpfs")
    parser.add_argument(
        "--scratch", type=Path, required=True, nargs="+", help="file systems to make stores on"
    )
    parser.add_argument(
        "--files", action="store_true", help="of the last layer, sync every file by itself too"
    )
    parser.add_argument("--page", type=Path, help="write docs/cache-speed.md")
    given = parser.parse_args()
    found = []
    for layer, scratch in product(given.layers, given.scratch):
        with tempfile.TemporaryDirectory(prefix="cache-speed-", dir=scratch) as name:
            trial = Trial(
                repository=given.repo,
                store=given.store,
                layer=layer,
                scratch=Path(name),
                key=Ed25519PrivateKey.generate(),
            )
            files = given.files and layer == given.layers[-1]
            found.append(measure(trial, given.aws, given.rounds, given.memory, files=files))
            remove_tree(Path(name) / "files")
        print(json.dumps(found[-1], indent=2), flush=True)
    if given.page is not None:
        given.page.write_text(page(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
