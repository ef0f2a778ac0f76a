"""The libraries that the page of an audit draws with, out of the store or from npm."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from layerlock.sources import npm
from layerlock.store.local import LocalStore

LIBRARIES: Final = Path(__file__).parent.parent / "data" / "page" / "libraries.toml"


def libraries(store: LocalStore, variables: Mapping[str, str]) -> tuple[str, ...]:
    """Give the texts of the libraries, in the order in which they run.

    Raises:
        FetchError: one is not in the store, and npm is missing or cannot get it.
        HashMismatch: npm's is not the pinned one.
        StoreError: it cannot be stored.
    """
    texts = []
    for script in npm.pinned(LIBRARIES):
        path = store.add_file(script.sha256, script.name, partial(_fill, script, variables))
        texts.append(path.read_text(encoding="utf-8"))
    return tuple(texts)


def _fill(script: npm.Script, variables: Mapping[str, str], target: Path) -> None:
    npm.fetch(script, target, variables)
