"""What a worker does with an order, whoever hands it over: bring what it needs, build, sign, share.

Everything that leaves a worker goes through the cache, where it is looked up by content; what is told to others is
the signed entry alone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Event as Flag
from typing import TYPE_CHECKING, Final

from layerlock.build.noting import Noting
from layerlock.build.one import Order, build, realise, reuse
from layerlock.build.workshop import FETCHES, Workshop
from layerlock.cache.bring import BAD, bring_tree, said, tree_pieces
from layerlock.cache.entry import (
    LARGEST_CLOSURE,
    Entry,
    closure_key,
    decode_closure,
    encode_closure,
    entry_of,
    file_key,
    merged,
)
from layerlock.cache.frames import FRAME, compress
from layerlock.cache.keys import Trust, signed, spelled
from layerlock.cache.place import Packed, PackedFile, Place, Unreachable
from layerlock.cache.push import Blob, source_blobs
from layerlock.cluster.orders import BuildOrder, Facts, Fetched, FetchOrder, GuestOrder, Made
from layerlock.errors import BadCache, DiskFull, LayerlockError, SandboxUnavailable, StoreError
from layerlock.events import FetchFinished, FetchStarted, Listener, Sent
from layerlock.io.atomic import storing
from layerlock.io.nar import nar_chunks
from layerlock.io.times import read_note
from layerlock.io.together import together
from layerlock.model.derivation import Realisation
from layerlock.model.lock import LockedFile, LockedPath, LockedSource
from layerlock.store.keep import Keep

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Fetch = Callable[[LockedSource, tuple[str, ...], Listener], Path]
"""Brings a pinned source into the worker's store; also told which moments of Debian's archive may be asked."""

LOG_TAIL: Final = 1 << 20
"""Bytes of a build's log that go with its result: its end."""
_LARGEST_FOLDER: Final = 1 << 30


