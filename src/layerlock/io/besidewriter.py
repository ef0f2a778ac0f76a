"""Writes one of several untrusted trees into a root that the others are written into at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from layerlock.io.treewriter import Caps, Parts, TreeWriter

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


class BesideWriter(TreeWriter):
    """A writer into a root that refuses whatever its order among the others would decide.

    So what it writes is what it would have written before, between or after them: a file is there once, folders are
    made by whoever comes first, no path passes through a link, and a hard link is to a file of the same archive. Only
    a link may come again, with the same target. `finish` is for whoever knows that all have ended.
    """

    def __init__(self, root: Path, *, archive: str, caps: Caps, mtime: int) -> None:
        super().__init__(root, archive=archive, caps=caps, mtime=mtime, rooted=True, unique=True)
        self._own: set[Parts] = set()

    @property
    def folders(self) -> frozenset[Parts]:
        """The folders that were made or passed through."""
        return frozenset(self._directories)

    def file(self, parts: Parts, *, executable: bool, data: Iterable[bytes]) -> None:
        """Write a regular file, where there is nothing."""
        super().file(parts, executable=executable, data=data)
        self._own.add(parts)

    def hardlink(self, parts: Parts, target: Parts) -> None:
        """Copy a file of the same archive: another's may be half written, or stand behind in order."""
        if target not in self._own:
            raise self.refuse(parts, "is a hard link to something else than a file of the same archive")
        super().hardlink(parts, target)

    def _resolve(self, parts: Parts) -> NoReturn:
        raise self.refuse(parts, "is used as a directory, and is a file or a link")
