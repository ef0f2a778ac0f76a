"""The lock: everything that decides a layer's bytes, and the outputs that were recorded of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from layerlock.model.decode import Commit, Name, RelativePath, Sha256, TreeHash, item

VERSION = 2
"""The version that is written. Every version ever written stays readable; goldens prove it.

2 tells the sizes of recorded outputs, which 1 did not.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedFile:
    """A file by sha256: an archive, a wheel or a Debian package."""

    kind: Literal["file"] = item("What the source is.")
    key: str = item("Recipe and source, `numpy/numpy`.")
    urls: tuple[str, ...] = item("Addresses of the same bytes, tried in order.")
    sha256: Sha256 = item("The sha256 of the file.")
    size: int = item("Its size in bytes.")


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedGit:
    """A git checkout by commit and tree hash."""

    kind: Literal["git"] = item("What the source is.")
    key: str = item("Recipe and source.")
    urls: tuple[str, ...] = item("Addresses of the repository, tried in order.")
    commit: Commit = item("The commit.")
    tree: TreeHash = item("The NAR hash of the checkout without `.git`.")
    ref: str | None = item("The full name of the branch or tag.", default=None)
    submodules: bool = item("Whether submodules are part of the tree.", default=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedPath:
    """A folder of the repository by tree hash."""

    kind: Literal["path"] = item("What the source is.")
    key: str = item("Recipe and source.")
    path: RelativePath = item("The folder, from the top of the repository.")
    tree: TreeHash = item("Its NAR hash.")


LockedSource = LockedFile | LockedGit | LockedPath


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIndex:
    """A Debian index that vouched for packages when the lock was written."""

    archive: str = item("The archive.")
    suite: str = item("The suite.")
    date: str = item("The index's own date.")
    sha256: Sha256 = item("The sha256 of its `InRelease`.")
    signed_by: str = item("The fingerprint of the key whose signature was verified.")


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedDerivation:
    """A derivation by planned hash; `output` once it was recorded."""

    name: Name = item("The derivation.")
    planned: Sha256 = item("Its planned hash.")
    output: TreeHash | None = item("The NAR hash of its recorded output.", default=None)
    size: int | None = item("The size of the recorded output's NAR in bytes.", default=None)
    fields: Mapping[str, str] = item(
        "A digest of each part of the derivation, to name what changed.", default={}
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedZip:
    """The layer zip that the recorded outputs make."""

    sha256: Sha256 = item("The sha256 of the zip.")
    size: int = item("Its size in bytes.")
    unzipped: int = item("The sum of its files' sizes in bytes.")
    tree: TreeHash = item("The NAR hash of the layer's tree.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """One lock file. Sources and derivations are sorted by key and name where the lock is written."""

    version: int = item("The version of the lock's format.")
    layer: Name = item("The layer.")
    indexes: tuple[SignedIndex, ...] = item("Signed indexes that vouched for Debian packages.", default=())
    zip: RecordedZip | None = item("The recorded zip.", default=None)
    sources: tuple[LockedSource, ...] = item("Every source.", default=())
    derivations: tuple[LockedDerivation, ...] = item("Every derivation, in build order.", default=())

    def source(self, key: str) -> LockedSource | None:
        """Find a locked source by its key."""
        return next((source for source in self.sources if source.key == key), None)

    def derivation(self, name: str) -> LockedDerivation | None:
        """Find a locked derivation by its name."""
        return next((derivation for derivation in self.derivations if derivation.name == name), None)
