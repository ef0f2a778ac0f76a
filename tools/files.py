"""Files and folders, as the programs here need them."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path


def digest(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(folder: Path) -> None:
    """Remove a folder that holds a store, whose folders are read-only."""
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    shutil.rmtree(folder)