class Unfit(Exception):
    """This worker cannot do it, and another one may; `why` is the error that shows it."""

    def __init__(self, why: LayerlockError) -> None:
        super().__init__(why.message)
        self.why = why


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """A worker's own things. `workshop` is what it builds with, but for what each order brings along.

    `place` is the cache that results go to, `key` what they are signed with (where there is one), `room` the bytes
    that its store must have free. `called` names the worker for people; `mark` is what it has put into the cache.
    """

    workshop: Workshop
    place: Place
    fetch: Fetch
    key: Ed25519PrivateKey | None
    room: int
    called: str
    mark: bytes

    def facts(self, versions: str) -> Facts:
        """Say what others are to know of this worker."""
        return Facts(
            versions=versions,
            key=spelled(self.key.public_key()) if self.key is not None else "",
            cache=self.place.address,
            mark=hashlib.sha256(self.mark).hexdigest(),
        )

    def check(self) -> None:
        """See that builds can run here and that results can be shared.

        Raises:
            SandboxUnavailable: no sandbox works here.
            StoreError: the store cannot be written; DiskFull where it has too little room.
            Unreachable: the cache cannot be written, or not read back.
        """
        store = self.workshop.store
        with storing(f"write to {store.root}"), store.scratch("trial") as folder:
            (folder / "trial").write_bytes(b"\xff" * 4096)
        status = os.statvfs(store.root)
        free = status.f_bavail * status.f_frsize
        if free < self.room:
            raise DiskFull(
                f"{store.root} has {free >> 20} MiB free, and a worker is to have {self.room >> 20} MiB",
                hint="make room (layerlock gc), name another store, or ask for less with --room",
            )
        self.workshop.sandbox.prepare()
        key = file_key(hashlib.sha256(self.mark).hexdigest())
        self.place.write(key, compress(iter((self.mark,))))
        if key not in self.place.present([key]):
            raise Unreachable(f"the cache {self.place.address} does not have what was just written to it")

    def gather(self, order: FetchOrder, emit: Listener) -> Fetched:
        """Bring the sources of a build, and share them; nothing where the build was done before."""
        store = self.workshop.store
        with _blamed(), store.pin(Keep()):
            if store.planned(order.planned) is not None or self._known(order.planned, order.keys):
                return Fetched(size=0)
            self._bring_sources(order, emit)
            blobs = source_blobs(order.pins, store.file, store.tree, lambda _, path: str(path))
            self._share(blobs, emit)
        return Fetched(size=sum(pin.size for pin in order.pins if isinstance(pin, LockedFile)))

    def make(
        self,
        order: BuildOrder,
        entries: Mapping[str, Entry],
        guest: GuestOrder | None,
        emit: Listener,
        cancel: Flag,
        worker: str,
    ) -> Made:
        """Build a derivation from inputs with these entries, or find it; its tree and its entry are in the cache then.

        Raises:
            Unfit: the fault is this worker's, and another one may do it.
            LayerlockError: the build failed.
        """
        store = self.workshop.store
        wanted = Order(
            derivation=order.derivation,
            planned=order.planned,
            inputs={name: entry.realisation for name, entry in entries.items()},
        )
        references = {name: entry.output for name, entry in entries.items()}
        with _blamed(), store.pin(Keep()):
            if not order.anew:
                for entry in self._known(order.planned, order.sources.keys):
                    if entry.resolved == wanted.resolved and self.place.present([entry.blob]):
                        return Made(entry=entry, worker=worker, called=self.called)
            noting = Noting(emit, store, self.workshop.jobs)
            workshop = replace(self.workshop, emit=noting, cancel=cancel)
            made = None if order.anew else reuse(wanted, workshop)
            log = b""
            if made is None:
                made = self._build(order, wanted, entries, guest, workshop)
                log = _tail(store.log_path(order.planned))
            entry = entry_of(made, references)
            if self.key is not None:
                entry = signed(entry, (self.key,))
            path = store.held_tree(entry.output)
            pieces = partial(tree_pieces, path, entry.output, str(path))
            self._share([Blob(key=entry.blob, name=entry.name, size=entry.size, pieces=pieces)], emit)
            self._publish(entry, entries.values())
        took = read_note(store.log_path(order.planned))
        return Made(entry=entry, worker=worker, called=self.called, log=log, took=took)

    def _build(
        self,
        order: BuildOrder,
        wanted: Order,
        entries: Mapping[str, Entry],
        guest: GuestOrder | None,
        workshop: Workshop,
    ) -> Realisation:
        together([partial(self._bring, entry, workshop.emit) for entry in entries.values()], most=FETCHES)
        sources = self._bring_sources(order.sources, workshop.emit)
        with workshop.store.scratch("order") as folder:
            repository, code = folder / "repository", folder / "guest"
            code.mkdir()
            for name, data in guest.files.items() if guest is not None else ():
                (code / PurePosixPath(name).name).write_bytes(data)
            for path, data in order.files.items():
                place = repository / path
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(data)
            workshop = replace(workshop, repository=repository, guest=code)
            return (build if order.anew else realise)(wanted, workshop, sources)

    def _bring_sources(self, order: FetchOrder, emit: Listener) -> dict[str, Path]:
        def one(pin: LockedSource) -> Path:
            if isinstance(pin, LockedPath):
                return self._unpack(pin, order.folders[pin.tree])
            return self.fetch(pin, order.snapshots, emit)

        paths = together([partial(one, pin) for pin in order.pins], most=FETCHES)
        return {pin.key: path for pin, path in zip(order.pins, paths, strict=True)}

    def _unpack(self, pin: LockedPath, packed: bytes) -> Path:
        store = self.workshop.store
        store.hold(Keep(trees=frozenset({pin.tree})))
        if store.tree(pin.tree) is None:
            bring_tree(_Handed(packed), pin.tree, _LARGEST_FOLDER, pin.path.rpartition("/")[2], store)
        return store.held_tree(pin.tree)

    def _bring(self, entry: Entry, emit: Listener) -> None:
        """Bring the output of an input. It is held against its hash; whether its entry counts, others judge."""
        store = self.workshop.store
        store.hold(Keep(trees=frozenset({entry.output})))
        with store.alone(entry.resolved, lambda: None):
            if store.tree(entry.output) is not None:
                return
            emit(FetchStarted(name=entry.name, url=self.place.address, size=entry.size))
            try:
                found = bring_tree(self.place, entry.output, entry.size, entry.name, store)
            except BAD as error:
                raise BadCache(f"{self.place.address} has a damaged {entry.name}: {said(error)}") from error
            if found is None:
                # Whoever made the entry may have lied, or the cache has lost it: nothing that this worker can help.
                raise BadCache(
                    f"the cache {self.place.address} does not have the output of {entry.name} ({entry.output})"
                )
            emit(FetchFinished(name=entry.name, size=entry.size, seconds=0.0))

    def _known(self, planned: str, keys: frozenset[str]) -> tuple[Entry, ...]:
        """Give what the cache has of a derivation that the submitter trusts, or that was made here."""
        own = {spelled(self.key.public_key())} if self.key is not None else set()
        trust = Trust(keys=keys | own)
        entries = self._closure(planned)
        return tuple(one for one in entries if one.planned == planned and not trust.doubt(one))

    def _closure(self, planned: str) -> tuple[Entry, ...]:
        try:
            data = self.place.read(closure_key(planned), LARGEST_CLOSURE)
            return () if data is None else decode_closure(data)
        except BAD:
            return ()  # whoever writes it next replaces it

    def _publish(self, entry: Entry, inputs: Iterable[Entry]) -> None:
        """Write the entry with those of all that it needs, as `layerlock cache push` does."""
        below = [each for one in inputs for each in (one, *self._closure(one.planned))]
        before = self._closure(entry.planned)
        after = merged(before, merged(below, (entry,)))
        if encode_closure(after) != encode_closure(before):
            self.place.write(closure_key(entry.planned), iter((encode_closure(after),)))

    def _share(self, blobs: Iterable[Blob], emit: Listener) -> None:
        wanted = {blob.key: blob for blob in blobs}
        there = self.place.present(wanted) if wanted else frozenset()

        def send(blob: Blob) -> None:
            packed = self.place.write(blob.key, compress(blob.pieces()))
            emit(Sent(name=blob.name, to=self.place.address, size=blob.size, packed=packed, seconds=0.0))

        together([partial(send, blob) for key, blob in wanted.items() if key not in there], most=FETCHES)


