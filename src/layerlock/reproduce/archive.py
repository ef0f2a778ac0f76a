"""An archive: a folder with everything that past layers are made from, by content, readable without this program.

It may hold any number of layers and locks; what they share is kept once. Files are written beside their place, synced
and renamed, and the manifest of a layer comes last: whoever is killed leaves a folder that the next run completes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layerlock.errors import HashMismatch, LayerlockError, Offline, UsageError
from layerlock.events import FetchFinished, FetchStarted, Listener
from layerlock.io.archives import MTIME, unpack_tar
from layerlock.io.atomic import exclusive, fsync_directory, fsync_file, remove_tree, storing, write_bytes
from layerlock.io.filehash import file_sha256
from layerlock.io.nar import nar_sha256
from layerlock.io.treewriter import Caps, TreeWriter
from layerlock.model.digest import unsri
from layerlock.model.lock import LockedFile, LockedGit
from layerlock.model.ports import SourceStore
from layerlock.reproduce.manifest import Manifest, dump_manifest, parse_manifest
from layerlock.sources.origins import filename

_README: Final = """\
This folder holds everything that some layers for AWS Lambda are made from. layerlock wrote it and reads it:

  layerlock reproduce LAYER --from THIS-FOLDER     builds a layer again, without a network, and compares it

What stands here is plain, so that it can be used without layerlock too:

  manifests/LAYER-LOCK.json    what one layer needs: each file's hash, size and name, and what needs it;
                               LOCK are the first digits of the sha256 of the layer's lock
  files/sha256/HASH            files under their sha256: sources, Debian packages, recipes, patches, locks
  trees/sha256/HASH.tar        folders, as tar archives under the sha256 of the folder's NAR serialisation,
                               in hexadecimal; `nix hash path` prints the same hash in base64

