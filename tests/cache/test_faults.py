"""What networks, services and killers do: everything comes in the end, or nothing does, and nothing wrong is used."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from layerlock.cache.bring import Cache, hashed
from layerlock.cache.check import verify_all
from layerlock.cache.entry import file_key
from layerlock.cache.folder import Folder
from layerlock.cache.frames import compress
from layerlock.cache.keys import Trust
from layerlock.cache.place import Place, Unreachable
from layerlock.cache.s3 import S3
from layerlock.cache.substitute import CachedSources
from layerlock.cache.web import Web
from layerlock.errors import HashMismatch
from layerlock.events import FetchFinished
from layerlock.io.http import Fetcher
from layerlock.model.digest import unsri
from layerlock.model.lock import LockedFile
from layerlock.store.local import LocalStore

from .conftest import QUICK, Bucket
from .plans import Team, blobs_of
from .services import Asked, Fault, files, proxy

LARGE = 20 << 20


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have botocore try again at once; how long it waits between is its own affair."""
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0.0)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_a_busy_service_is_asked_again(
    method: str, bucket: Bucket, tmp_path: Path, fresh: LocalStore
) -> None:
    """503 SlowDown to listings, uploads, parts, multipart uploads and downloads."""
    team = Team(bucket.place, tmp_path, large=LARGE)
    left = {"GET": 3, "PUT": 3, "POST": 2}

    def busy(asked: Asked) -> Fault | None:
        with bucket.rules.guard:
            if asked.method == method and left[method] > 0:
                left[method] -= 1
                return "busy"
        return None

    bucket.rules.fault = busy
    pushed = team.push()
    assert pushed.written == 6
    assert len(team.pull(fresh, *team.plan.planned)) == 6
    assert left[method] == 0
    assert team.warnings == ""


def test_what_is_cut_goes_on_where_it_was_cut(bucket: Bucket, tmp_path: Path, fresh: LocalStore) -> None:
    """Of a large object only the part that was cut is asked for again."""
    team = Team(bucket.direct, tmp_path, large=LARGE)
    pushed = team.push()
    assert pushed.packed > 8 << 20, "the large one is not in parts"
    bucket.rules.first(2, "cut", "GET", team.entries["compiler"].blob)
    team.pull(fresh, "compiler", cache=replace(team.cache, place=bucket.place))
    asked = [a.range for a in bucket.rules.asked if team.entries["compiler"].blob in a.path]
    assert len(asked) == len(set(asked)) + 2
    assert fresh.tree(team.made["compiler"].output) is not None
    assert team.warnings == ""


def test_a_web_server_that_cuts(tmp_path: Path, fresh: LocalStore) -> None:
    team = Team(Folder(tmp_path / "cache"), tmp_path, large=LARGE)
    team.push()
    with files(str(tmp_path / "cache")) as behind, proxy(behind) as (address, rules):
        rules.first(1, "cut", "GET", team.entries["compiler"].blob)
        place = Web(address, Fetcher(patience=QUICK, sleep=lambda _: None))
        made = team.pull(fresh, "compiler", cache=replace(team.cache, place=place))
    assert list(made) == ["compiler"]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("fault", ["drop", "busy", "lose", "flip", "cut"])
def test_a_service_that_never_gives_an_object(
    fault: Fault, bucket: Bucket, tmp_path: Path, fresh: LocalStore
) -> None:
    """The object is a miss; the others come. Nothing of it is kept."""
    team = Team(bucket.direct, tmp_path)
    team.push()
    bad = team.entries["zip"].blob
    bucket.rules.fault = lambda asked: fault if bad in asked.path else None
    made = team.pull(fresh, cache=replace(team.cache, place=bucket.place))
    assert sorted(made) == ["program"]
    assert "zip" in team.warnings or "cache team" in team.warnings
    assert fresh.tree(team.made["zip"].output) is None
    assert fresh.planned(team.plan.planned["zip"]) is None


@pytest.mark.usefixtures("hasty", "service")
def test_a_service_that_is_gone_is_asked_no_more(tmp_path: Path, fresh: LocalStore) -> None:
    """Nobody listens there: one warning, and everything is left to building."""
    team = Team(Folder(tmp_path / "cache"), tmp_path)
    gone = S3("bucket", "", endpoint="http://127.0.0.1:9", region="eu-west-1")
    assert team.pull(fresh, cache=replace(team.cache, place=gone)) == {}
    assert team.warnings.count("it is asked no more") == 1


def test_a_bucket_that_is_missing_says_so(service: str, tmp_path: Path) -> None:
    place = S3("there-is-none", "", endpoint=service, region="eu-west-1")
    with pytest.raises(Unreachable, match="NoSuchBucket") as caught:
        Team(place, tmp_path).push()
    assert "make the bucket" in caught.value.hint


def test_a_lost_object_is_pushed_again(bucket: Bucket, tmp_path: Path, fresh: LocalStore) -> None:
    import boto3  # noqa: PLC0415

    team = Team(bucket.direct, tmp_path)
    team.push()
    client = boto3.client("s3", endpoint_url=bucket.endpoint, region_name="eu-west-1")
    client.delete_object(Bucket=bucket.name, Key=f"some/prefix/{team.entries['zip'].blob}")
    client.close()
    assert "zip" not in team.pull(fresh)
    assert "has lost the output" in team.warnings
    assert (team.push().written, team.push().written) == (1, 0)
    assert "zip" in team.pull(fresh)


