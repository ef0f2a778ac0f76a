"""Temporary directories whose lock tells a collector in another process whether they are in use."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import nullcontext, suppress
from pathlib import Path
from threading import Thread, current_thread
from typing import TYPE_CHECKING

from layerlock.errors import StoreError
from layerlock.io.atomic import hold, remove_tree, storing

if TYPE_CHECKING:
    from types import TracebackType

    from layerlock.store.layout import Layout


class Held:
    """A lock file of one's own, held until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Nobody else knows the name yet, but a collector that looks just now may hold it for a moment.
        self._descriptor = hold(path)

    def release(self) -> None:
        """Let go and remove the lock file."""
        self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


class Scratch:
    """A context manager that yields a fresh directory and removes it at the end, unless `keep` was called.

    Where nothing went wrong and there is a list of `removals`, a thread that is put there removes it.
    """

    def __init__(self, layout: Layout, name: str, removals: list[Thread] | None = None) -> None:
        self._folder = layout.tmp
        self._name = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        self._removals = removals
        self._held: Held | None = None
        self._path: Path | None = None
        self._kept = False

    def keep(self) -> None:
        """Leave the directory for a person to look at; the next collection removes it."""
        self._kept = True

    def __enter__(self) -> Path:
        with storing("make a temporary directory"):
            path = self._folder / f"{self._name}-{secrets.token_hex(6)}"
            self._held = Held(lock_of(path))
            path.mkdir(mode=0o700)
        self._path = path
        return path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None or self._removals is None:
            self._leave(quietly=error is not None)
        else:
            removal = Thread(target=self._leave_aside, args=(self._removals,), name="remove")
            self._removals.append(removal)
            removal.start()

    def _leave_aside(self, removals: list[Thread]) -> None:
        self._leave(quietly=True)
        removals.remove(current_thread())

    def _leave(self, *, quietly: bool) -> None:
        """Remove the directory and let go of it; `quietly` where nobody is there to be told of an error."""
        try:
            if not self._kept and self._path is not None:
                # An error on its way says more than one of cleaning up; what stays is swept by the collector.
                with (
                    suppress(StoreError) if quietly else nullcontext(),
                    storing("remove a temporary directory"),
                ):
                    remove_tree(self._path)
        finally:
            if self._held is not None:
                self._held.release()


def lock_of(path: Path) -> Path:
    """The lock file that stands beside a temporary directory."""
    return path.with_name(f".{path.name}.lock")