`repository` in a manifest says at which path of the recipe repository a file stands. `source_packages` are the source
packages of Debian whose binaries the layer ships. To check the files: (cd files/sha256; for f in *; do echo "$f  $f"; \
done | sha256sum --check --quiet)
"""
_HINT: Final = (
    "where there is a network, `layerlock archive LAYER --to DIR` brings what is missing or damaged"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Flaw:
    """Something that is wrong in an archive: its path, and what is the matter with it."""

    path: Path
    problem: str
    missing: bool = False


class Archive:
    """The archive in the folder `root`. Reading touches nothing; writing makes the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files = root / "files" / "sha256"
        self._trees = root / "trees" / "sha256"
        self._manifests = root / "manifests"
        self._tmp = root / "tmp"

    def check(self) -> None:
        """Make sure that there is an archive.

        Raises:
            UsageError: the folder is missing, or is none.
        """
        if not self._manifests.is_dir():
            raise UsageError(
                f"{self.root} is no archive: it holds no `manifests` folder",
                hint="layerlock archive LAYER --to DIR makes one",
            )

    # Reading

    def manifests(self) -> tuple[Manifest, ...]:
        """Read what is archived.

        Raises:
            UsageError: there is no archive.
            InvalidRecipe: a manifest cannot be read.
        """
        self.check()
        return tuple(
            parse_manifest(path.read_bytes(), str(path)) for path in sorted(self._manifests.glob("*.json"))
        )

    def file(self, sha256: str) -> Path | None:
        """Give the file of a sha256, if it is here; it is not looked into."""
        path = self._files / sha256
        return path if path.is_file() else None

    def whole(self, sha256: str) -> bool:
        """Say whether the file of a sha256 is here and undamaged."""
        path = self.file(sha256)
        return path is not None and file_sha256(path) == sha256

    def tree(self, sri: str) -> Path | None:
        """Give the tar of a tree, if it is here; it is not looked into."""
        path = self._trees / f"{unsri(sri)}.tar"
        return path if path.is_file() else None

    def bring(self, pin: LockedFile | LockedGit, store: SourceStore, emit: Listener) -> Path:
        """Bring a pinned source into a store, verified.

        Raises:
            Offline: the archive lacks it.
            HashMismatch: what the archive has is damaged.
        """
        held = self.file(pin.sha256) if isinstance(pin, LockedFile) else self.tree(pin.tree)
        if held is None:
            known = pin.sha256 if isinstance(pin, LockedFile) else pin.tree
            raise Offline(
                f"{pin.key} is not in the archive {self.root} ({known}), and nothing else may be asked",
                hint=_HINT,
            )
        emit(FetchStarted(name=pin.key, url=str(held), size=held.stat().st_size))
        if isinstance(pin, LockedFile):
            expected = pin.sha256
            path = store.add_file(
                expected, filename(pin.urls), lambda place: _copy(held, place, expected, pin.key)
            )
        else:
            with store.scratch("archive") as scratch:
                self.unpack(pin.tree, scratch / "tree")
                path = store.add_tree(scratch / "tree", pin.key.rpartition("/")[2]).path
        emit(FetchFinished(name=pin.key, size=held.stat().st_size, seconds=0.0))
        return path

    def read(self, sha256: str, what: str) -> bytes:
        """Read a small file, verified.

        Raises:
            Offline: the archive lacks it.
            HashMismatch: it is damaged.
        """
        path = self.file(sha256)
        if path is None:
            raise Offline(f"{what} is not in the archive {self.root} ({sha256})", hint=_HINT)
        data = path.read_bytes()
        _require(path, hashlib.sha256(data).hexdigest(), sha256, what)
        return data

    def unpack(self, sri: str, into: Path) -> None:
        """Unpack a tree into the new folder `into`, verified.

        Raises:
            Offline: the archive lacks it.
            HashMismatch, UnsafeArchive: it is damaged.
        """
        path = self.tree(sri)
        if path is None:
            raise Offline(f"the tree {sri} is not in the archive {self.root}", hint=_HINT)
        unpack_tar(path, into)
        _require(path, nar_sha256(into), sri, "the tree")

    def lay_out(self, manifest: Manifest, into: Path) -> None:
        """Write the files of a manifest's repository into a new folder."""
        into.mkdir(parents=True)
        with TreeWriter(into, archive=str(self.root), caps=Caps(), mtime=MTIME) as writer:
            for file in manifest.repository:
                parts = tuple(part.encode() for part in file.path.split("/"))
                writer.file(parts, executable=False, data=(self.read(file.sha256, file.path),))
            writer.finish()

    def flaws(self, manifest: Manifest) -> Iterator[Flaw]:
        """Look at everything that a manifest lists, and say what is missing or damaged."""
        for sha256, size in sorted(manifest.sizes.items()):
            yield from _flaw(self._files / sha256, file_sha256, sha256, size)
        for tree in manifest.trees:
            path = self._trees / f"{unsri(tree.tree)}.tar"
            yield from _flaw(path, self._tree_hash, tree.tree, None)

    def _tree_hash(self, tar: Path) -> str:
        import tempfile  # noqa: PLC0415 - for this alone

        with tempfile.TemporaryDirectory(prefix="layerlock-") as scratch:
            unpack_tar(tar, Path(scratch, "tree"))
            return nar_sha256(Path(scratch, "tree"))

    # Writing

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only one who writes, for as long as it takes; what a killed writer left is removed first.

        Raises:
            StoreError, DiskFull: the folder cannot be written.
        """
        with storing(f"write the archive {self.root}"):
            for folder in (self._files, self._trees, self._manifests):
                folder.mkdir(parents=True, exist_ok=True)
            with exclusive(self.root / ".lock"):
                remove_tree(self._tmp)
                self._tmp.mkdir()
                readme = self.root / "README"
                if not readme.is_file() or readme.read_text(encoding="utf-8") != _README:
                    write_bytes(readme, _README.encode(), by_way_of=self._tmp)
                try:
                    yield
                finally:
                    remove_tree(self._tmp)

    def add_file(self, sha256: str, fill: Callable[[Path], None]) -> bool:
        """Keep the file of a sha256, which `fill` writes to a path; say whether it was missing or damaged.

        Raises:
            HashMismatch: `fill` gave something else.
        """
        place = self._files / sha256
        if self.whole(sha256):
            return False
        temporary = self._tmp / sha256
        with storing(f"archive {sha256}"):
            fill(temporary)
            _require(temporary, file_sha256(temporary), sha256, "what was to be archived")
            _finish(temporary, place)
        return True

    def add_bytes(self, data: bytes) -> str:
        """Keep a small file; give its sha256."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.add_file(sha256, lambda place: _write(place, data))
        return sha256

    def add_tree(self, sri: str, tree: Path) -> tuple[Path, bool]:
        """Keep a tree as a tar; give its place, and whether it was missing or damaged.

        Raises:
            HashMismatch: the folder does not have this hash.
        """
        place = self._trees / f"{unsri(sri)}.tar"
        if place.is_file():
            try:
                if self._tree_hash(place) == sri:
                    return place, False
            except LayerlockError:
                pass  # it is written anew
        temporary = self._tmp / place.name
        with storing(f"archive {tree}"):
            write_tar(tree, temporary)
            # Read back: what cannot be unpacked to the same tree is of no use to anybody.
            _require(temporary, self._tree_hash(temporary), sri, "the tree that was to be archived")
            _finish(temporary, place)
        return place, True

    def add_manifest(self, manifest: Manifest) -> Path:
        """Write a manifest, once all that it lists is here."""
        path = self._manifests / manifest.name
        data = dump_manifest(manifest)
        with storing(f"write {path}"):
            if not path.is_file() or path.read_bytes() != data:
                write_bytes(path, data, by_way_of=self._tmp)
        return path


