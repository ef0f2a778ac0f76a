"""What a build may take out of a store: entries that were looked at again just before they are used."""

from __future__ import annotations

from pathlib import Path

from layerlock.errors import StoreError
from layerlock.io.atomic import storing
from layerlock.io.filehash import file_sha256
from layerlock.store.local import LocalStore
from layerlock.store.records import damaged
from layerlock.store.verify import touched


def sound_tree(store: LocalStore, sri: str) -> Path:
    """Give the stored tree with this NAR hash, once its modes and times were looked at.

    Whoever edits a file leaves a trace there, and looking takes a fraction of the time of hashing, which for a root
    file system of half a gigabyte would cost every build seconds. A disk that loses bits leaves no such trace: that
    only `verify` finds.

    Raises:
        StoreError: the tree is missing, or something in it was touched.
    """
    path = store.held_tree(sri)
    with storing(f"look through {path.name}"):
        problem = next(touched(path), None)
    if problem is not None:
        raise damaged(path, problem)
    return path


def sound_file(store: LocalStore, sha256: str) -> Path:
    """Give the stored file with this sha256 (hexadecimal), hashed again: unpacking it takes much longer than that.

    Raises:
        StoreError: the file is missing, or holds other bytes.
    """
    path = store.file(sha256)
    if path is None:
        raise StoreError(
            f"the file {sha256} went missing from the store", hint="build again: it is fetched anew"
        )
    with storing(f"read {path.name}"):
        actual = file_sha256(path)
    if actual != sha256:
        raise damaged(path, f"its sha256 is {actual}")
    return path
