"""The local store: files by sha256, trees by NAR hash, and what came of each build.

Every entry is made in a temporary on the same file system, synced, and renamed into place; the folder is
synced after it. So an entry is whole or absent, whoever is killed and whenever. There is no database: the names
say what is there. Entries never change.

Garbage collection runs beside builds. It holds the collector's lock alone, everything that adds holds it shared
for a moment, and a running build keeps a pin (pin first, look up afterwards).

Every look-up that finds a file or a tree sets its one fixed time anew. That changes nothing that a build or a hash
sees, but moves the entry's ctime, which is thus the time of its last use: file systems are seldom mounted with
times of access that could be relied on.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from layerlock.errors import HashMismatch, StoreError
from layerlock.io.atomic import (
    exclusive,
    fsync_directory,
    fsync_file,
    fsync_tree,
    remove_tree,
    storing,
    write_bytes,
)
from layerlock.io.filehash import file_sha256
from layerlock.io.nar import NarDigest, nar_digest
from layerlock.model.derivation import Realisation
from layerlock.model.digest import unsri
from layerlock.store.keep import Keep
from layerlock.store.layout import MTIME, Index, Layout, entry_name, require_hex
from layerlock.store.normalise import has_attributes, normalise, seal, sealed, used
from layerlock.store.pin import Pin, Pins
from layerlock.store.records import damaged, encode_realisation, read_realisation
from layerlock.store.roots import write_root
from layerlock.store.scratch import Scratch

if TYPE_CHECKING:
    from threading import Thread

    from layerlock.events import Listener
    from layerlock.io.groupsync import GroupSync
    from layerlock.store.collect import Freed
    from layerlock.store.verify import Damage

_PAUSE: Final = 0.2
"""Seconds after a sync of the file system before the next one, where much is added."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTree:
    """A tree in the store: its NAR hash as SRI, where it stands, and the bytes of its NAR."""

    sri: str
    path: Path
    size: int


