"""A store of its own for rebuilds, filled from another one so that nothing has to be fetched or built."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from layerlock.errors import StoreError
from layerlock.io.atomic import storing
from layerlock.io.nar import nar_digest
from layerlock.sources.place import copy_tree
from layerlock.store.layout import MTIME, Layout
from layerlock.store.local import LocalStore
from layerlock.store.normalise import normalise


def seed(store: LocalStore, into: Path, *, files: Iterable[str], trees: Iterable[str], link: bool) -> None:
    """Copy files (by sha256) and trees (by SRI) of a store into a new store at `into`.

    Trees are copied and hashed: their links, owner and times are visible to builds. Files are hard-linked where
    `link` allows it and the file system can.

    Raises:
        StoreError: the store lacks one, or it is damaged.
    """
    layout = Layout(into)
    with storing(f"fill the store of the check {into}"):
        layout.make()
        for sha256 in sorted(set(files)):
            found = store.file(sha256)
            if found is None:
                raise StoreError(f"the file {sha256} is not in the store", hint="build or fetch again")
            _file(found, layout.files / found.name, link=link)
        for sri in sorted(set(trees)):
            tree = store.held_tree(sri)
            _tree(tree, layout.trees / tree.name, sri)


def give(folder: Path, uid: int, gid: int) -> None:
    """Make a user and group the owners of a folder and everything below it, links as links."""
    os.chown(folder, uid, gid, follow_symlinks=False)
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(f"{where}/{name}", uid, gid, follow_symlinks=False)


def _file(source: Path, target: Path, *, link: bool) -> None:
    if link:
        try:
            target.hardlink_to(source)
        except OSError:
            pass  # another file system, or one without hard links
        else:
            return
    shutil.copyfile(source, target)
    target.chmod(0o444)
    os.utime(target, (MTIME, MTIME))


def _tree(source: Path, target: Path, sri: str) -> None:
    target.mkdir()
    copy_tree(source, target)
    normalise(target, MTIME)
    found = nar_digest(target).sri
    if found != sri:
        raise StoreError(f"{source} is damaged: it has the hash {found}", hint="run: layerlock verify")
