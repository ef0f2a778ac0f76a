"""What an archive of a layer lists: every file and tree with its size and hash, and what needs it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from layerlock.errors import InvalidRecipe, Location
from layerlock.model.decode import DecodeError, Name, RelativePath, Sha256, TreeHash, decode, item

VERSION = 1
"""The version that is written. Every version ever written stays readable."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedFile:
    """A file, kept as `files/sha256/SHA256`."""

    sha256: Sha256 = item("The sha256 of the file.")
    size: int = item("Its size in bytes.")
    name: str = item("What it was called where it came from.")
    needed_by: tuple[str, ...] = item("Sources, `numpy/numpy`, or other things that it is a part of.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedTree:
    """A tree, kept as a tar `trees/sha256/HEX.tar` under the hash of the tree in hexadecimal."""

    tree: TreeHash = item("The NAR hash of the tree.")
    sha256: Sha256 = item("The sha256 of the tar.")
    size: int = item("The size of the tar in bytes.")
    needed_by: tuple[str, ...] = item("Sources that it is.")


@dataclass(frozen=True, kw_only=True, slots=True)
class RepositoryFile:
    """A file of the recipe repository, kept by its content like all files."""

    path: RelativePath = item("Its place from the top of the repository.")
    sha256: Sha256 = item("The sha256 of the file.")
    size: int = item("Its size in bytes.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchivedSources:
    """A source package of Debian, whose binaries ship in the layer."""

    package: str = item("Its name.")
    version: str = item("Its version.")
    ships_in: tuple[str, ...] = item("The packages of the layer that hold files made from it.")
    files: tuple[Sha256, ...] = item("The sha256 of its .dsc and its tarballs, as far as they are here.")
    complete: bool = item("Whether all of them are.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """One layer by one lock. Everything is sorted, and nothing tells of when or where it was written."""

    version: int = item("The version of the manifest's format.")
    layer: Name = item("The layer.")
    lock: Sha256 = item("The sha256 of its lock, which is one of the repository's files.")
    zip: Sha256 | None = item("The sha256 of the zip that the lock records.", default=None)
    files: tuple[ArchivedFile, ...] = item("Sources, the sandbox's program, source packages.", default=())
    trees: tuple[ArchivedTree, ...] = item("Sources that are git checkouts or one's own folders.", default=())
    repository: tuple[RepositoryFile, ...] = item("Recipes, patches, guest code and the lock.", default=())
    source_packages: tuple[ArchivedSources, ...] = item("Debian's source packages.", default=())

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.layer}-{self.lock[:16]}.json"

    @property
    def sizes(self) -> dict[str, int]:
        """The bytes of every file by its sha256, those of the repository among them."""
        kept = {file.sha256: file.size for file in self.files}
        return kept | {file.sha256: file.size for file in self.repository}

    @property
    def size(self) -> int:
        """The bytes of all that it lists, each counted once."""
        trees = {tree.sha256: tree.size for tree in self.trees}
        return sum((self.sizes | trees).values())


def dump_manifest(manifest: Manifest) -> bytes:
    """Spell a manifest."""
    return (json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n").encode()


def parse_manifest(data: bytes, shown: str) -> Manifest:
    """Read a manifest; `shown` is what messages call it.

    Raises:
        InvalidRecipe: it is none, or one of a newer layerlock.
    """
    try:
        table = json.loads(data)
    except ValueError as error:
        raise InvalidRecipe(f"not JSON: {error}", location=Location(file=shown)) from None
    if not isinstance(table, dict):
        raise InvalidRecipe("it is no manifest of an archive", location=Location(file=shown))
    version = table.get("version")
    if isinstance(version, int) and version > VERSION:
        raise InvalidRecipe(
            f"the manifest has version {version}; this layerlock reads up to {VERSION}",
            hint="use a newer layerlock",
            location=Location(file=shown),
        )
    try:
        return decode(Manifest, {key: value for key, value in table.items() if value is not None})
    except DecodeError as error:
        raise InvalidRecipe(error.problem, location=Location(file=shown, path=error.path)) from None
