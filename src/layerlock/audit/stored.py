"""Whether the store holds the very bytes that are pinned and recorded: everything a layer needs is hashed anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

from layerlock.audit.check import Check
from layerlock.audit.pins import in_lock
from layerlock.audit.subject import Subject
from layerlock.io.filehash import file_sha256
from layerlock.model.findings import Finding, Severity
from layerlock.model.lock import LockedFile

THREADS: Final = 4
"""Files hashed at once; hashing lets go of Python's lock, so cores are what bounds it."""


def _bytes(subject: Subject) -> Iterator[Finding]:
    """Hash sources, and the zip and the tree of the layer. What another layer of the audit had hashed counts."""
    lock = subject.lock
    if lock is None:
        return
    wanted: list[tuple[str, str, Path, Callable[[Path], str]]] = []
    for pin in lock.sources:
        if isinstance(pin, LockedFile):
            place = subject.store.file(pin.sha256)
            if place is not None:
                wanted.append((pin.key, pin.sha256, place, file_sha256))
        else:
            tree = subject.store.tree(pin.tree)
            if tree is not None:
                wanted.append((pin.key, pin.tree, tree, _nar))
    contents = subject.contents
    if contents is not None and lock.zip is not None:
        wanted.append((f"{subject.name}.zip", lock.zip.sha256, contents.zip, file_sha256))
        wanted.append((f"the tree of {subject.name}", lock.zip.tree, contents.tree.parent, _nar))
    with ThreadPoolExecutor(THREADS, thread_name_prefix="hash") as pool:
        hashed = [_hashing(subject, pool, place, hashing) for _, _, place, hashing in wanted]
        for (name, expected, place, _), future in zip(wanted, hashed, strict=True):
            found = future.result()
            if found != expected:
                yield STORED_BYTES.found(
                    name,
                    f"{name} has the hash {found} in the store; pinned is {expected}",
                    hint=f"remove {place}; it is fetched or built again when it is needed",
                )


def _hashing(
    subject: Subject, pool: ThreadPoolExecutor, place: Path, hashing: Callable[[Path], str]
) -> Future[str]:
    return subject.memo.once(("hash", place), lambda: pool.submit(hashing, place))


def _outputs(subject: Subject) -> Iterator[Finding]:
    if subject.lock is None or subject.plan is None:
        return
    for index, locked in enumerate(subject.lock.derivations):
        planned = subject.plan.planned.get(locked.name)
        made = subject.store.planned(planned) if planned is not None else None
        if made is None or planned != locked.planned or locked.output in (None, made.output):
            continue
        yield OUTPUT_DIFFERS.found(
            locked.name,
            f"{locked.name} came out as {made.output} here; the lock records {locked.output}",
            hint="something that shapes it is not pinned; layerlock diff tells what differs between two outputs",
            location=in_lock(subject, f"derivations[{index}].output"),
        )


def _nar(path: Path) -> str:
    from layerlock.io.nar import nar_sha256  # noqa: PLC0415 - only where something is hashed

    return nar_sha256(path)


STORED_BYTES = Check(
    name="stored-bytes",
    area="pins",
    needs="store",
    severity=Severity.ERROR,
    explanation="Every source, the layer's tree and its zip are hashed in the store and held against the lock. A disk "
    "that decays, or a hand in the store, changes bytes that nothing else would look at again.",
    run=_bytes,
)
OUTPUT_DIFFERS = Check(
    name="output-differs",
    area="pins",
    needs="store",
    severity=Severity.ERROR,
    explanation="What was built here came out as the lock records it, for every derivation. If not, something "
    "shapes it that is not pinned.",
    run=_outputs,
)

CHECKS = (STORED_BYTES, OUTPUT_DIFFERS)
