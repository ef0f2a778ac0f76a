"""A layer with a lock and a zip that nobody had to build, the command over it, and AWS on loopback."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from layerlock.cli import main
from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import silent
from layerlock.io.lockfile import read_lock, write_lock
from layerlock.model.lock import RecordedZip
from layerlock.workflows.locking import lock_layer
from tests.publish.aws import Aws, Fault, moto, proxied, refused

ROOT = Path(__file__).parents[2]
SECRET = "the/secret/key/of/nobody"
PACKAGE = """\
[package]
name = "{name}"
version = "1.0"
license = "{licence}"

[build]
environment = "small"
script = "true"
"""
LAYER = """\
[layer]
name = "{name}"
summary = "A layer for tests of publishing"
runtime = "python3.11"
environment = "small"
packages = ["pebble", "stone"]
"""


class Stall:
    """A repository with one layer, `tiny`, whose recorded zip is whatever a test says."""

    def __init__(self, folder: Path, aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.aws = aws
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def record(self, text: str = "first", *, padding: int = 0, layer: str = "tiny") -> str:
        """Make a zip of some contents and record it in the lock; give its sha256."""
        path = self.folder / "dist" / f"{layer}.zip"
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo("python/tiny.py"), text)
            archive.writestr(zipfile.ZipInfo("lib/padding"), bytes(padding))
        data = path.read_bytes()
        place = self.folder / "lockfiles" / f"{layer}.lock"
        zipped = RecordedZip(
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            unzipped=len(text) + padding,
            tree="sha256-" + "A" * 43 + "=",
        )
        write_lock(place, dataclasses.replace(read_lock(place, layer), zip=zipped))
        return zipped.sha256

    def limit(self, **limits: int) -> None:
        """Change Lambda's limits in the runtime's data."""
        path = self.folder / "recipes" / "runtimes" / "python3.11.toml"
        text = path.read_text()
        for name, value in limits.items():
            text, times = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
            assert times == 1
        path.write_text(text)
        self.lock()

    def lock(self, layer: str = "tiny") -> None:
        """Lock the layer anew; a recorded zip stays."""
        settings = Settings(
            repository=self.folder, store=self.folder / "store", environment=dict(os.environ), offline=True
        )
        place = self.folder / "lockfiles" / f"{layer}.lock"
        before = read_lock(place, layer).zip if place.is_file() else None
        lock_layer(construct(settings, silent), layer)
        write_lock(place, dataclasses.replace(read_lock(place, layer), zip=before))

    def run(self, *arguments: str) -> int:
        """Run the command, and keep what it wrote."""
        code = main._guarded(
            ["--repo", str(self.folder), "--store", str(self.folder / "store"), *arguments], os.environ
        )
        self.out, self.err = self._capsys.readouterr()
        written = self.out + self.err
        assert SECRET not in written
        assert "SIGNATURE" not in written
        return code

    def publish(self, *arguments: str, region: str = "eu-west-1") -> int:
        """Publish the layer."""
        return self.run("publish", "tiny", "--region", region, *arguments)

    def edit_lock(self, **changed: object) -> None:
        """Change fields of the lock."""
        place = self.folder / "lockfiles" / "tiny.lock"
        write_lock(place, dataclasses.replace(read_lock(place, "tiny"), **changed))  # type: ignore[arg-type]

    def refusal(self, pattern: str, status: int, code: str, words: str, *, times: int = 1) -> Fault:
        """Make trouble: Lambda refuses."""
        return Fault(pattern=pattern, times=times, before=refused(status, code, words))

    def bucket(self, name: str) -> None:
        """Make a bucket."""
        self._moto("s3", lambda client: client.create_bucket(Bucket=name))

    def delete_version(self, number: int) -> None:
        """Delete a version behind the command's back."""
        self._moto(
            "lambda", lambda client: client.delete_layer_version(LayerName="tiny", VersionNumber=number)
        )

    @staticmethod
    def base64(sha256: str) -> str:
        """Spell a hash as AWS does."""
        return base64.b64encode(bytes.fromhex(sha256)).decode()

    def _moto(self, service: str, call: Callable[[Any], Any], region: str = "eu-west-1") -> Any:
        """Ask moto itself, past the proxy."""
        if service == "s3":
            region = "us-east-1"  # elsewhere a bucket's region has to be said
        client = boto3.client(service, region_name=region, endpoint_url=f"http://127.0.0.1:{self.aws.moto}")
        try:
            return call(client)
        finally:
            client.close()

    def versions(self, region: str = "eu-west-1") -> list[int]:
        """Ask moto itself for the versions that are there, the newest first."""
        found = self._moto("lambda", lambda client: client.list_layer_versions(LayerName="tiny"), region)
        return [each["Version"] for each in found["LayerVersions"]]

    @property
    def published(self) -> str:
        """The text of the record; empty where there is none."""
        path = self.folder / "lockfiles" / "published.toml"
        return path.read_text() if path.is_file() else ""

    def json(self, *arguments: str) -> list[dict[str, object]]:
        """Run the command, and give its results."""
        assert self.run("--json", *arguments) == 0, self.err
        rows = [json.loads(line) for line in self.out.splitlines()]
        return [row for row in rows if row["event"] == "Result"]


@pytest.fixture(scope="session")
def moto_port() -> Iterator[int]:
    """Run moto's server once."""
    with moto() as port:
        yield port


@pytest.fixture
def aws(moto_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Aws]:
    """Give AWS on loopback, empty, to which the surroundings lead."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "LAYERLOCK_", "BOTO"))]:
        monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with proxied(moto_port) as made:
        made.reset()
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODY")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        yield made


@pytest.fixture
def stall(
    tmp_path: Path, aws: Aws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Stall:
    """Give the repository, with a recorded zip."""
    folder = tmp_path / "repository"
    for kind in ("packages", "environments", "layers", "runtimes"):
        (folder / "recipes" / kind).mkdir(parents=True)
    recipes = folder / "recipes"
    (recipes / "environments" / "small.toml").write_text(
        'debs = []\n\n[environment]\nname = "small"\nsummary = "Nothing"\n'
    )
    for name, licence in (("pebble", "MIT"), ("stone", "BSD-3-Clause OR MIT"), ("python", "Python-2.0.1")):
        text = PACKAGE.format(name=name, licence=licence)
        (recipes / "packages" / f"{name}.toml").write_text(text)
    (recipes / "layers" / "tiny.toml").write_text(LAYER.format(name="tiny"))
    runtime = (ROOT / "recipes" / "runtimes" / "python3.11.toml").read_text().replace("lambda-al2", "small")
    (recipes / "runtimes" / "python3.11.toml").write_text(runtime)
    for path in (ROOT / "recipes" / "runtimes").glob("*.exports"):
        (recipes / "runtimes" / path.name).write_bytes(path.read_bytes())
    # boto3 and the driver wait between tries; how long is not what is tried here.
    monkeypatch.setattr("time.sleep", lambda _: None)
    made = Stall(folder, aws, capsys)
    made.lock()
    made.record()
    capsys.readouterr()
    return made
