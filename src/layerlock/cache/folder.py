"""A cache in a folder: on this machine, or on a file system that several machines share."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from layerlock.cache.place import PackedFile, TooLarge, Unreachable
from layerlock.io.atomic import write_pieces

_FOLDERS: Final = ("closures", "trees", "files")


class Folder:
    """Objects as files; an object is written beside its place, synced and renamed."""

    remote = False

    def __init__(self, root: Path) -> None:
        self._root = root
        self.address = str(root)

    def read(self, key: str, limit: int) -> bytes | None:
        """Give a small object."""
        try:
            with (self._root / key).open("rb") as file:
                data = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._failed("read", error) from error
        if len(data) > limit:
            raise TooLarge(f"it has more than {limit} bytes")
        return data

    def open(self, key: str, folder: Path, limit: int) -> PackedFile | None:
        """Give the object's own file: what is in it is held against its hash wherever it stands."""
        del folder
        try:
            packed = PackedFile(self._root / key)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._failed("read", error) from error
        if packed.size > limit:
            raise TooLarge(f"it has {packed.size} bytes, more than the {limit} that there may be")
        return packed

    def write(self, key: str, pieces: Iterator[bytes]) -> int:
        """Write an object."""
        path = self._root / key
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Who may read a cache that a team shares is its folder's and the umask's to say.
            return write_pieces(path, pieces)
        except OSError as error:
            raise self._failed("written", error) from error

    def present(self, keys: Collection[str]) -> frozenset[str]:
        """Say which keys are there."""
        return frozenset(key for key in keys if (self._root / key).is_file())

    def listing(self) -> Iterator[str]:
        """List everything; what a killed pusher left half-written is none of it."""
        for folder in _FOLDERS:
            place = self._root / folder
            if place.is_dir():
                names = sorted(path.name for path in place.iterdir() if not path.name.startswith("."))
                yield from (f"{folder}/{name}" for name in names)

    def _failed(self, what: str, error: OSError) -> Unreachable:
        about = f"{error.strerror or error}" + (f" ({error.filename})" if error.filename else "")
        return Unreachable(f"the cache {self._root} cannot be {what}: {about}")
