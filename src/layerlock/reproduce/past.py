"""Finding the lock that a layer of the past was built from, and laying its revision out in a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from layerlock.errors import InvalidRecipe, NoHistory, UnknownZip
from layerlock.io.archives import MTIME
from layerlock.io.lockfile import parse_lock
from layerlock.io.treewriter import Caps, TreeWriter
from layerlock.model.lock import Lock, LockedPath
from layerlock.reproduce.history import History

GUEST: Final = "src/layerlock/guest"
"""Where a revision of the driver's own repository has its guest code."""

_FOLDERS: Final = ("recipes", "patches", GUEST)
_OTHERWISE: Final = "name the revision with --repo-rev, or an archive with --from"


class Checkout(Protocol):
    """What the recipes of a past lock are taken from."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def revision(self) -> str | None:
        """The commit, where it is one."""
        ...

    def lay_out(self, past: Past, into: Path) -> None:
        """Write recipes, patches, guest code, folders that are sources, and the lock into a new folder."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """A layer's lock of the past, its bytes, and what its recipes may be taken from, the likeliest first."""

    layer: str
    lock: Lock
    text: bytes
    checkouts: tuple[Checkout, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """A commit of the recipe repository."""

    history: History
    commit: str

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"the revision {self.commit[:12]}"

    @property
    def revision(self) -> str | None:
        """The commit."""
        return self.commit

    def lay_out(self, past: Past, into: Path) -> None:
        """Write the files as the commit stores them, and the lock.

        They are read one by one and not by `git archive`, which changes files as attributes say.

        Raises:
            NoHistory: the commit lacks the layer.
            UnsafeArchive: a link leads outside of the repository.
        """
        own = {pin.path for pin in past.lock.sources if isinstance(pin, LockedPath)}
        files = self.history.files_at(self.commit, (*_FOLDERS, *sorted(own)))
        recipe = f"recipes/layers/{past.layer}.toml"
        function = f"recipes/functions/{past.layer}.toml"
        if all(file.path not in (recipe, function) for file in files):
            raise NoHistory(
                f"{self.name} has no layer `{past.layer}` ({recipe})",
                hint=f"revisions that locked it: layerlock history {past.layer}",
            )
        into.mkdir(parents=True)
        with TreeWriter(into, archive=self.name, caps=Caps(), mtime=MTIME) as writer:
            for file in files:
                parts = tuple(part.encode("utf-8", "surrogateescape") for part in file.path.split("/"))
                data = self.history.blob(file.blob)
                if file.link:
                    writer.symlink(parts, data)
                else:
                    writer.file(parts, executable=file.executable, data=(data,))
            write_past_lock(writer, past)
            writer.finish()


def write_past_lock(writer: TreeWriter, past: Past) -> None:
    """Write a past lock to where its layer's lock stands."""
    parts = (b"lockfiles", f"{past.layer}.lock".encode())
    writer.file(parts, executable=False, data=(past.text,))


def past_at(history: History, layer: str, revision: str) -> Past:
    """Take a layer's lock from a revision.

    Raises:
        UsageError: that is no way to name a revision.
        NoHistory: there is no such revision, or no lock of the layer in it.
        InvalidRecipe: the lock is one of a newer layerlock, or none.
    """
    commit, text = history.lock_bytes(layer, revision)
    return Past(
        layer=layer,
        lock=parse_lock(text, f"lockfiles/{layer}.lock at {revision}"),
        text=text,
        checkouts=(Revision(history=history, commit=commit),),
    )


def past_of_lock(history: History, text: bytes, shown: str) -> Past:
    """Find the commits that brought a lock: one with the same bytes, else one that says the same.

    Raises:
        NoHistory: the history has none, or is cut short before it.
        InvalidRecipe: it is no lock, or one of a newer layerlock.
    """
    lock = parse_lock(text, shown)
    places = [place for place in history.lock_places() if place.layer == lock.layer]
    names = _blob_names(text)
    found = [place.revision for place in places if place.blob in names]
    if not found:
        same = {blob for blob in {place.blob for place in places} if _parsed(history, blob) == lock}
        found = [place.revision for place in places if place.blob in same]
    if not found:
        raise _not_found(history, f"no commit of this repository brought the lock {shown} of `{lock.layer}`")
    return Past(layer=lock.layer, lock=lock, text=text, checkouts=_revisions(history, found))


def past_of_zip(history: History, sha256: str, shown: str) -> Past:
    """Find the commits whose lock recorded a zip, among all locks of all branches and tags.

    Raises:
        UnknownZip: no lock did.
        NoHistory: no lock that is here did, and the history is cut short.
    """
    known: dict[str, Lock | None] = {}
    text: dict[str, bytes] = {}
    found: dict[tuple[str, str], list[str]] = {}
    for place in history.lock_places():
        if place.blob not in known:
            data = text[place.blob] = history.blob(place.blob)
            known[place.blob] = _parsed(history, place.blob) if sha256.encode() in data else None
        lock = known[place.blob]
        if lock is not None and lock.layer == place.layer and lock.zip and lock.zip.sha256 == sha256:
            found.setdefault((place.layer, place.blob), []).append(place.revision)
    for (layer, blob), revisions in found.items():
        lock = known[blob]
        if lock is not None:
            # Any lock that recorded the zip will do; a lock that was written anew with the same zip is the newest.
            return Past(layer=layer, lock=lock, text=text[blob], checkouts=_revisions(history, revisions))
    if history.shallow:
        raise _not_found(history, f"no lock that is here recorded the zip {shown}")
    raise unknown_zip(sha256, shown, "no lock in this repository's history")


def past_given(history: History, text: bytes, shown: str, revision: str) -> Past:
    """Take a lock that is given with the recipes of a revision that is named."""
    lock = parse_lock(text, shown)
    checkout = Revision(history=history, commit=history.commit(revision))
    return Past(layer=lock.layer, lock=lock, text=text, checkouts=(checkout,))


def past_of_zip_at(history: History, sha256: str, shown: str, revision: str) -> Past:
    """Find the lock that recorded a zip among the locks of a revision that is named.

    Raises:
        UnknownZip: none of them did.
    """
    commit = history.commit(revision)
    for file in history.files_at(commit, ("lockfiles",)):
        lock = _parsed(history, file.blob) if file.path.endswith(".lock") and not file.link else None
        if lock is not None and lock.zip and lock.zip.sha256 == sha256:
            checkout = Revision(history=history, commit=commit)
            return Past(layer=lock.layer, lock=lock, text=history.blob(file.blob), checkouts=(checkout,))
    raise unknown_zip(sha256, shown, f"no lock of the revision `{revision}`")


def unknown_zip(sha256: str, shown: str, which: str) -> UnknownZip:
    """Make the error of a zip that no lock recorded."""
    return UnknownZip(
        f"{which} recorded the zip {shown}, whose sha256 is {sha256}",
        hint="only zips that `record` wrote into a lock, which was then committed or archived, can be found",
    )


def _not_found(history: History, problem: str) -> NoHistory:
    if history.shallow:
        return NoHistory(
            f"{problem}, and the checkout is a shallow clone: its history is cut short",
            hint="bring the rest: git fetch --unshallow",
        )
    return NoHistory(problem, hint=_OTHERWISE)


def _revisions(history: History, commits: Iterable[str]) -> tuple[Checkout, ...]:
    return tuple(Revision(history=history, commit=commit) for commit in dict.fromkeys(commits))


def _parsed(history: History, blob: str) -> Lock | None:
    try:
        return parse_lock(history.blob(blob), "a lock")
    except InvalidRecipe:
        # Of a newer layerlock, or damaged: it is not the one that is looked for.
        return None


def _blob_names(data: bytes) -> frozenset[str]:
    """Give the names that git has for a file's bytes, in repositories of either kind."""
    whole = b"blob %d\0%s" % (len(data), data)
    return frozenset(
        {hashlib.sha1(whole, usedforsecurity=False).hexdigest(), hashlib.sha256(whole).hexdigest()}
    )
