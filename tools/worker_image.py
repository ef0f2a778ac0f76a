"""Make the container image that workers run in, the same bytes on every machine: ./nox -s worker-image -- worker.tar

The image is made as layers are: the recipes under worker/ name Debian packages and wheels by hash, and the driver
builds them without asking the host for anything. On top stands the driver itself, as it is in this checkout.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import layerlock
from layerlock.cli import surroundings
from layerlock.cli.construct import construct
from layerlock.cli.settings import Settings
from layerlock.events import Event
from layerlock.io.archives import MTIME
from layerlock.plan.packages import environment_name
from layerlock.sandbox.engine.trees import Sent, packed
from layerlock.sources.fetch import copy_folder
from layerlock.store.keep import Keep
from layerlock.ui.lines import describe
from layerlock.workflows.building import build_package
from layerlock.workflows.planning import load

ROOT: Final = Path(__file__).resolve().parent.parent
NAME: Final = f"layerlock/worker:{layerlock.__version__}"
USER: Final = 1000
_PACKAGE: Final = "worker"
_ENVIRONMENT: Final = environment_name("bookworm")
_HOME: Final = "opt/layerlock"
_CERTIFICATES: Final = "etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True, kw_only=True, slots=True)
class Blob:
    """A part of an image, or all of it: a file, the sha256 of its bytes and their number."""

    path: Path
    sha256: str
    size: int

    @property
    def place(self) -> str:
        """Where it stands in the image's archive."""
        return f"blobs/sha256/{self.sha256}"

    def described(self, kind: str) -> dict[str, Any]:
        """Describe it as OCI's image specification does."""
        kind = f"application/vnd.oci.image.{kind}"
        return {"mediaType": kind, "digest": f"sha256:{self.sha256}", "size": self.size}


def write_image(store: Path, to: Path) -> tuple[str, Blob]:
    """Build what an image takes, and write it to a file that `docker load` and `podman load` take.

    Gives the image's id, and the file.
    """
    driver = construct(Settings(repository=ROOT / "worker", store=store, environment=dict(os.environ)), _tell)
    with driver.store.pin(Keep()), TemporaryDirectory(dir=to.parent, prefix=".worker-image-") as scratch:
        folder = Path(scratch)
        _, wheels = build_package(driver, _PACKAGE)
        made = driver.store.planned(load(driver, _PACKAGE).plan.planned[_ENVIRONMENT])
        assert made is not None, "what a package is built in is in the store"
        code = copy_folder(ROOT / "src" / "layerlock", folder)
        assert code is not None
        layers = [
            _blob(folder, packed(_system(driver.store.held_tree(made.output)))),
            _blob(folder, packed([Sent(place=_HOME, source=wheels)])),
            _blob(folder, packed([Sent(place=f"{_HOME}/src/layerlock", source=code)])),
            _blob(folder, packed([Sent(place="store", folder=True, mode=0o755)], uid=USER, gid=USER)),
        ]
        config = _blob(folder, iter([_json(_config(layers))]))
        written = _write(folder, to, config, layers)
    return config.sha256, written


def _system(root: Path) -> Iterator[Sent]:
    """Give Debian's files, and the few that maintainer scripts would have made."""
    for path in sorted(root.iterdir()):
        yield Sent(place=path.name, source=path)
    certificates = sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt"))
    yield Sent(place=_CERTIFICATES, contents=b"".join(path.read_bytes() for path in certificates))
    yield Sent(place="etc/passwd", contents=f"root:x:0:0::/:\nbuilder:x:{USER}:{USER}::/store:\n".encode())
    yield Sent(place="etc/group", contents=f"root:x:0:\nbuilder:x:{USER}:\n".encode())
    yield Sent(place="tmp", folder=True, mode=0o1777)


def _config(layers: list[Blob]) -> dict[str, Any]:
    """Describe the image: its entry point is the driver, for a user that is not root."""
    variables = {
        "HOME": "/store",
        "LAYERLOCK_STORE": "/store",
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": f"/{_HOME}/src:/{_HOME}/lib",
    }
    return {
        "architecture": "amd64",
        "os": "linux",
        "created": "1980-01-01T00:00:00Z",
        "config": {
            "User": f"{USER}:{USER}",
            "Env": [f"{name}={value}" for name, value in variables.items()],
            "Entrypoint": ["/usr/bin/python3", "-m", "layerlock"],
            "Volumes": {"/store": {}},
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer.sha256}" for layer in layers]},
    }


def _write(folder: Path, to: Path, config: Blob, layers: list[Blob]) -> Blob:
    """Write an archive that is both: OCI's image layout, and what `docker load` has always read.

    Layers are not compressed, so that no version of a compressor decides a byte.
    """
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config.described("config.v1+json"),
        "layers": [layer.described("layer.v1.tar") for layer in layers],
    }
    described = _blob(folder, iter([_json(manifest)]))
    named = {"io.containerd.image.name": f"docker.io/{NAME}", "org.opencontainers.image.ref.name": NAME}
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [described.described("manifest.v1+json") | {"annotations": named}],
    }
    docker = [{"Config": config.place, "RepoTags": [NAME], "Layers": [layer.place for layer in layers]}]
    blobs = sorted((config, described, *layers), key=lambda blob: blob.place)
    items = [
        Sent(place="oci-layout", contents=_json({"imageLayoutVersion": "1.0.0"})),
        Sent(place="index.json", contents=_json(index)),
        Sent(place="manifest.json", contents=_json(docker)),
        *(Sent(place=blob.place, source=blob.path) for blob in blobs),
    ]
    whole = _blob(folder, packed(items))
    return replace(whole, path=whole.path.replace(to))


def _blob(folder: Path, pieces: Iterator[bytes]) -> Blob:
    """Write pieces to a file, with one mode and time."""
    path = folder / f"blob-{len(list(folder.iterdir()))}"
    hashed, size = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            hashed.update(piece)
            size += len(piece)
    path.chmod(0o644)
    os.utime(path, (MTIME, MTIME))
    return Blob(path=path, sha256=hashed.hexdigest(), size=size)


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _tell(event: Event) -> None:
    line = describe(event)
    if line is not None and line.importance != "log":
        print(line, file=sys.stderr)


def main() -> int:
    """Write the image, and say what it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("to", nargs="?", type=Path, default=Path("dist/worker.tar"), metavar="FILE")
    parser.add_argument("--store", metavar="DIR", help="where it is built, as for the driver")
    options = parser.parse_args()
    to: Path = options.to.absolute()
    to.parent.mkdir(parents=True, exist_ok=True)
    image, written = write_image(surroundings.store(options.store, os.environ, Path.cwd()), to)
    print(f"{to}\n  {NAME}, image sha256:{image}\n  {written.size / 1e6:.1f} MB, sha256 {written.sha256}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
