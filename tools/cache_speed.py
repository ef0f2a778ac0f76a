"""Measure a push and a pull of a layer's closure to a local S3, against `aws s3 sync` of the same objects.

    python -m tools.cache_speed cv --store DIR --aws /path/to/aws

The service is `tools.s3_standin`, in a process of its own and with its objects in memory, new for every measurement.
Its ceiling is what plain requests get out of it (four at a time, 8 MiB each, from memory): at least twice as fast as
what is measured, or the service was the limit. Rounds alternate, and of several the best one counts: only the ratios
say something on a busy machine.

`push` and `pull` are whole: reading the store, hashing, compressing and signing; or decompressing, unpacking into tens
of thousands of files, hashing and syncing to the disk, which `aws s3 sync` does not do. They are held against it
twice: moving the same contents uncompressed (a NAR a tree), which is what one would do without a cache, and moving the
finished objects. `send` and `bring` move the finished objects as it does, without any of that work.
"""

from __future__ import annotations

import argparse
import datetime
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from layerlock.cache.bring import Cache
from layerlock.cache.folder import Folder
from layerlock.cache.frames import decompress
from layerlock.cache.keys import Trust, spelled
from layerlock.cache.place import Place
from layerlock.cache.s3 import S3
from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import silent
from layerlock.io.atomic import remove_tree
from layerlock.io.together import together
from layerlock.workflows.caches import Substitutes
from layerlock.workflows.caching import pull_closure, push_closure
from layerlock.workflows.driver import Driver

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


