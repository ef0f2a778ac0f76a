"""Where things stand in a store, and how they are found: names carry the hash, so no index can be corrupt."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from pathlib import Path
from typing import Final

from layerlock.errors import StoreError

MTIME: Final = 1
"""The one modification time of everything in a store, in seconds: what Nix uses."""

FOLDERS: Final = (
    "files",
    "trees",
    "realisations",
    "planned",
    "logs",
    "tmp",
    "locks",
    "roots",
    "failed",
    "standing",
)
_HEX: Final = re.compile(r"[0-9a-f]{64}")
_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9._+~-]")
_LONGEST_NAME: Final = 150


class Layout:
    """The folders below a store's root; making one touches no disk."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.files = root / "files"
        self.trees = root / "trees"
        self.realisations = root / "realisations"
        self.planned = root / "planned"
        self.logs = root / "logs"
        self.tmp = root / "tmp"
        self.locks = root / "locks"
        self.roots = root / "roots"
        self.failed = root / "failed"
        self.standing = root / "standing"
        self.collector = self.locks / "collector"

    def make(self) -> None:
        """Make the folders that are missing.

        Raises:
            StoreError: the file system takes names that differ only in case for one, or has no symbolic links.
        """
        new = not self.roots.is_dir()
        for folder in FOLDERS:
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        # Trees hold both kinds of names: those of one would silently come out as something else.
        other = self.root / FOLDERS[0].upper()
        if other.exists() and other.samefile(self.root / FOLDERS[0]):
            raise _unfit(self.root, "does not tell upper from lower case")
        if new:
            self._try_links()

    def _try_links(self) -> None:
        import secrets  # noqa: PLC0415 - once a store

        probe = self.root / f".probe-{secrets.token_hex(6)}"
        try:
            probe.symlink_to("nowhere")
            probe.unlink()
        except OSError as error:
            if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
                raise _unfit(self.root, "has no symbolic links") from error
            raise

    def lock(self, kind: str, name: str) -> Path:
        """The lock file of one entry."""
        return self.locks / f"{kind}-{name}"


def _unfit(root: Path, why: str) -> StoreError:
    hint = "name a folder on another file system with --store or LAYERLOCK_STORE"
    return StoreError(f"the file system of {root} cannot hold a store: it {why}", hint=hint)


class Index:
    """Finds `HASH-NAME` in a folder by hash; the listing is read again only after the folder changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stamp: tuple[int, int] | None = None
        self._names: dict[str, str] = {}

    def find(self, digest: str) -> Path | None:
        """Return the entry whose name starts with the hexadecimal `digest`."""
        try:
            status = self._folder.stat()
        except FileNotFoundError:
            return None
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp or digest not in self._names:
            # Two changes within one tick of the file system's clock look like one, so a miss always looks
            # again.
            names = os.listdir(self._folder)  # noqa: PTH208 -- names are all that is wanted
            self._names = {name[:64]: name for name in names if name[64:65] == "-"}
            self._stamp = stamp
        name = self._names.get(digest)
        if name is None:
            return None
        path = self._folder / name
        return path if path.exists() else None


def checkout_root(layout: Layout, checkout: Path, name: str) -> Path:
    """Give the place of the root that the lock `name` of a checkout has."""
    key = hashlib.sha256(f"{checkout.absolute()}\0{name}".encode(errors="surrogateescape")).hexdigest()
    return layout.roots / f"checkout-{key}.json"


def standing_place(layout: Layout, checkout: Path, name: str) -> Path:
    """Give the place of what is remembered of the last finished build of a checkout's layer: as its root is called."""
    return layout.standing / checkout_root(layout, checkout, name).name


def require_hex(digest: str) -> str:
    """Return `digest` if it is a hexadecimal sha256: it becomes part of a path. Raises ValueError."""
    if not _HEX.fullmatch(digest):
        raise ValueError(f"not a sha256 in hexadecimal: {digest!r}")
    return digest


def entry_name(digest: str, name: str) -> str:
    """Give the name of an entry: the hash, and the name made harmless, for people who look into the store."""
    return f"{require_hex(digest)}-{_NOT_IN_A_NAME.sub('_', name)[-_LONGEST_NAME:]}"
