"""Files and folders, as the programs here need them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path


def digest(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(folder: Path) -> None:
    """Remove a folder that holds a store, whose folders are read-only."""
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    shutil.rmtree(folder)


def regular(tree: Path) -> Iterator[Path]:
    """Give every regular file of a tree."""
    return (path for path in sorted(tree.rglob("*")) if path.is_file() and not path.is_symlink())
