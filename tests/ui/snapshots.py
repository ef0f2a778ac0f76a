"""Comparing what is written for people with how it was written before."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"


def check_snapshot(name: str, text: str) -> None:
    """Compare a text with `snapshots/NAME.txt`; write that file where LAYERLOCK_UPDATE_SNAPSHOTS is set."""
    path = FOLDER / f"{name}.txt"
    if os.environ.get("LAYERLOCK_UPDATE_SNAPSHOTS"):
        path.write_text(text + "\n", encoding="utf-8")
    expected = path.read_text(encoding="utf-8") if path.is_file() else ""
    assert text + "\n" == expected, (
        f"{path.name} differs; if the new text is meant, run: "
        "LAYERLOCK_UPDATE_SNAPSHOTS=1 pytest tests/ui tests/cli"
    )
