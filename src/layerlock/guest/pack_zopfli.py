"""Writes the layer zip as pack.py does, compressed by zopfli: smaller, and slower by two orders of magnitude.

Task: {"name": "layer-cv.zip", "tree": "/deps/tree", "compressor": "zopfli", "level": iterations, "jobs": n}.

The format is all pack.py's; only the DEFLATE streams are another program's. zopfli weighs its choices by the C
library's logarithm, which has other last bits where the processor multiplies and adds at once: the derivation
turns that variant off (GLIBC_TUNABLES), so that the processor decides nothing.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import multiprocessing
import os
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from pack import Member, members_of, verify, write
from task import Report, Task, Violation, jobs, run
from tree import Entry

_ITERATIONS = range(1, 1001)
_HEADER, _TRAILER = 2, 4  # of zlib's container (RFC 1950), which the binding puts around the DEFLATE stream


def pack(task: Task) -> Report:
    """Write OUT/NAME and report its sha256 (hex) and sizes in bytes. Raises Violation of kind "check" or
    "usage".
    """
    tree, name, iterations = Path(task["tree"]), task["name"], int(task["level"])
    if iterations not in _ITERATIONS:
        raise Violation(
            "usage", f"zopfli cannot do {iterations} iterations", hint="1 to 1000 are possible, 15 usual"
        )
    try:
        import zopfli.zlib  # noqa: F401 - from the task's python_path; its lack is told once, not by each process
    except ImportError:
        raise Violation(
            "usage", "zopfli is not among the layer's tools", hint='add the package: tools = [..., "zopfli"]'
        ) from None
    entries = members_of(tree)
    path = Path(task.get("out", "/out")) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    written = write(path, compress(tree, entries, iterations, jobs(task)))
    verify(path, written)
    return {
        "name": name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "size": path.stat().st_size,
        "entries": written,
        "unzipped": sum(entry.size for entry in entries),
    }


def compress(tree: Path, entries: list[Entry], iterations: int, workers: int) -> Iterator[Member]:
    """Compress every entry, in order, a file a process. The largest begin: one alone can take as long as all
    others.
    """
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=fork) as pool:
        waiting = {
            entry.name: pool.submit(_compress_one, tree, entry, iterations)
            for entry in sorted(entries, key=lambda entry: (-entry.size, entry.name))
        }
        for entry in entries:
            yield waiting.pop(entry.name).result()


def _compress_one(tree: Path, entry: Entry, iterations: int) -> Member:
    from zopfli.zlib import compress as compress_zlib

    name = os.fsencode(entry.name)
    if entry.kind == "directory":
        return Member(name + b"/", 0o040755, 0, 0, 0, b"")
    if entry.kind == "link":
        target = os.fsencode(entry.target)
        return Member(name, 0o120777, 0, zlib.crc32(target), len(target), target)
    content = (tree / entry.name).read_bytes()
    mode = 0o100755 if entry.executable else 0o100644
    packed = compress_zlib(content, numiterations=iterations)[_HEADER:-_TRAILER] if content else b""
    method, body = (8, packed) if len(packed) < len(content) else (0, content)
    return Member(name, mode, method, zlib.crc32(content), len(content), body)


if __name__ == "__main__":
    sys.exit(run(pack, sys.argv))