def write_tar(tree: Path, place: Path) -> None:
    """Write a folder as a tar whose bytes depend on nothing but what a NAR knows of it."""

    def add(tar: tarfile.TarFile, folder: Path, prefix: str) -> None:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        for entry in found:
            status = entry.stat(follow_symlinks=False)
            row = tarfile.TarInfo(prefix + entry.name)
            row.mtime = MTIME
            if entry.is_symlink():
                row.type, row.linkname, row.mode = tarfile.SYMTYPE, os.readlink(entry.path), 0o777  # noqa: PTH115
                tar.addfile(row)
            elif entry.is_dir(follow_symlinks=False):
                row.type, row.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(row)
                add(tar, Path(entry.path), f"{row.name}/")
            else:
                row.size, row.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
                with Path(entry.path).open("rb") as data:
                    tar.addfile(row, data)

    # The GNU format keeps names as they are, whatever their length and encoding.
    with tarfile.open(
        place, "w", format=tarfile.GNU_FORMAT, encoding="utf-8", errors="surrogateescape"
    ) as tar:
        add(tar, tree, "")


def _flaw(path: Path, hashed: Callable[[Path], str], expected: str, size: int | None) -> Iterator[Flaw]:
    try:
        if size is not None and path.stat().st_size != size:
            yield Flaw(path=path, problem=f"it has {path.stat().st_size} bytes in place of {size}")
        elif (found := hashed(path)) != expected:
            yield Flaw(path=path, problem=f"its hash is {found}, in place of {expected}")
    except FileNotFoundError:
        yield Flaw(path=path, problem="it is missing", missing=True)
    except (OSError, LayerlockError) as error:
        yield Flaw(path=path, problem=f"it cannot be read: {error}")


def _copy(source: Path, place: Path, sha256: str, what: str) -> None:
    shutil.copyfile(source, place)
    _require(source, file_sha256(place), sha256, what)


def _require(path: Path, found: str, expected: str, what: str) -> None:
    if found != expected:
        raise HashMismatch(
            f"{path} is damaged: {what} has the hash {found} in place of {expected}", hint=_HINT
        )


def _write(place: Path, data: bytes) -> None:
    place.write_bytes(data)


def _finish(temporary: Path, place: Path) -> None:
    temporary.chmod(0o444)
    os.utime(temporary, (MTIME, MTIME))
    fsync_file(temporary)
    temporary.replace(place)
    fsync_directory(place.parent)
