"""Writes the layer zip: one tree, one level, one sequence of bytes.

Task: {"name": "layer-cv.zip", "tree": "/deps/tree", "compressor": "libdeflate", "level": 9..12, "jobs": n}.

The writer is our own since `zipfile` decides too much: it sets the version fields and flags by what it
happens to need, compresses with whatever zlib the interpreter was linked to, and changed some of this
between Python versions. Source of the format: PKWARE's APPNOTE.TXT, 4.3.7 (local header), 4.3.12 (central
directory), 4.3.16 (end record).

What decides the bytes, all stated here:
- files and links in the order of their names' bytes; a directory has an entry only if nothing is below it;
- 1980-01-01 00:00:00, no extra fields, no comments, no data descriptors; sizes and CRC stand in the local
  header;
- made by "Unix, version 2.0"; needed to extract: 2.0; modes 0100644, 0100755, 0120777, 040755;
- bit 11 (UTF-8) only for names that are not ASCII;
- DEFLATE by libdeflate at the given level, or stored where that is not smaller; links and empty files are
  stored.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import multiprocessing
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from task import Report, Task, Violation, jobs, run
from tree import Entry, scan

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION = 20
_MADE_BY_UNIX = 3 << 8 | _VERSION
_UTF8 = 1 << 11
_TIME, _DATE = 0, 1 << 5 | 1  # 00:00:00 on 1980-01-01, the first moment that a zip can state
_MAX_ENTRIES, _MAX_BYTES = 0xFFFF - 1, 0xFFFFFFFF - 1
_LEVELS = range(1, 13)


@dataclass(frozen=True)
class Member:
    """One entry, compressed: `method` is 0 (stored) or 8 (DEFLATE), `mode` the Unix mode, `size` before
    packing.
    """

    name: bytes
    mode: int
    method: int
    crc: int
    size: int
    body: bytes


def pack(task: Task) -> Report:
    """Write OUT/NAME and report its sha256 (hex) and sizes in bytes. Raises Violation of kind "check" or
    "usage".
    """
    tree, name, level = Path(task["tree"]), task["name"], int(task["level"])
    if task.get("compressor", "libdeflate") != "libdeflate":
        raise Violation(
            "usage", f"the compressor {task['compressor']!r} is not known", hint='use "libdeflate"'
        )
    if level not in _LEVELS:
        raise Violation(
            "usage", f"libdeflate has no level {level}", hint="levels are 1 to 12; 9 is a good one"
        )
    entries = members_of(tree)
    path = Path(task.get("out", "/out")) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    written = write(path, compress(tree, entries, level, jobs(task)))
    verify(path, written)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "name": name,
        "sha256": digest,
        "size": path.stat().st_size,
        "entries": written,
        "unzipped": sum(entry.size for entry in entries),
    }


def members_of(tree: Path) -> list[Entry]:
    """What gets an entry: files, links, and directories with nothing in them. Raises Violation for anything
    else.
    """
    found = scan(tree)
    for entry in found:
        if entry.kind == "other":
            raise Violation("check", f"{entry.name} is neither file, directory nor link", file=entry.name)
    parents = {entry.name.rpartition("/")[0] for entry in found}
    chosen = [entry for entry in found if entry.kind != "directory" or entry.name not in parents]
    if not any(entry.kind == "file" for entry in chosen):
        raise Violation("check", "the layer holds no file", hint="look at its packages and prune rules")
    return chosen


def compress(tree: Path, entries: list[Entry], level: int, workers: int) -> Iterator[Member]:
    """Compress every entry, in order, in as many processes as told: libdeflate's binding holds Python's
    lock.
    """
    arguments = [(str(tree), entry, level) for entry in entries]
    if workers == 1 or len(entries) < 2:
        yield from map(_compress_one, arguments)
        return
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=fork) as pool:
        yield from pool.map(_compress_one, arguments, chunksize=8)


def write(path: Path, members: Iterable[Member]) -> int:
    """Write the archive; the number of its entries. Raises Violation past what a zip without extensions can
    say.
    """
    central, count, offset = bytearray(), 0, 0
    with path.open("wb") as out:
        for member in members:
            flags = 0 if member.name.isascii() else _UTF8
            common = (
                *(_VERSION, flags, member.method, _TIME, _DATE),
                *(member.crc, len(member.body), member.size, len(member.name), 0),
            )
            local = _LOCAL.pack(b"PK\3\4", *common) + member.name
            directory_bit = 0x10 if member.name.endswith(b"/") else 0
            attributes = member.mode << 16 | directory_bit
            central += (
                _CENTRAL.pack(b"PK\1\2", _MADE_BY_UNIX, *common, 0, 0, 0, attributes, offset) + member.name
            )
            out.write(local)
            out.write(member.body)
            offset += len(local) + len(member.body)
            count += 1
            if count > _MAX_ENTRIES or offset + len(central) > _MAX_BYTES:
                raise Violation(
                    "budget", "the layer does not fit into a zip archive without 64-bit extensions"
                )
        out.write(central)
        out.write(_END.pack(b"PK\5\6", 0, 0, count, count, len(central), offset, 0))
    return count


def verify(path: Path, entries: int) -> None:
    """Read the archive back by another implementation. A failure is a defect of the writer, not of the
    layer.
    """
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
        if broken is not None or len(archive.infolist()) != entries:
            raise RuntimeError(f"the archive written cannot be read back: {broken}")


def _compress_one(arguments: tuple[str, Entry, int]) -> Member:
    import deflate  # from the task's python_path, which is set after this module is read

    root, entry, level = arguments
    name = os.fsencode(entry.name)
    if entry.kind == "directory":
        return Member(name + b"/", 0o040755, 0, 0, 0, b"")
    if entry.kind == "link":
        target = os.fsencode(entry.target)
        return Member(name, 0o120777, 0, zlib.crc32(target), len(target), target)
    content = Path(root, entry.name).read_bytes()
    mode = 0o100755 if entry.executable else 0o100644
    packed = bytes(deflate.deflate_compress(content, level)) if content else b""
    if len(packed) < len(content):
        return Member(name, mode, 8, zlib.crc32(content), len(content), packed)
    return Member(name, mode, 0, zlib.crc32(content), len(content), content)


if __name__ == "__main__":
    sys.exit(run(pack, sys.argv))
