"""Which addresses gave the pinned bytes today: an audit that was interrupted goes on where it stopped."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from threading import Lock
from typing import Final

from layerlock.io.atomic import storing
from layerlock.model.digest import digest

_MOST: Final = 16 << 20
"""Bytes of a journal; a larger one is begun anew."""


class Journal:
    """A file with one line for each address that answered well; only those of the same day count.

    Failures are not kept: what failed is asked again. A line that was cut off by a kill is passed over. Safe for
    several threads.
    """

    def __init__(self, path: Path, today: datetime.date, *, forget: bool = False) -> None:
        """Open the journal in `path`, which need not exist; with `forget` nothing in it counts."""
        self._path = path
        self._today = today.isoformat()
        self._lock = Lock()
        self._known = frozenset() if forget else self._read()

    def holds(self, url: str, content: str, *, deep: bool) -> bool:
        """Say whether an address gave this content today, looked at this closely or closer."""
        return any(_key(url, content, deep=each) in self._known for each in {deep, True})

    def add(self, url: str, content: str, *, deep: bool) -> None:
        """Remember that an address gave this content."""
        line = json.dumps({"day": self._today, "is": _key(url, content, deep=deep)})
        with self._lock, storing(f"write {self._path}"):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            stale = self._path.is_file() and self._path.stat().st_size > _MOST
            with self._path.open("w" if stale else "a", encoding="utf-8") as file:
                file.write(line + "\n")

    def _read(self) -> frozenset[str]:
        try:
            lines = self._path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return frozenset()
        found = set()
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and row.get("day") == self._today:
                found.add(str(row.get("is")))
        return frozenset(found)


def _key(url: str, content: str, *, deep: bool) -> str:
    """Give the key of an answer; the address itself may hold somebody's password."""
    return digest([url, content, deep])
