"""What tests of caches share: an S3 service, places of each kind, and a team that uses one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from layerlock.cache.folder import Folder
from layerlock.cache.place import Place
from layerlock.cache.s3 import S3
from layerlock.cache.web import Web
from layerlock.io.answers import Patience
from layerlock.io.http import Fetcher
from layerlock.store.local import LocalStore

from .plans import Team
from .services import Rules, files, proxy

_numbers = itertools.count()


@pytest.fixture(scope="session")
def service() -> Iterator[str]:
    """The address of an S3 service; credentials for it are in the environment meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        try:
            yield f"http://{host}:{port}"
        finally:
            server.stop()


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """A new bucket as it is, the same behind a proxy, and what the proxy does."""

    direct: S3
    place: S3
    rules: Rules
    name: str
    endpoint: str


@pytest.fixture
def bucket(service: str) -> Iterator[Bucket]:
    """Give a bucket of one's own."""
    import boto3  # noqa: PLC0415

    name = f"bucket-{next(_numbers)}"
    client = boto3.client("s3", endpoint_url=service, region_name="eu-west-1")
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.close()
    with proxy(service) as (address, rules):
        yield Bucket(
            direct=S3(name, "some/prefix", endpoint=service, region="eu-west-1"),
            place=S3(name, "some/prefix", endpoint=address, region="eu-west-1"),
            rules=rules,
            name=name,
            endpoint=address,
        )


QUICK = Patience(connect=5, read=5, answer=10, window=5, tries=3, pause=0.01)


@pytest.fixture(params=["folder", "web", "s3"])
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    """Give a place of each kind, twice: to write to, and to read from."""
    folder = tmp_path / "cache"
    match request.param:
        case "folder":
            yield Folder(folder), Folder(folder)
        case "web":
            folder.mkdir()
            with files(str(folder)) as address:
                yield Folder(folder), Web(address, Fetcher(patience=QUICK))
        case _:
            bucket: Bucket = request.getfixturevalue("bucket")
            yield bucket.direct, bucket.place


@pytest.fixture
def fresh(tmp_path: Path) -> LocalStore:
    """Give an empty store."""
    return LocalStore(tmp_path / "fresh")


@pytest.fixture
def team(tmp_path: Path) -> Team:
    """Give a team with a cache in a folder that holds everything."""
    team = Team(Folder(tmp_path / "cache"), tmp_path)
    team.push()
    return team
