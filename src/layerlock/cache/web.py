"""A cache that a web server hands out, read-only: the folder of a cache, or a bucket, behind plain HTTP."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NoReturn

from layerlock.cache.place import PackedFile, Unreachable
from layerlock.errors import FetchError
from layerlock.events import silent
from layerlock.io.http import AllFailed, Fetcher
from layerlock.io.reasons import redact


class Web:
    """Objects below an address; retries, resumption and bounds are the fetcher's."""

    remote = True

    def __init__(self, url: str, fetcher: Fetcher) -> None:
        self._url = url.rstrip("/")
        self._fetcher = fetcher
        self.address = redact(self._url)

    def read(self, key: str, limit: int) -> bytes | None:
        """Give a small object."""
        try:
            return self._fetcher.read(f"{self._url}/{key}", limit=limit)
        except AllFailed as error:
            if error.absent:
                return None
            raise self._failed(error) from error

    def open(self, key: str, folder: Path, limit: int) -> PackedFile | None:
        """Download an object."""
        dest = folder / "packed"
        try:
            self._fetcher.download(
                [f"{self._url}/{key}"], dest, sha256=None, size=None, emit=silent, name=key, limit=limit
            )
        except AllFailed as error:
            if error.absent:
                return None
            raise self._failed(error) from error
        return PackedFile(dest)

    def write(self, key: str, pieces: Iterator[bytes]) -> int:
        """Refuse: plain HTTP has no way to write."""
        del key, pieces
        self._refuse("written")

    def present(self, keys: Collection[str]) -> frozenset[str]:
        """Refuse, as above: only who writes has to know."""
        del keys
        self._refuse("written")

    def listing(self) -> Iterator[str]:
        """Refuse: a web server has no list."""
        self._refuse("listed")

    def _refuse(self, what: str) -> NoReturn:
        raise Unreachable(
            f"the cache {self.address} cannot be {what}: it is read-only HTTP",
            hint="name the bucket or folder that it is served from",
        )

    def _failed(self, error: FetchError) -> Unreachable:
        return Unreachable(f"the cache {self.address} does not answer: {error.message}")
