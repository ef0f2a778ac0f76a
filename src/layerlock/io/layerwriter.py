"""Writes the layers of an image over each other: what is there gives way, and nothing is reached through a link."""

from __future__ import annotations

import os
import shutil
import stat
from typing import Final, NoReturn

from layerlock.io.treewriter import Parts, TreeWriter

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LayerWriter(TreeWriter):
    """A writer for which a later member takes the place of an earlier one, whatever the two are.

    Only a directory that comes again stays, with what it holds. Links may be absolute, since the tree is a root
    file system, but no name passes through one: a layer states where its members really are. Times are not set;
    the store has one for everything.
    """

    def begin(self, archive: str) -> None:
        """Go on with another layer; the caps are for all of them together."""
        self._archive = archive

    def directory(self, parts: Parts) -> None:
        """Make a directory in the place of anything that is none."""
        with self._member(parts):
            if parts:
                folder, name = self._parent(parts)
                if (mode := _mode(folder, name)) is not None and not stat.S_ISDIR(mode):
                    os.unlink(name, dir_fd=folder)
            self._folder(parts)

    def symlink(self, parts: Parts, target: bytes) -> None:
        """Make a symbolic link in the place of anything."""
        with self._member(parts):
            if not target or b"\0" in target:
                raise self.refuse(parts, "is a link without a target")
            folder, name = self._parent(parts)
            self._clear(folder, name, parts)
            os.symlink(target, name, dir_fd=folder)

    def finish(self) -> None:
        """Give the top its mode."""
        os.fchmod(self._root, 0o755)

    def remove(self, parts: Parts, made: frozenset[Parts]) -> None:
        """Take away what stands at `parts`, if anything does: a whiteout.

        `made` are the directories that the layer itself brings; below one of them that is not there yet, nothing is
        to be taken away.
        """
        with self._member(parts):
            folder = self._lower(parts[:-1], made)
            if folder is not None:
                try:
                    self._clear(folder, parts[-1], parts)
                finally:
                    os.close(folder)

    def empty(self, parts: Parts, made: frozenset[Parts]) -> None:
        """Take away everything below the directory `parts`: an opaque whiteout. `made` as for `remove`."""
        with self._member(parts):
            folder = self._lower(parts, made)
            if folder is not None:
                try:
                    with os.scandir(folder) as entries:
                        names = [os.fsencode(entry.name) for entry in entries]
                    for name in names:
                        self._clear(folder, name, (*parts, name))
                finally:
                    os.close(folder)

    def _lower(self, parts: Parts, made: frozenset[Parts]) -> int | None:
        """Open a directory that lower layers brought; None where there is none."""
        folder = os.dup(self._root)
        try:
            for depth, name in enumerate(parts, start=1):
                mode = _mode(folder, name)
                if mode is None:
                    break
                if not stat.S_ISDIR(mode):
                    if parts[:depth] in made:
                        break  # the layer puts a directory there
                    raise self.refuse(parts, "holds a whiteout, and passes through a file or a link")
                inner = os.open(name, _DIRECTORY, dir_fd=folder)
                os.close(folder)
                folder = inner
            else:
                return folder
        except BaseException:
            os.close(folder)
            raise
        os.close(folder)
        return None

    def _clear(self, folder: int, name: bytes, parts: Parts) -> None:
        """Remove an entry of a directory, with everything below it."""
        mode = _mode(folder, name)
        if mode is None:
            return
        if not stat.S_ISDIR(mode):
            os.unlink(name, dir_fd=folder)
            return
        for known in [known for known in self._open if known[: len(parts)] == parts]:
            # `folder` stands above what is removed, so it is not among them.
            os.close(self._open.pop(known))
        shutil.rmtree(os.fsdecode(name), dir_fd=folder)

    def _create(self, folder: int, name: bytes, parts: Parts) -> int | None:
        """Open a new file in the place of anything."""
        self._clear(folder, name, parts)
        return super()._create(folder, name, parts)

    def _resolve(self, parts: Parts) -> NoReturn:
        raise self.refuse(parts, "is used as a directory, and is a file or a link")


def _mode(folder: int, name: bytes) -> int | None:
    """Give the mode of a directory's entry; None where there is none."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