class _Handed:
    """A place that has one object, which was handed over with the order."""

    address = "the submitter"
    remote = False

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, key: str, limit: int) -> bytes | None:
        del key, limit
        return None

    def open(self, key: str, folder: Path, limit: int) -> Packed | None:
        del key, limit
        dest = folder / "packed"
        dest.write_bytes(self._data)
        return PackedFile(dest)

    def write(self, key: str, pieces: Iterator[bytes]) -> int:
        raise NotImplementedError

    def present(self, keys: Iterable[str]) -> frozenset[str]:
        return frozenset(keys)

    def listing(self) -> Iterator[str]:
        return iter(())


def new_mark(called: str) -> bytes:
    """Make what a worker puts into the cache, by which others see that theirs is the same one."""
    return f"a worker of layerlock: {called} {secrets.token_hex(16)}\n".encode()


def pack_folder(tree: Path) -> bytes:
    """Pack a tree to be handed over with an order."""
    return b"".join(compress(nar_chunks(tree, FRAME)))


@contextmanager
def _blamed() -> Iterator[None]:
    """Tell what is a worker's own fault from what is the build's."""
    try:
        yield
    except (Unreachable, SandboxUnavailable, StoreError) as error:
        raise Unfit(error) from error


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - LOG_TAIL))
            return zlib.compress(log.read())
    except OSError:
        return b""
