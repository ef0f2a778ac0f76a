"""From what a recipe says of a source to its pin: kept where it still fits, measured and verified where not."""

from __future__ import annotations

import dataclasses

from layerlock.errors import FetchError, HashMismatch, InvalidRecipe, Offline
from layerlock.events import Listener, Noted, Warned
from layerlock.io.nar import nar_sha256
from layerlock.model.lock import LockedFile, LockedGit, LockedPath, LockedSource
from layerlock.model.ports import SourceStore
from layerlock.model.recipe import (
    Deb,
    FileSource,
    GitSource,
    PathSource,
    Source,
    TarballSource,
    WheelSource,
    ZipSource,
)
from layerlock.sources.fetch import Reach, add_checkout, bring, copy_folder
from layerlock.sources.git import Refs, check_tag, on_branch, remote_refs
from layerlock.sources.git_urls import check_repository
from layerlock.sources.origins import check_url, filename
from layerlock.sources.wheel import read_wheel_name


def pin(
    key: str,
    source: Source | Deb,
    previous: LockedSource | None,
    *,
    store: SourceStore,
    reach: Reach,
    emit: Listener,
    upgrade: bool = False,
) -> LockedSource:
    """Pin a source.

    Args:
        key: the source's key in the lock, as `plan.packages.source_key` gives it.
        source: what the recipe says.
        previous: the pin that the lock has so far.
        store: where fetched bytes go.
        reach: how sources are reached.
        emit: hears of downloads, and of what was measured or could not be checked.
        upgrade: follow a git branch to its tip, and accept other bytes under an unchanged address.

    A followed branch gives a pin at the tip, which the recipe does not state yet: a `Noted` says what to write.

    Raises:
        HashMismatch: bytes changed under an unchanged address, a tag moved, or the recipe's hash is not theirs.
        InvalidRecipe: an address, a file name or a branch does not fit.
        FetchError, Offline: the source had to be fetched and could not be.
    """
    match source:
        case Deb():
            check_url(source.path)
            return LockedFile(
                kind="file", key=key, urls=(source.path,), sha256=source.sha256, size=source.size
            )
        case TarballSource() | ZipSource() | WheelSource() | FileSource():
            return _pin_file(key, source, previous, store=store, reach=reach, emit=emit, upgrade=upgrade)
        case GitSource():
            return _pin_git(key, source, previous, store=store, reach=reach, emit=emit, upgrade=upgrade)
        case PathSource():
            return _pin_path(key, source, store=store, reach=reach)


def _pin_file(
    key: str,
    source: TarballSource | ZipSource | WheelSource | FileSource,
    previous: LockedSource | None,
    *,
    store: SourceStore,
    reach: Reach,
    emit: Listener,
    upgrade: bool,
) -> LockedFile:
    if not source.urls:
        raise InvalidRecipe(f"{key}: `urls` is empty")
    for url in source.urls:
        check_url(url)
    if isinstance(source, WheelSource):
        read_wheel_name(filename(source.urls))
    if isinstance(previous, LockedFile):
        if previous.sha256 == source.sha256:
            # Addresses are no part of what was pinned: other ones of the same bytes need no download.
            return dataclasses.replace(previous, key=key, urls=source.urls)
        unchanged = [url for url in source.urls if url in previous.urls]
        if unchanged and not upgrade:
            raise HashMismatch(
                f"{key}: under {unchanged[0]} the lock has the sha256 {previous.sha256}, "
                f"the recipe now says {source.sha256}",
                hint="an address should always give the same bytes; if the change is meant, lock with --upgrade",
            )
    place = store.file(source.sha256)
    if place is None:
        if reach.offline:
            raise _offline(key)
        place = bring(
            key, source.urls, source.sha256, filename(source.urls), store=store, reach=reach, emit=emit
        )
    return LockedFile(kind="file", key=key, urls=source.urls, sha256=source.sha256, size=place.stat().st_size)


