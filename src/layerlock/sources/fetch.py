"""From a pin to bytes in the store: what is there already is used, anything else is fetched and verified first."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from layerlock.errors import FetchError, HashMismatch, LayerlockError, Offline, StaleLock
from layerlock.events import FetchFinished, FetchRetried, FetchStarted, Listener, Waiting, once
from layerlock.io.atomic import storing
from layerlock.io.http import AllFailed, Fetcher
from layerlock.io.nar import nar_digest, nar_sha256
from layerlock.io.reasons import redact
from layerlock.model.digest import digest
from layerlock.model.lock import LockedFile, LockedGit, LockedPath, LockedSource
from layerlock.model.ports import FileStore, SourceStore, TreeStore
from layerlock.sources.git import checkout
from layerlock.sources.git_program import GitProgram
from layerlock.sources.origins import Address, Origins, Refusal, filename
from layerlock.sources.place import copy_tree

NOT_PART: frozenset[str] = frozenset({".git", "__pycache__"})
"""Names that are no part of a source of kind `path`, at whatever depth. Nothing else is left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """How sources are reached: by HTTP, by names of registries, by git, and in the repository's own folders.

    `keyring` says whom to trust for Debian's indexes: Debian's own archive keys if it is left out.
    """

    fetcher: Fetcher
    origins: Origins
    git: GitProgram
    repository: Path
    offline: bool = False
    keyring: bytes | None = None


def fetch(locked: LockedSource, store: SourceStore, reach: Reach, emit: Listener) -> Path:
    """Give a pinned source's place in the store, fetching it where it is missing. Safe to call from many threads.

    Raises:
        Offline: it would have to be fetched, and the network was ruled out.
        FetchError: no address gave it.
        HashMismatch: an address gave other bytes, and none the pinned ones.
        StaleLock: a folder of the repository has changed since it was pinned.
    """
    match locked:
        case LockedFile():
            return fetch_file(
                locked,
                store=store,
                fetcher=reach.fetcher,
                origins=reach.origins,
                emit=emit,
                offline=reach.offline,
            )
        case LockedGit():
            return fetch_git(locked, store=store, git=reach.git, emit=emit, offline=reach.offline)
        case LockedPath():
            return fetch_path(locked, store=store, repository=reach.repository)


def fetch_file(
    locked: LockedFile,
    *,
    store: FileStore,
    fetcher: Fetcher,
    origins: Origins,
    emit: Listener,
    offline: bool,
) -> Path:
    """Give a pinned file's place in the store.

    Raises:
        Offline, FetchError, HashMismatch: see `fetch`.
    """
    found = store.file(locked.sha256)
    if found is not None:
        return found
    _refuse_offline(locked.key, offline)

    def fill(place: Path) -> None:
        download(
            locked.key,
            locked.urls,
            locked.sha256,
            locked.size,
            place,
            fetcher=fetcher,
            origins=origins,
            emit=emit,
        )

    waiting = once(emit, Waiting(name=locked.key, doing="fetches"))
    return store.add_file(locked.sha256, filename(locked.urls), fill, waiting)


def bring(
    name: str,
    urls: tuple[str, ...],
    sha256: str,
    called: str,
    *,
    store: FileStore,
    reach: Reach,
    emit: Listener,
) -> Path:
    """Bring a file that is not pinned yet into the store, under the name `called`; give its place.

    Raises:
        FetchError, HashMismatch: see `download`.
    """
    return store.add_file(
        sha256,
        called,
        lambda into: download(
            name, urls, sha256, None, into, fetcher=reach.fetcher, origins=reach.origins, emit=emit
        ),
    )


def download(
    name: str,
    urls: tuple[str, ...],
    sha256: str,
    size: int | None,
    place: Path,
    *,
    fetcher: Fetcher,
    origins: Origins,
    emit: Listener,
) -> None:
    """Bring the file of a sha256 to `place`, from the first address that has it.

    Raises:
        FetchError: no address had it; each one's reason is given, a registry's without its address.
        HashMismatch: all that arrived were other bytes.
    """
    failures: list[tuple[str, str]] = []
    mismatch: LayerlockError | None = None
    for address in (address for url in urls for address in origins.resolve(url, sha256)):
        if failures:
            emit(FetchRetried(name=name, url=failures[-1][0], reason=failures[-1][1]))
        if isinstance(address, Refusal):
            failures.append((address.shown, address.reason))
            if address.found is not None:
                mismatch = _other_bytes(name, address.shown, address.found, sha256)
            continue
        try:
            _take(name, address, sha256, size, place, fetcher, emit)
        except HashMismatch as error:
            mismatch = mismatch or HashMismatch(_shown(error.message, address), hint=error.hint)
            failures.append((address.shown, "other bytes than the pinned ones"))
        except FetchError as error:
            failures.append((address.shown, _reason(error, address)))
        else:
            return
    if mismatch is not None:
        raise mismatch
    reasons = "; ".join(f"{shown}: {reason}" for shown, reason in failures)
    raise FetchError(
        f"{name}: no address gave the file ({reasons})",
        hint="check the network and the addresses, or add another one to `urls`",
    )