class LocalStore:
    """The store below `root`, which is made when something is first added; look-ups touch little.

    Safe for several threads and processes at once. Methods raise StoreError, and DiskFull where no room is left.
    """

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)
        self._files = Index(self.layout.files)
        self._trees = Index(self.layout.trees)
        self._pins = Pins(self.layout)
        self._removals: list[Thread] = []
        self._made = False

    @property
    def root(self) -> Path:
        """The folder that holds everything."""
        return self.layout.root

    def file(self, sha256: str) -> Path | None:
        """Return the stored file with this sha256 (hexadecimal)."""
        return used(self._files.find(require_hex(sha256)), MTIME)

    def add_file(
        self,
        sha256: str,
        filename: str,
        fill: Callable[[Path], None],
        waiting: Callable[[], None] | None = None,
        *,
        many: bool = False,
    ) -> Path:
        """Return the file with this sha256; if it is missing, `fill` writes it to the path that it is given.

        Of several that want the same file at once one fills and the others wait; they call `waiting` now and then.
        `filename` is only for people to read; a file that is there already keeps its name. `many` says that others
        come at the same time: they wait for the disk together (see `settle`). Raises HashMismatch, and whatever
        `fill` or `waiting` raise; nothing is kept then.
        """
        name = entry_name(sha256, filename)
        keep = Keep(files=frozenset({sha256}))
        with storing(f"store {filename}"):
            self._make()
            with exclusive(self.layout.lock("file", sha256), waiting):
                with self._pins.adding(keep):
                    found = self.file(sha256)
                if found is not None:
                    return found
                with self.scratch("file") as folder:
                    temporary = folder / name
                    fill(temporary)
                    actual = file_sha256(temporary)
                    if actual != sha256:
                        raise HashMismatch(f"{filename} has sha256 {actual}; pinned is {sha256}")
                    temporary.chmod(0o444)
                    os.utime(temporary, (MTIME, MTIME))
                    if many:
                        self._sync()
                    else:
                        fsync_file(temporary)
                    with self._pins.adding(keep):
                        temporary.rename(self.layout.files / name)
                        if not many:
                            fsync_directory(self.layout.files)
        return self.layout.files / name

    def tree(self, sri: str) -> Path | None:
        """Return the stored tree with this NAR hash (SRI).

        Its top folder tells that something touched it: an adder that died before closing it, or somebody's hand. Then
        it is hashed. Raises StoreError where it is no longer what it was.
        """
        path = self._trees.find(_unsri(sri))
        if path is None:
            return None
        if not sealed(path, MTIME):
            if nar_digest(path).sri != sri:
                raise damaged(path, "it is not the tree that its name says")
            with storing(f"seal {path.name}"):
                seal(path, MTIME)
        return used(path, MTIME)

    def held_tree(self, sri: str) -> Path:
        """Return the stored tree with this NAR hash, which must be there. Raises StoreError where it is not."""
        path = self.tree(sri)
        if path is None:
            raise StoreError(
                f"the tree {sri} went missing from the store", hint="build again: it is made anew"
            )
        return path

    def add_tree(
        self,
        path: Path,
        name: str,
        expected: str = "",
        *,
        unpacked: NarDigest | None = None,
        many: bool = False,
    ) -> StoredTree:
        """Move the directory `path`, which stands inside a scratch, into the store; normalised and hashed.

        Neither is done again for what `unpack_nar` has just written, normalised, with the digest `unpacked`.
        `many` says that others come at the same time: they wait for the disk together (see `settle`).
        If an equal tree is there already, `path` is dropped. Raises HostileOutput for devices, pipes and sockets, and
        HashMismatch where the tree is not the `expected` one (SRI); nothing is kept then.
        """
        from layerlock.io.together import meanwhile  # noqa: PLC0415 -- a no-op build adds nothing

        with storing(f"store the tree of {name}"):
            self._make()
            if unpacked is None or has_attributes(path):  # which whatever is made in a folder may inherit
                normalise(path, MTIME)
            # One waits for processors, the other for the disk.
            with meanwhile(self._sync if many else partial(fsync_tree, path)):
                digest = unpacked or nar_digest(path)
            if expected and digest.sri != expected:
                raise HashMismatch(f"the tree of {name} has the hash {digest.sri}; {expected} is wanted")
            hexadecimal = unsri(digest.sri)
            keep = Keep(trees=frozenset({digest.sri}))
            with exclusive(self.layout.lock("tree", hexadecimal)):
                with self._pins.adding(keep):
                    found = self.tree(digest.sri)
                if found is not None:
                    remove_tree(path)
                    return StoredTree(sri=digest.sri, path=found, size=digest.size)
                final = self.layout.trees / entry_name(hexadecimal, name)
                with self._pins.adding(keep):
                    path.chmod(0o755)  # a directory that its owner may not write cannot change its parent
                    path.rename(final)
                    seal(final, MTIME)
                    if not many:
                        fsync_directory(self.layout.trees)
        return StoredTree(sri=digest.sri, path=final, size=digest.size)

    def realisation(self, resolved: str) -> Realisation | None:
        """Return what came of the build with this resolved hash; its tree may have been collected since."""
        return read_realisation(self.layout.realisations / f"{require_hex(resolved)}.json")

    def planned(self, planned: str) -> Realisation | None:
        """Return the last build with this planned hash; its tree may have been collected since."""
        return read_realisation(self.layout.planned / f"{require_hex(planned)}.json")

    def register(self, realisation: Realisation, *, many: bool = False) -> None:
        """Remember what came of a build; of two with the same hash the later one counts. `many` is as elsewhere."""
        data = encode_realisation(realisation)
        resolved, planned = require_hex(realisation.resolved), require_hex(realisation.planned)
        keep = Keep(realisations=frozenset({resolved}), trees=frozenset({realisation.output}))
        places = (self.layout.realisations / f"{resolved}.json", self.layout.planned / f"{planned}.json")
        with storing(f"register {realisation.name}"):
            self._make()
            if not many:
                with self._pins.adding(keep):
                    for place in places:
                        write_bytes(place, data, by_way_of=self.layout.tmp)
                return
            with self.scratch("record") as folder:
                for place in places:
                    (folder / place.parent.name).write_bytes(data)
                    (folder / place.parent.name).chmod(0o644)
                self._sync()
                with self._pins.adding(keep):
                    for place in places:
                        (folder / place.parent.name).rename(place)

    def settle(self) -> None:
        """Bring to the disk that those are entries which were added as some of many.

        Until then a machine that stops may have lost entries, but never has half of one.
        """
        with storing("bring the store to the disk"):
            self._sync()

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Bring to the disk all along what is added meanwhile as some of many."""
        self._make_or_say()
        with self._sync.all_along(_PAUSE):
            yield

    @contextmanager
    def alone(self, key: str, waiting: Callable[[], None]) -> Iterator[None]:
        """Do the work that `key` (a hexadecimal sha256) names while no other driver does the same.

        The lock is the kernel's (flock): it is free again as soon as its holder is dead. `waiting` is called now and
        then while another one has it; what it raises ends the wait. Whoever waited looks first for what came of it.
        """
        with ExitStack() as stack:
            with storing("take a turn in the store"):
                self._make()
                stack.enter_context(exclusive(self.layout.lock("turn", require_hex(key)), waiting))
            yield

    def log_path(self, planned: str) -> Path:
        """Where the log of a build goes; the folder exists."""
        self._make_or_say()
        return self.layout.logs / f"{require_hex(planned)}.log"

    def scratch(self, name: str, *, aside: bool = False) -> Scratch:
        """A directory on the store's file system for the length of a `with`, which yields its path.

        With `aside` it is removed by a thread beside what follows (see `tidied`): a large one takes seconds.
        """
        self._make_or_say()
        return Scratch(self.layout, name, self._removals if aside else None)

    def tidied(self) -> None:
        """Wait until every directory is gone that was to be removed aside."""
        for removal in tuple(self._removals):
            removal.join()

    def keep_failed(self, folder: Path, name: str) -> Path:
        """Move a scratch's folder to `failed/NAME` for a person to look at, in place of the one before.

        The next collection removes it.
        """
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._+-]*", name):
            raise ValueError(f"not a name for a folder: {name!r}")
        place = self.layout.failed / name
        with storing(f"keep the folder of {name}"):
            self._make()
            with exclusive(self.layout.lock("failed", name)), self.scratch("failed") as older:
                if os.path.lexists(place):
                    place.rename(older / "older")
                folder.rename(place)
        return place

    def hold(self, keep: Keep) -> None:
        """Have what this process pins hold these entries too, there or not. To be called before they are looked up."""
        with storing("pin entries of the store"):
            self._make()
            self._pins.hold(keep)

    @contextmanager
    def pin(self, keep: Keep) -> Iterator[Pin]:
        """Keep entries, there already or not yet, from collection; also all that this store adds meanwhile."""
        self._make_or_say()
        with self._pins.pinned(keep) as pin:
            yield pin

    def add_root(self, checkout: Path, name: str, keep: Keep) -> None:
        """Keep what the lock `name` of a checkout needs, for as long as the checkout's directory exists."""
        with storing(f"register {checkout.absolute()} as a root"):
            self._make()
            write_root(self.layout, checkout, name, keep)

    def gc(
        self,
        keep: Keep,
        *,
        dry_run: bool = False,
        most: int | None = None,
        named: Mapping[str, Keep] | None = None,
    ) -> Freed:
        """Remove what neither `keep`, nor a registered checkout, nor a running build needs.

        `named` is more to keep, by what needs it. With `most`, a number of bytes, no more is removed than makes the
        store that small, and what was used longest ago goes first.
        """
        from layerlock.store.collect import collect  # noqa: PLC0415 -- a build need not load it

        with storing("collect garbage"):
            self._make()
            return collect(self.layout, {"": keep, **(named or {})}, dry_run=dry_run, most=most)

    def sweep(self) -> None:
        """Remove what drivers left in the temporary folder when they were killed."""
        from layerlock.store.collect import sweep  # noqa: PLC0415 -- only where something is built

        with storing("clear away what a killed driver left"):
            self._make()
            sweep(self.layout)

    def verify(self, emit: Listener) -> tuple[Damage, ...]:
        """Hash everything again and say what is damaged; changes nothing."""
        from layerlock.store.verify import verify  # noqa: PLC0415 -- a build need not load it

        with storing("verify the store"):
            return verify(self.layout, emit)

    @cached_property
    def _sync(self) -> GroupSync:
        from layerlock.io.groupsync import GroupSync, sync_file_system  # noqa: PLC0415 -- only a pull syncs so

        return GroupSync(partial(sync_file_system, self.root))

    def _make(self) -> None:
        if not self._made:
            self.layout.make()
            self._made = True

    def _make_or_say(self) -> None:
        with storing(f"make the store {self.layout.root}"):
            self._make()


def _unsri(sri: str) -> str:
    try:
        return unsri(sri)
    except ValueError as error:
        raise StoreError(f"no tree can have the hash {sri!r}") from error
