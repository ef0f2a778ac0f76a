"""Files that are whole or absent, locks, and removal of trees."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlock.errors import DiskFull, StoreError
from layerlock.io.atomic import (
    exclusive,
    fsync_tree,
    hold,
    remove_tree,
    shared,
    storing,
    try_exclusive,
    write_bytes,
    write_pieces,
)

AS_NOBODY = "if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
"""Root may do what modes forbid, so that these tests would prove nothing as root."""


def test_a_write_replaces_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"one")
    write_bytes(path, b"two", mode=0o600)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_write_that_fails_leaves_the_old_contents_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    program = (
        "import resource, sys; from pathlib import Path; from layerlock.io.atomic import write_bytes\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_bytes(Path(sys.argv[1]), bytes(5000))\n"
        "except OSError as error: sys.exit(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "file")], check=False)
    assert done.returncode == errno.EFBIG
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_pieces_that_fail_leave_the_old_contents_and_nothing_else(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"new"
        raise ValueError("no more")

    path = tmp_path / "file"
    assert write_pieces(path, (b"o", b"", b"ld")) == 3
    with pytest.raises(ValueError, match="no more"):
        write_pieces(path, broken())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("umask", [0o002, 0o022, 0o077])
def test_only_a_write_without_a_mode_heeds_the_umask(umask: int, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from layerlock.io.atomic import write_bytes, write_pieces\n"
        "folder = Path(sys.argv[1]); write_bytes(folder / 'fixed', b''); write_pieces(folder / 'free', [b''])\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, umask=umask)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert modes == {"fixed": 0o644, "free": 0o666 & ~umask}


def test_a_full_disk_has_an_error_of_its_own() -> None:
    with (
        pytest.raises(DiskFull, match=r"could not write it: No space left on device \(/x\)"),
        storing("write it"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/x")
    with pytest.raises(StoreError) as caught, storing("write it"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    assert not isinstance(caught.value, DiskFull)


@pytest.mark.parametrize("files", [3, 100])
def test_syncing_passes_over_links_and_closed_files(tmp_path: Path, files: int) -> None:
    for number in range(files):
        (tmp_path / f"{number}").write_bytes(b"x")
        (tmp_path / f"{number}").chmod(0o444)
    (tmp_path / "dangling").symlink_to("/nowhere")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever
    fsync_tree(tmp_path)


def test_a_lock_is_free_once_its_process_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    program = (
        "import sys, time; from pathlib import Path; from layerlock.io.atomic import hold\n"
        "hold(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert try_exclusive(lock) is None
        holder.kill()
    with exclusive(lock):
        assert try_exclusive(lock) is None
    descriptor = try_exclusive(lock)
    assert descriptor is not None
    os.close(descriptor)


def test_a_lock_excludes_threads_and_survives_the_removal_of_its_file(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    descriptor = hold(lock)
    order: list[str] = []

    def wait() -> None:
        with exclusive(lock):
            order.append("second")

    thread = threading.Thread(target=wait)
    thread.start()
    thread.join(0.2)
    assert thread.is_alive()
    lock.unlink()
    order.append("first")
    os.close(descriptor)
    thread.join(10)
    assert order == ["first", "second"]
    assert lock.exists()  # the waiting thread saw that its file had no name, and locked a new one


def test_shared_holders_exclude_only_exclusive_ones(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with shared(lock), shared(lock):
        assert try_exclusive(lock) is None


def test_removing_takes_closed_directories_and_leaves_what_links_point_to() -> None:
    program = (
        "import os, sys; from pathlib import Path; from layerlock.io.atomic import remove_tree\n"
        f"{AS_NOBODY}"
        "tree = Path(sys.argv[1]) / 'tree'; (tree / 'closed' / 'inner').mkdir(parents=True)\n"
        "(tree / 'closed' / 'inner' / 'file').write_bytes(b''); (tree / 'link').symlink_to('../outside')\n"
        "(tree / 'closed' / 'link').symlink_to(Path(sys.argv[1]) / 'outside')\n"
        "for p in ('closed/inner', 'closed', ''): (tree / p).chmod(0o555 if p else 0o000)\n"
        "remove_tree(tree); assert not tree.exists()\n"
    )
    # Not below tmp_path: what is above that is closed to everybody but the user who runs the tests.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        (folder / "outside").mkdir()
        (folder / "outside" / "kept").write_bytes(b"")
        done = subprocess.run(
            [sys.executable, "-c", program, name], check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert (folder / "outside" / "kept").exists()


def test_removing_what_is_absent_or_no_directory(tmp_path: Path) -> None:
    remove_tree(tmp_path / "absent")
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    remove_tree(tmp_path / "link")
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]


def test_removing_directories_nested_past_every_limit(tmp_path: Path) -> None:
    top = tmp_path / "tree"
    top.mkdir()
    here = os.open(top, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(3000):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    remove_tree(top)
    assert not top.exists()
