"""Images made by tests, and a registry to keep them in: Debian's `docker-registry` on loopback."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

PROGRAM = shutil.which("docker-registry")
MISSING = "docker-registry is not installed (Debian has a package of that name)"

OCI = {
    "manifest": "application/vnd.oci.image.manifest.v1+json",
    "index": "application/vnd.oci.image.index.v1+json",
    "config": "application/vnd.oci.image.config.v1+json",
    "layer": "application/vnd.oci.image.layer.v1.tar+gzip",
}
DOCKER = {
    "manifest": "application/vnd.docker.distribution.manifest.v2+json",
    "index": "application/vnd.docker.distribution.manifest.list.v2+json",
    "config": "application/vnd.docker.container.image.v1+json",
    "layer": "application/vnd.docker.image.rootfs.diff.tar.gzip",
}


def digest(data: bytes) -> str:
    """Give the digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def described(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """Give the descriptor of some bytes."""
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image: its manifest and the blobs that it names, by digest."""

    manifest: bytes
    media_type: str
    blobs: Mapping[str, bytes]

    @property
    def digest(self) -> str:
        """The manifest's digest."""
        return digest(self.manifest)


def make_image(
    *tars: bytes,
    kind: Mapping[str, str] = OCI,
    architecture: str = "amd64",
    diff_ids: list[str] | None = None,
    layer: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> Image:
    """Make an image of plain tar archives; `layer`, `config` and `manifest` change keys of the documents."""
    packed = [gzip.compress(tar, compresslevel=1, mtime=0) for tar in tars]
    configuration = json.dumps(
        {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(tar) for tar in tars]},
            **(config or {}),
        }
    ).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": kind["manifest"],
        "config": described(configuration, kind["config"]),
        "layers": [{**described(blob, kind["layer"]), **(layer or {})} for blob in packed],
        **(manifest or {}),
    }
    return Image(
        manifest=json.dumps(document).encode(),
        media_type=kind["manifest"],
        blobs={digest(blob): blob for blob in (configuration, *packed)},
    )


def make_index(*images: tuple[Image, str, str], kind: Mapping[str, str] = OCI) -> Image:
    """Make an index of images (with architecture and variant), and of something that is for no system."""
    entries = [
        described(
            image.manifest,
            image.media_type,
            platform={"os": "linux", "architecture": name} | ({"variant": variant} if variant else {}),
        )
        for image, name, variant in images
    ]
    attestation = described(images[0][0].manifest, kind["manifest"])
    attestation["platform"] = {"os": "unknown", "architecture": "unknown"}
    document = {
        "schemaVersion": 2,
        "mediaType": kind["index"],
        "manifests": [attestation, *entries],
    }
    return Image(manifest=json.dumps(document).encode(), media_type=kind["index"], blobs={})


@dataclass
class Registry:
    """A running registry: `host` is its name in references."""

    host: str
    folder: Path
    login: tuple[str, str] | None = None

    def push(self, repository: str, image: Image, tag: str | None = None) -> str:
        """Push an image as the distribution specification has it; give its reference by digest."""
        base = f"http://{self.host}/v2/{repository}"
        for name, blob in image.blobs.items():
            started = requests.post(f"{base}/blobs/uploads/", auth=self.login, timeout=20)
            started.raise_for_status()
            place = started.headers["Location"]
            joint = "&" if "?" in place else "?"
            done = requests.put(f"{place}{joint}digest={name}", data=blob, auth=self.login, timeout=20)
            done.raise_for_status()
        for name in (image.digest, *([tag] if tag else [])):
            answer = requests.put(
                f"{base}/manifests/{name}",
                data=image.manifest,
                auth=self.login,
                headers={"Content-Type": image.media_type},
                timeout=20,
            )
            assert answer.ok, answer.text
        return f"{self.host}/{repository}@{image.digest}"

    def stored(self, name: str) -> Path:
        """Give the file in which the registry keeps a blob or a manifest."""
        sha256 = name.removeprefix("sha256:")
        return self.folder / "docker/registry/v2/blobs/sha256" / sha256[:2] / sha256 / "data"


@contextmanager
def running_registry(folder: Path, *, auth: str = "") -> Iterator[Registry]:
    """Run a registry over an empty folder; `auth` is the configuration's part of that name."""
    assert PROGRAM is not None, MISSING
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        host = f"127.0.0.1:{free.getsockname()[1]}"
    configuration = folder.with_suffix(".yml")
    configuration.write_text(
        "version: 0.1\n"
        "log: {accesslog: {disabled: true}, level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {json.dumps(str(folder))}}}}}\n"
        f"http: {{addr: {json.dumps(host)}}}\n{auth}"
    )
    log = folder.with_suffix(".log").open("wb")
    environment = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}
    process = subprocess.Popen([PROGRAM, "serve", configuration], stdout=log, stderr=log, env=environment)
    try:
        for _ in range(200):
            try:
                requests.get(f"http://{host}/v2/", timeout=2)
                break
            except requests.ConnectionError:
                assert process.poll() is None, folder.with_suffix(".log").read_text()
                time.sleep(0.05)
        yield Registry(host=host, folder=folder)
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()