def fetch_git(locked: LockedGit, *, store: TreeStore, git: GitProgram, emit: Listener, offline: bool) -> Path:
    """Give a pinned checkout's place in the store.

    Raises:
        Offline, FetchError, HashMismatch: see `fetch`.
        UnsafeArchive: the repository tries to reach what it must not.
    """
    found = store.tree(locked.tree)
    if found is not None:
        return found
    _refuse_offline(locked.key, offline)

    def accept(tree: str) -> None:
        if tree != locked.tree:
            raise HashMismatch(
                f"{locked.key}: the checkout of {locked.commit} has the tree hash {tree}; pinned is {locked.tree}",
                hint="a pin made with other submodules, or on another system, can differ: `lock` measures anew",
            )

    waiting = once(emit, Waiting(name=locked.key, doing="fetches"))
    with store.alone(digest({"checkout": locked.tree}), waiting):
        # Whoever was waited for has most likely brought it.
        return (
            store.tree(locked.tree)
            or add_checkout(
                locked.key,
                locked.urls,
                locked.commit,
                locked.submodules,
                store=store,
                git=git,
                emit=emit,
                accept=accept,
            )[1]
        )


def add_checkout(
    name: str,
    urls: tuple[str, ...],
    commit: str,
    with_submodules: bool,
    *,
    store: TreeStore,
    git: GitProgram,
    emit: Listener,
    accept: Callable[[str], None],
) -> tuple[str, Path]:
    """Check out a commit and give its tree hash and its place in the store.

    `accept` is shown the tree hash before anything is kept, and raises where it must not be.
    """
    started = time.monotonic()
    emit(FetchStarted(name=name, url=urls[0], size=None))
    with store.scratch("git") as scratch:
        tree = checkout(git, urls, commit, scratch=scratch, name=name, with_submodules=with_submodules)
        found = nar_digest(tree)
        accept(found.sri)
        entry = store.add_tree(tree, name.rpartition("/")[2])
    emit(FetchFinished(name=name, size=found.size, seconds=time.monotonic() - started))
    return entry.sri, entry.path


def fetch_path(locked: LockedPath, *, store: TreeStore, repository: Path) -> Path:
    """Give the place in the store of a folder of the repository, which must still be as it was pinned.

    Raises:
        StaleLock: the folder has changed.
    """
    with store.scratch("path") as scratch:
        tree = copy_folder(repository / locked.path, scratch)
        found = nar_sha256(tree) if tree is not None else "no folder at all"
        if tree is None or found != locked.tree:
            raise StaleLock(
                f"{locked.key}: the folder `{locked.path}` has the tree hash {found}; pinned is {locked.tree}",
                hint="if the change is meant, write the lock again",
            )
        return store.tree(found) or store.add_tree(tree, locked.path.rpartition("/")[2]).path


def folder_sha256(folder: Path) -> str | None:
    """Give the tree hash of a folder of the repository without `NOT_PART`; None where there is no such folder."""
    with tempfile.TemporaryDirectory(prefix="layerlock-") as scratch:
        tree = copy_folder(folder, Path(scratch))
        return None if tree is None else nar_sha256(tree)


def copy_folder(folder: Path, scratch: Path) -> Path | None:
    """Copy a folder of the repository without `NOT_PART` into a scratch; None where there is no such folder."""
    if not folder.is_dir():
        return None
    tree = scratch / "tree"
    with storing(f"copy {folder}"):
        tree.mkdir()
        tree.chmod(0o755)  # whatever the umask is
        copy_tree(folder, tree, leave_out=NOT_PART)
    return tree


def _take(
    name: str, address: Address, sha256: str, size: int | None, place: Path, fetcher: Fetcher, emit: Listener
) -> None:
    if address.file is None:
        fetcher.download(
            (address.url,), place, sha256=sha256, size=size, emit=emit, name=name, permit=address.permit
        )
        return
    try:
        with address.file.open("rb") as source:
            found = hashlib.file_digest(source, "sha256").hexdigest()
            if found != sha256:
                raise _other_bytes(name, address.shown, found, sha256)
            source.seek(0)
            with place.open("wb") as target:
                shutil.copyfileobj(source, target)
    except OSError as error:
        raise FetchError(error.strerror or "cannot be read") from None


def _other_bytes(name: str, shown: str, found: str, sha256: str) -> HashMismatch:
    return HashMismatch(
        f"{name}: {shown} has the sha256 {found}; pinned is {sha256}",
        hint="find out why the bytes changed before writing another hash into the recipe",
    )


def _refuse_offline(name: str, offline: bool) -> None:
    if offline:
        raise Offline(
            f"{name} is not in the store and would have to be fetched",
            hint="run once without `--offline`, or bring a store that holds it",
        )


def _reason(error: FetchError, address: Address) -> str:
    """Give the reason of a failed download apart from the address, which of a registry's file is not shown."""
    reasons = [reason for _, reason in error.reasons] if isinstance(error, AllFailed) else [error.message]
    return _shown("; ".join(dict.fromkeys(reasons)), address)


def _shown(text: str, address: Address) -> str:
    """Take a registry's address out of a message, as the fetcher spells it and as a host's name in a TLS error."""
    if not address.url or address.shown == address.url:
        return text
    host = urlsplit(address.url).hostname
    hidden = text.replace(redact(address.url), address.shown)
    return hidden.replace(host, "its host") if host else hidden