def _pin_git(
    key: str,
    source: GitSource,
    previous: LockedSource | None,
    *,
    store: SourceStore,
    reach: Reach,
    emit: Listener,
    upgrade: bool,
) -> LockedGit:
    if not source.urls:
        raise InvalidRecipe(f"{key}: `urls` is empty")
    for url in source.urls:
        check_repository(url, local=reach.git.local)
    ref = _full_ref(source)
    if isinstance(previous, LockedGit) and not upgrade and _still_fits(source, previous, ref):
        return dataclasses.replace(previous, key=key, urls=source.urls)
    if reach.offline:
        if source.tree is None or store.tree(source.tree) is None:
            raise _offline(key)
        emit(
            Noted(name=key, message="offline: the commit was not held against its branch, tag and tree hash")
        )
        return LockedGit(
            kind="git", key=key, urls=source.urls, commit=source.commit, tree=source.tree, ref=ref,
            submodules=source.submodules,
        )  # fmt: skip
    commit = _checked_commit(key, source, store=store, reach=reach, emit=emit, upgrade=upgrade)
    expected = source.tree if commit == source.commit else None

    def accept(tree: str) -> None:
        if expected is not None and tree != expected:
            raise HashMismatch(
                f"{key}: the checkout of {commit} has the tree hash {tree}, the recipe says {expected}",
                hint="`nix hash path` of a checkout without `.git` gives the hash; submodules count",
            )

    tree, _ = add_checkout(
        key, source.urls, commit, source.submodules, store=store, git=reach.git, emit=emit, accept=accept
    )
    if commit != source.commit:
        emit(
            Noted(
                name=key,
                message=f"the branch `{source.branch}` has moved on from {source.commit}: "
                f'write `commit = "{commit}"` and `tree = "{tree}"` into the recipe',
            )
        )
    elif source.tree is None:
        emit(Noted(name=key, message=f'the recipe states no tree hash; the checkout has `tree = "{tree}"`'))
    return LockedGit(
        kind="git", key=key, urls=source.urls, commit=commit, tree=tree, ref=ref, submodules=source.submodules
    )


def _pin_path(key: str, source: PathSource, *, store: SourceStore, reach: Reach) -> LockedPath:
    with store.scratch("path") as scratch:
        tree = copy_folder(reach.repository / source.path, scratch)
        if tree is None:
            raise InvalidRecipe(f"{key}: there is no folder `{source.path}` in the repository")
        measured = nar_sha256(tree)
        if store.tree(measured) is None:
            store.add_tree(tree, source.path.rpartition("/")[2])
    return LockedPath(kind="path", key=key, path=source.path, tree=measured)


def _full_ref(source: GitSource) -> str | None:
    if source.tag is not None:
        return f"refs/tags/{source.tag}"
    return f"refs/heads/{source.branch}" if source.branch is not None else None


def _still_fits(source: GitSource, previous: LockedGit, ref: str | None) -> bool:
    return (
        previous.commit == source.commit
        and previous.ref == ref
        and previous.submodules == source.submodules
        and source.tree in (None, previous.tree)
    )


def _checked_commit(
    key: str, source: GitSource, *, store: SourceStore, reach: Reach, emit: Listener, upgrade: bool
) -> str:
    """Give the commit to pin, held against the tag and the branch that the recipe states.

    A host may serve a commit of anybody's fork under a repository's address: being on the branch or under the tag is
    what makes it this repository's. A server that does not answer is no reason to stop; the commit's hash counts.
    """
    if source.branch is None and source.tag is None:
        return source.commit
    try:
        refs = remote_refs(reach.git, source.urls, branch=source.branch, tag=source.tag)
    except FetchError as error:
        emit(
            Warned(
                name=key, message=f"the commit could not be held against its branch or tag: {error.message}"
            )
        )
        return source.commit
    if source.tag is not None:
        check_tag(refs, source.tag, source.commit, key)
    if source.branch is None:
        return source.commit
    if refs.branch is None:
        raise InvalidRecipe(f"{key}: {refs.url} has no branch `{source.branch}`")
    if upgrade and source.tag is None:
        return refs.branch
    _check_branch(key, source, refs, source.branch, store=store, reach=reach, emit=emit)
    return source.commit


def _check_branch(
    key: str,
    source: GitSource,
    refs: Refs,
    branch: str,
    *,
    store: SourceStore,
    reach: Reach,
    emit: Listener,
) -> None:
    if refs.branch == source.commit:
        return
    try:
        with store.scratch("history") as scratch:
            holds = on_branch(reach.git, refs.url, branch, source.commit, scratch=scratch)
    except FetchError as error:
        emit(Warned(name=key, message=f"the commit could not be looked up on `{branch}`: {error.message}"))
        return
    if not holds:
        raise InvalidRecipe(
            f"{key}: the commit {source.commit} is not on the branch `{branch}` of {refs.url}, "
            f"whose tip is {refs.branch}",
            hint="the branch was rewritten, or the commit is another branch's: state the right one",
        )


def _offline(key: str) -> Offline:
    return Offline(
        f"{key} is not pinned yet and would have to be fetched", hint="run once without `--offline`"
    )
