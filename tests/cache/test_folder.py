"""A cache in a folder: what it writes is whole, and as open as its writer's umask says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlock.cache.folder import Folder
from layerlock.cache.place import Unreachable


@pytest.mark.parametrize(("umask", "file", "folder"), [(0o002, 0o664, 0o775), (0o077, 0o600, 0o700)])
def test_who_may_read_is_for_the_umask_to_say(umask: int, file: int, folder: int, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from layerlock.cache.folder import Folder\n"
        "Folder(Path(sys.argv[1])).write('files/x.zst', iter((b'o', b'ne')))\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "cache")], check=True, umask=umask)
    written = tmp_path / "cache" / "files" / "x.zst"
    assert written.read_bytes() == b"one"
    assert (written.stat().st_mode & 0o777, written.parent.stat().st_mode & 0o777) == (file, folder)


def test_an_object_that_breaks_off_is_not_there(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError("the disk of the store fails")

    place = Folder(tmp_path / "cache")
    with pytest.raises(Unreachable, match="cannot be written: the disk of the store fails"):
        place.write("trees/x.nar.zst", broken())
    assert list(place.listing()) == []
    assert list((tmp_path / "cache" / "trees").iterdir()) == []