PUSHER = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from tests.cache.plans import Team
from layerlock.cache.s3 import S3
team = Team(S3({bucket!r}, "some/prefix", endpoint={endpoint!r}, region="eu-west-1"), Path({folder!r}), large={large})
print("ready", flush=True)
team.push()
"""


@pytest.mark.parametrize("after", ["PUT", "POST"])
def test_a_pusher_that_is_killed(after: str, bucket: Bucket, tmp_path: Path, fresh: LocalStore) -> None:
    """SIGKILL at the first upload, or in the middle of a large one: the cache tells of nothing that is not there."""
    held = threading.Event()
    go_on = threading.Event()

    def hold(asked: Asked) -> Fault | None:
        if asked.method == after and "trees/" in asked.path:
            held.set()
            go_on.wait(30)
            return "drop"
        return None

    bucket.rules.fault = hold
    code = PUSHER.format(
        tests=str(Path(__file__).parents[2]),
        bucket=bucket.name,
        endpoint=bucket.endpoint,
        folder=str(tmp_path / "killed"),
        large=LARGE,
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        assert held.wait(60)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        go_on.set()
    bucket.rules.fault = lambda _: None
    team = Team(bucket.direct, tmp_path, large=LARGE)
    assert team.pull(fresh, *team.plan.planned) == {}
    _, flaws = verify_all(team.cache, tmp_path, team.events.append)
    assert flaws == ()
    assert team.push().entries == 6
    assert len(team.pull(fresh, *team.plan.planned)) == 6


def test_two_pushers_at_once(bucket: Bucket, tmp_path: Path, fresh: LocalStore) -> None:
    """Both write everything at the same time; what stands at the end is right, and both find it so."""
    team = Team(bucket.direct, tmp_path, large=20 << 20)
    threads = [threading.Thread(target=team.push) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify_all(team.cache, tmp_path, team.events.append) == (12, ())
    assert len(team.pull(fresh, *team.plan.planned)) == 6
    assert team.push().written == 0


def test_readers_while_somebody_writes(bucket: Bucket, tmp_path: Path) -> None:
    """At every moment a reader gets right outputs, of the target or of what it needs, or none."""
    team = Team(bucket.direct, tmp_path, large=20 << 20)
    writer = threading.Thread(target=team.push)
    writer.start()
    for number in range(20):
        store = LocalStore(tmp_path / f"reader-{number}")
        made = team.pull(store)
        assert all(team.made[name] == one for name, one in made.items())
        if not writer.is_alive():
            break
    writer.join()
    assert team.pull(LocalStore(tmp_path / "last")) == {"zip": team.made["zip"]}
    assert team.warnings == ""


def test_what_is_damaged_in_the_store_is_not_spread(team: Team, tmp_path: Path) -> None:
    place = Folder(tmp_path / "second")
    path = team.store.held_tree(team.made["zip"].output) / "bin" / "zip"
    path.chmod(0o644)
    path.write_text("other")
    entry = team.entries["zip"]
    (blob,) = [b for b in blobs_of(team.store, team.entries) if b.key == entry.blob]
    with pytest.raises(HashMismatch, match="damaged in the store"):
        place.write(blob.key, compress(hashed(blob.pieces(), unsri(entry.output), "it")))
    assert list(place.listing()) == []


def test_writing_takes_no_more_than_is_sent(bucket: Bucket) -> None:
    """Back-pressure: while the service takes nothing, few parts are read ahead."""
    taken = 0
    free = threading.Event()

    def hold(asked: Asked) -> Fault | None:
        if "partNumber" in asked.path:
            free.wait(30)
        return None

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(12):
            taken += 1
            yield bytes(8 << 20)

    bucket.rules.fault = hold
    writer = threading.Thread(target=bucket.place.write, args=("trees/large", pieces()))
    writer.start()
    until = time.monotonic() + 5
    while taken < 5 and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    ahead = taken
    free.set()
    writer.join()
    assert 1 <= ahead <= 6
    assert taken == 12
    assert bucket.direct.present(["trees/large"]) == {"trees/large"}


def sources(team: Team, count: int) -> list[LockedFile]:
    return [
        LockedFile(
            kind="file",
            key=f"recipe/source-{number}",
            urls=(f"https://nowhere.invalid/{number}.tar",),
            sha256=hashlib.sha256(str(number).encode()).hexdigest(),
            size=len(str(number)),
        )
        for number in range(count)
    ]


def test_sources_come_by_their_hash(both: tuple[Place, Place], team: Team, fresh: LocalStore) -> None:
    """They need no signature; one that is something else is a miss."""
    place, reading = both
    good, bad, long, *_ = pins = sources(team, 4)
    place.write(file_key(good.sha256), compress(iter([b"0"])))
    place.write(file_key(bad.sha256), compress(iter([b"7"])))
    place.write(file_key(long.sha256), compress(iter([b"2" * 1000])))
    cached = CachedSources(lambda: (Cache(name="team", place=reading, trust=Trust(keys=frozenset())),))
    came = [cached.bring(pin, fresh, team.events.append) for pin in pins]
    assert came[0] is not None
    assert came[0].read_bytes() == b"0"
    assert came[1:] == [None, None, None]
    assert fresh.file(bad.sha256) is None
    assert [(e.name, e.size) for e in team.events if isinstance(e, FetchFinished)] == [(good.key, good.size)]
    assert team.warnings.count("the cache team is not used") == 2


def test_a_cache_without_sources_is_left_in_peace(bucket: Bucket, team: Team, fresh: LocalStore) -> None:
    cache = Cache(name="team", place=bucket.place, trust=Trust(keys=frozenset()))
    cached = CachedSources(lambda: (cache,))
    assert all(cached.bring(pin, fresh, team.events.append) is None for pin in sources(team, 30))
    assert len(bucket.rules.asked) == 8
