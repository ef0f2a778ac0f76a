"""What is remembered of a layer's last finished build, so that the next one with nothing to do is told at once.

A note in the store says what decided that build, and what it said. It answers only where all of this is as it was:

- every file below `recipes/`, `patches/` and `lockfiles/`, and the folders of one's own code that the layer is built
  from: names, bytes, what is executable, where links point, as hashed anew;
- the driver's own files, guest code included: size, times (also that of the inode, which nobody sets) and inode, by
  which Python, too, knows whether compiled code still fits; and the Python that runs it;
- in the store, byte for byte, the records of all the layer's derivations, the reports of assembly and packing, and
  the checkout's root; and the outputs, untouched, as far as a look-up sees that;
- the zip, hashed anew, and the statement beside it.

Anything else, and the build takes the long way, by which a note is written. This module loads nothing that decodes,
plans or builds: that is where the time goes.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import layerlock
from layerlock.io.filehash import file_sha256
from layerlock.store.layout import MTIME, Layout, checkout_root, standing_place
from layerlock.store.sealed import decode, encode
from layerlock.workflows.built import LayerBuilt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VERSION: Final = 1
FOLDERS: Final = ("recipes", "patches", "lockfiles")
_TREE: Final = stat.S_IFDIR | 0o555
_TIMES: Final = (MTIME * 10**9, MTIME * 10**9)
_SIZES: Final = ("size", "unzipped", "unzipped_limit", "direct_upload_limit")


class Unforeseen(Exception):
    """The folders hold what is not hashed here: a link to a folder, or no file at all."""


def find(store: Path, repository: Path, layer: str, out: Path) -> LayerBuilt | None:
    """Give what the last build of a layer gave, where everything that decided it, and its zip in `out`, still stand.

    What is told has no report of the assembly.
    """
    layout = Layout(store)
    try:
        note = decode(standing_place(layout, repository, layer).read_bytes())
        path = out / str(note["file"])
        if (
            note["version"] != VERSION
            or note["driver"] != _driver()
            or tuple(note["inputs"]) != inputs(repository, note["folders"])
            or note["held"] != _held(layout, note["files"])
            or not all(_untouched(layout.trees / name) for name in note["trees"])
            or path.is_symlink()
            or file_sha256(path) != note["sha256"]
            or file_sha256(path.with_suffix(".intoto.json")) != note["statement"]
        ):
            return None
        for name in note["trees"]:
            # As every look-up does: it is how the store knows what was used last.
            with suppress(OSError):
                os.utime(layout.trees / name, ns=_TIMES)
        return LayerBuilt(
            layer=layer,
            path=path,
            sha256=note["sha256"],
            confirmed=note["confirmed"],
            lock=repository / "lockfiles" / f"{layer}.lock",
            warnings=tuple(note["warnings"]),
            notes=tuple(note["notes"]),
            report={},
            **{name: note[name] for name in _SIZES},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None  # there is none, or none that can be used: the long way says what is wrong


def inputs(repository: Path, folders: Iterable[str]) -> tuple[str, ...] | None:
    """Hash folders of a recipe repository; a folder that is not there counts as empty. None where it cannot be done."""
    try:
        return tuple(_folder(str(repository / folder)) for folder in folders)
    except (OSError, Unforeseen):
        return None


def note_down(
    store: Path,
    repository: Path,
    built: LayerBuilt,
    *,
    folders: tuple[str, ...],
    decided: tuple[str, ...],
    planned: Iterable[str],
    outputs: Iterable[Path],
    reports: Iterable[Path],
) -> None:
    """Write a note of a finished build. Where that cannot be done there is none: nothing depends on it.

    `decided` is what `inputs` gave for the `folders`, `planned` are the planned hashes of the derivations, `outputs`
    the trees of their outputs, `reports` those of them that hold a report of assembly or packing.
    """
    from layerlock.io.atomic import write_bytes  # noqa: PLC0415 - finding a note writes nothing

    layout = Layout(store)
    place = standing_place(layout, repository, built.layer)
    files = [f"planned/{each}.json" for each in sorted(planned)]
    files += [str((report / "report.json").relative_to(store)) for report in reports]
    files.append(str(checkout_root(layout, repository, built.layer).relative_to(store)))
    with suppress(OSError):
        data = encode(
            {
                "version": VERSION,
                "driver": _driver(),
                "folders": [*folders],
                "inputs": [*decided],
                "files": files,
                "held": _held(layout, files),
                "trees": sorted({path.name for path in outputs}),
                "statement": file_sha256(built.path.with_suffix(".intoto.json")),
                "file": built.path.name,
                "sha256": built.sha256,
                "confirmed": built.confirmed,
                "warnings": [*built.warnings],
                "notes": [*built.notes],
                **{name: getattr(built, name) for name in _SIZES},
            }
        )
        write_bytes(place, data, by_way_of=layout.tmp)


def _untouched(tree: Path) -> bool:
    """Say whether a tree stands as the store's own look-up finds it."""
    status = tree.lstat()
    return status.st_mode == _TREE and int(status.st_mtime) == MTIME


def _held(layout: Layout, files: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for name in files:
        digest.update(hashlib.sha256((layout.root / name).read_bytes()).digest())
        digest.update(f"{name}\0".encode())
    return digest.hexdigest()


def _driver() -> str:
    """Tell the driver's own files apart from those of any other time, without reading them."""
    top = str(Path(layerlock.__file__).parent)
    seen = [f"{name}\0{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino}" for name, s in _statuses(top)]
    python = f"{sys.version}\0{sys.executable}\0{top}"
    return hashlib.sha256("\0".join((python, *sorted(seen))).encode(errors="surrogateescape")).hexdigest()


def _statuses(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _statuses(entry.path)
            else:
                yield entry.path, entry.stat()


def _folder(top: str) -> str:
    digest = hashlib.sha256()
    if os.path.lexists(top):
        _hash_folder(digest, top, "")
    return digest.hexdigest()


def _hash_folder(digest: hashlib._Hash, folder: str, shown: str) -> None:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        place = f"{shown}/{entry.name}"
        if entry.is_dir(follow_symlinks=False):
            digest.update(f"folder {place}\0".encode(errors="surrogateescape"))
            _hash_folder(digest, entry.path, place)
            continue
        link = os.readlink(entry.path) if entry.is_symlink() else ""  # noqa: PTH115 - text is faster here
        if not link or entry.is_file():
            if not entry.is_file():
                raise Unforeseen(place)
            with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123 - as above
                data = file.read()
            executable = bool(entry.stat().st_mode & stat.S_IXUSR)
        elif entry.is_dir():
            raise Unforeseen(place)
        else:
            data, executable = b"", False  # leads nowhere
        about = f"file {place}\0{link}\0{executable} {len(data)}\0"
        digest.update(about.encode(errors="surrogateescape"))
        digest.update(data)
