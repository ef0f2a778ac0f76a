"""Folders that cannot be a store: each refused with a reason and a way out, by a command that did nothing yet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from layerlock.errors import StoreError
from layerlock.store.keep import Keep
from layerlock.store.local import LocalStore

as_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting takes root and unshare"
)
PIN = """
import sys
from pathlib import Path
from layerlock.errors import StoreError
from layerlock.store.keep import Keep
from layerlock.store.local import LocalStore
try:
    with LocalStore(Path(sys.argv[1])).pin(Keep()):
        print("usable")
except StoreError as error:
    print(error.exit_code, error.message, "/", error.hint)
"""


def pinned(store: Path, *before: str) -> str:
    """Pin something in a store, in a program started by `before`; give what it says."""
    done = subprocess.run(
        [*before, sys.executable, "-c", PIN, str(store)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def mounted(script: str, *arguments: Path) -> tuple[str, ...]:
    """Give how to start a program with a mount of its own; skip where that is not allowed here."""
    before = ("unshare", "-m", "sh", "-c", f'{script} && shift {len(arguments)} && exec "$@"', "sh")
    tried = subprocess.run(
        [*before, *map(str, arguments), "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"this cannot be mounted here: {tried.stderr.strip()}")
    return (*before, *map(str, arguments))


def test_names_that_differ_in_case_must_be_two(tmp_path: Path) -> None:
    """A link stands for the second name, which a file system that ignores case would find by itself."""
    root = tmp_path / "store"
    (root / "files").mkdir(parents=True)
    (root / "FILES").symlink_to("files")
    with (
        pytest.raises(StoreError, match="does not tell upper from lower case") as caught,
        LocalStore(root).pin(Keep()),
    ):
        pass
    assert "LAYERLOCK_STORE" in caught.value.hint
    (root / "FILES").unlink()
    (root / "FILES").mkdir()  # another folder by that name is nobody's business
    with LocalStore(root).pin(Keep()):
        pass


@as_root
def test_a_file_system_that_ignores_case(tmp_path: Path) -> None:
    """The same with the real thing, where the kernel has it."""
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    made = subprocess.run(
        ["mkfs.ext4", "-q", "-O", "casefold", "-E", "encoding=utf8", str(image)],
        check=False,
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("mkfs.ext4 makes no file system that ignores case")
    before = mounted('mount -o loop "$1" "$2" && mkdir -p "$2/s" && chattr +F "$2/s"', image, disk)
    said = pinned(disk / "s", *before)
    assert said.startswith("17 ")
    assert "does not tell upper from lower case" in said


@as_root
def test_a_store_that_is_read_only(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with LocalStore(store).pin(Keep()):
        pass
    read_only = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
    for place in (store, store / "new"):  # one that is there, and one that is to be made
        said = pinned(place, *mounted(read_only, store))
        assert said.startswith("17 could not ")
        assert "Read-only file system" in said
        assert "has to be writable" in said


def test_a_store_of_somebody_else(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    before: tuple[str, ...] = ()
    if os.geteuid() == 0:
        # Root without the capability to pass over permissions, in a folder that is not its own.
        os.chown(store, 61234, 61234)
        if shutil.which("setpriv") is None:
            pytest.skip("root passes over permissions, and there is no setpriv to take that away")
        before = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    store.chmod(0o555)
    said = pinned(store, *before)
    assert said.startswith("17 could not ")
    assert "Permission denied" in said
    assert "has to belong to whoever uses it" in said


@as_root
def test_a_disk_without_room(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    full = 'mount -t tmpfs -o size=32k tmpfs "$1" && head -c 32k /dev/zero > "$1/filler"'
    said = pinned(store, *mounted(full, store))
    assert said.startswith("23 could not ")
    assert "layerlock gc" in said


def test_a_file_in_place_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(StoreError, match=r"could not make the store .*Not a directory|File exists"):
        LocalStore(tmp_path / "store").scratch("x")