def timed(work: Callable[[], object]) -> float:
    """Give the seconds that something takes."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def ceiling(address: str, total: int) -> tuple[float, float]:
    """Give the bytes a second that the service takes and gives by plain requests."""
    port = int(address.rpartition(":")[2])
    body = os.urandom(PART)
    paths = [f"/{BUCKET}/ceiling/{number}" for number in range(max(4, total // PART))]

    def rate(method: str, data: bytes) -> float:
        works = [partial(ask, method, port, path, data) for path in paths]
        return len(paths) * PART / timed(lambda: together(works, most=4))

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

    def push(self, place: Place) -> float:
        """Push everything; give the seconds."""
        return timed(lambda: push_closure(self.driver(self.store), self.layer, self.cache(place), self.key))

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
                    total += sum(map(file.write, decompress(packed, 1 << 40)))
                else:
                    total += file.write(packed.read_bytes())
        return total

    def ours(self, address: str, fresh: Path) -> dict[str, float]:
        """Push, pull into a new store, and bring the objects as they are."""
        place = s3(address)
        pushed = self.push(place)
        reader = replace(self.driver(fresh / "store"), substitutes=Substitutes(lambda: (self.cache(place),)))
        pulled = timed(lambda: pull_closure(reader, self.layer))
        (fresh / "objects").mkdir()
        works = [
            partial(place.bring, one, fresh / "objects" / one.replace("/", "-"), 1 << 40)
            for one in self.objects()
        ]
        return {"push": pushed, "pull": pulled, "bring": timed(lambda: together(works, most=AT_ONCE))}

    def theirs(self, address: str, fresh: Path, aws: str, what: str = "objects") -> dict[str, float]:
        """Move the same objects, or their contents, by `aws s3 sync`."""
        sync = [aws, "--endpoint-url", address, "s3", "sync", "--quiet"]

        def run(*arguments: str) -> None:
            subprocess.run([*sync, *arguments], check=True, env=dict(os.environ))

        return {
            f"sync {what} up": timed(lambda: run(str(self.scratch / what), f"s3://{BUCKET}")),
            f"sync {what} down": timed(lambda: run(f"s3://{BUCKET}", str(fresh / "synced"))),
        }

    def sent(self, address: str) -> dict[str, float]:
        """Send the objects as they are."""
        place = s3(address)
        works = [partial(place.write, one, pieces(self.scratch / "objects" / one)) for one in self.objects()]
        return {"send": timed(lambda: together(works, most=AT_ONCE))}


def s3(address: str) -> S3:
    """Give the bucket as a place."""
    return S3(BUCKET, "", endpoint=address, region="us-east-1")


def measure(repository: Path, store: Path, layer: str, aws: str, rounds: int, memory: Path) -> dict[str, Any]:
    """Measure; what is written are temporary folders beside the store."""
    os.environ |= CREDENTIALS
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="cache-speed-", dir=store.parent) as name:
        trial = Trial(
            repository=repository,
            store=store,
            layer=layer,
            scratch=Path(name),
            key=Ed25519PrivateKey.generate(),
        )
        rows.append({"push to a folder": trial.push(Folder(trial.scratch / "objects"))})
        sizes = [(trial.scratch / "objects" / one).stat().st_size for one in trial.objects()]
        size = sum(sizes)
        contents = trial.unpack()
        for _ in range(rounds):
            for trying in (
                trial.ours,
                partial(trial.theirs, aws=aws),
                partial(trial.theirs, aws=aws, what="contents"),
            ):
                with service(memory) as address, tempfile.TemporaryDirectory(dir=trial.scratch) as fresh:
                    rows.append(trying(address, Path(fresh)))
                    remove_tree(Path(fresh) / "store")
            with service(memory) as address:
                rows.append(trial.sent(address))
        with service(memory) as address:
            most = ceiling(address, size)
    best = {what: min(row[what] for row in rows if what in row) for row in rows for what in row}
    took, gave = (size / rate for rate in most)
    return {
        "layer": layer,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "rounds": rounds,
        "objects": len(sizes),
        "bytes": size,
        "contents": contents,
        "seconds": {what: round(seconds, 2) for what, seconds in best.items()},
        "ratio to aws s3 sync of the finished objects": {
            "push": round(best["sync objects up"] / best["push"], 2),
            "send": round(best["sync objects up"] / best["send"], 2),
            "pull": round(best["sync objects down"] / best["pull"], 2),
            "bring": round(best["sync objects down"] / best["bring"], 2),
        },
        "ratio to aws s3 sync of the same contents": {
            "push": round(best["sync contents up"] / best["push"], 2),
            "pull": round(best["sync contents down"] / best["pull"], 2),
        },
        "load": [round(one, 1) for one in os.getloadavg()],
        "share of the service's ceiling": {
            "send": round(took / best["send"], 2),
            "sync up": round(took / best["sync objects up"], 2),
            "bring": round(gave / best["bring"], 2),
            "sync down": round(gave / best["sync objects down"], 2),
        },
        "ceiling in MB a second": {"up": round(most[0] / 1e6), "down": round(most[1] / 1e6)},
    }


def page(found: dict[str, Any]) -> str:
    """Put a measurement into a page."""
    seconds = found["seconds"]
    finished = found["ratio to aws s3 sync of the finished objects"]
    contents = found["ratio to aws s3 sync of the same contents"]
    most = found["ceiling in MB a second"]
    lines = [
        "# The binary cache's speed",
        "",
        f"`{found['layer']}`'s closure: {found['objects']} objects, {found['contents'] / 1e6:.0f} MB that are"
        f" {found['bytes'] / 1e6:.0f} MB compressed. Measured on {found['date']} by `python -m tools.cache_speed`"
        f" (which says how, and wrote this page), {found['rounds']} round(s), with {os.cpu_count()} processors and a"
        f" load of {found['load'][0]} at its end. The service took {most['up']} MB a second by plain requests, and"
        f" gave {most['down']}.",
        "",
        "| | seconds | against `aws s3 sync` of the same contents | of the finished objects |",
        "| --- | --- | --- | --- |",
        *(
            f"| {what} | {seconds[what]} | {contents.get(what, '')} | {finished[what]} |"
            for what in ("push", "pull", "send", "bring")
        ),
        *(f"| `aws s3 {what}` | {taken} | | |" for what, taken in seconds.items() if what.startswith("sync")),
        "",
        "A ratio of 1 is as fast as `aws s3 sync`; more is faster. `push` and `pull` are whole, with compressing,",
        "hashing, signing, unpacking and bringing every file to the disk; `send` and `bring` only move the finished",
        "objects.",
        "",
    ]
    return "\n".join(lines)


def pieces(path: Path) -> Iterator[bytes]:
    """Read a file."""
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece


def main() -> int:
    """Measure what the command line says, and print it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("layer")
    parser.add_argument("--repo", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--store", type=Path, required=True)
    parser.add_argument("--aws", default="aws", help="the AWS command line, in an environment of its own")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--memory", type=Path, required=True, help="where the service keeps objects: a tmpfs")
    parser.add_argument("--page", type=Path, help="write docs/cache-speed.md")
    given = parser.parse_args()
    found = measure(given.repo, given.store, given.layer, given.aws, given.rounds, given.memory)
    print(json.dumps(found, indent=2))
    if given.page is not None:
        given.page.write_text(page(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
