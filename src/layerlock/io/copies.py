"""Copies of files that share their blocks with the original where the file system can (reflinks)."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Final

_MOST: Final = 1 << 30
_CANNOT: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})


def copy_file(source: Path | str, target: Path) -> None:
    """Copy the contents of a regular file into the new file `target`.

    `copy_file_range` shares blocks on Btrfs and XFS, and elsewhere copies inside the kernel. Never a hard link: who
    writes into the copy leaves the original as it is. Raises OSError.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with (
        os.fdopen(os.open(source, flags), "rb", buffering=0) as taken,
        target.open("xb", buffering=0) as made,
    ):
        try:
            while os.copy_file_range(taken.fileno(), made.fileno(), _MOST):
                pass
        except OSError as error:
            if error.errno not in _CANNOT:
                raise
        shutil.copyfileobj(taken, made)  # what is left; nothing, where the kernel could do it
