"""Single files of npm packages, pinned by hash and fetched by npm itself, which knows where its registry is.

npm only downloads (`npm pack`): no script of a package runs, and nothing that it depends on comes along.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from layerlock.errors import FetchError
from layerlock.io.documents import read_record, read_table
from layerlock.io.reasons import redact

_SECONDS = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """A file of an npm package: `file` is its place in the package, `sha256` that of its bytes."""

    package: str
    version: str
    file: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.file.rpartition("/")[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scripts:
    """A data file that pins scripts."""

    scripts: tuple[Script, ...]


def pinned(data: Path) -> tuple[Script, ...]:
    """Read what a data file pins, in its order.

    Raises:
        InvalidRecipe: it does not follow its format.
    """
    return read_record(Scripts, read_table(data, data.name), data, data.name).scripts


def fetch(script: Script, target: Path, variables: Mapping[str, str]) -> None:
    """Bring a script to `target`, beside which the package is put while it is read; its hash is the caller's to check.

    Raises:
        FetchError: there is no npm, it cannot get the package, or the package lacks the file.
    """
    wanted = f"{script.package}@{script.version}"
    npm = shutil.which("npm", path=variables.get("PATH"))
    if npm is None:
        raise FetchError(
            f"{wanted} comes from npm, which is not installed", hint="install npm, and start again"
        )
    line = [npm, "pack", wanted, "--ignore-scripts", "--silent", "--pack-destination", str(target.parent)]
    try:
        done = subprocess.run(
            line,
            capture_output=True,
            text=True,
            check=False,
            env=dict(variables),
            cwd=target.parent,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise FetchError(
            f"npm gave no {wanted} in {_SECONDS} s", hint="look after the network, or npm's registry"
        ) from None
    packed = sorted(target.parent.glob("*.tgz"))
    if done.returncode or len(packed) != 1:
        raise FetchError(f"npm gave no {wanted}: {redact(done.stderr.strip()) or 'it does not say why'}")
    try:
        with tarfile.open(packed[0]) as archive:
            member = archive.extractfile(f"package/{script.file}")
            if member is None:
                raise KeyError(script.file)
            target.write_bytes(member.read())
    except (KeyError, tarfile.TarError) as error:
        raise FetchError(f"{wanted} holds no {script.file} that can be read") from error
    finally:
        packed[0].unlink()
