"""Checkouts of git repositories: one commit with its submodules, as a plain tree without any `.git`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from layerlock.errors import FetchError, HashMismatch, InvalidRecipe, LayerlockError, UnsafeArchive
from layerlock.sources.git_program import GitProgram
from layerlock.sources.git_urls import (
    Submodule,
    check_ref,
    check_repository,
    shown,
    submodule_urls,
    submodules,
)

DEEPEST: Final = 8
"""How deep submodules may nest."""

MOST: Final = 512
"""How many submodules one checkout may have in all."""

_TABLE_LIMIT: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Refs:
    """The commits that a branch and a tag of a repository name; None where there is no such ref."""

    url: str
    branch: str | None
    tag: str | None


def checkout(
    git: GitProgram,
    urls: tuple[str, ...],
    commit: str,
    *,
    scratch: Path,
    name: str,
    with_submodules: bool,
) -> Path:
    """Make the tree of a commit below `scratch` and give its place.

    Attributes of the repository that name filter programs (LFS among them) find none configured and change nothing;
    line ends and symbolic links are as a fresh clone on Linux has them.

    Raises:
        InvalidRecipe: an address is of a kind that is not fetched from.
        FetchError: no address has the commit.
        UnsafeArchive: the repository tries to leave its folder or to reach what it must not.
    """
    for url in urls:
        check_repository(url, local=git.local)
    tree = scratch / "tree"
    tree.mkdir()
    walk = _Walk(git=git, scratch=scratch)
    walk.check_out(urls, commit, tree, name, depth=DEEPEST if with_submodules else None)
    _inspect(tree, name)
    return tree


def remote_refs(git: GitProgram, urls: tuple[str, ...], *, branch: str | None, tag: str | None) -> Refs:
    """Ask the first repository that answers what a branch and a tag name; an annotated tag counts as its commit.

    Raises:
        InvalidRecipe: an address or a name is none that may be asked for.
        FetchError: no repository answers.
    """
    wanted = []
    if branch is not None:
        check_ref(branch)
        wanted.append(f"refs/heads/{branch}")
    if tag is not None:
        check_ref(tag)
        wanted += [f"refs/tags/{tag}", f"refs/tags/{tag}^{{}}"]
    failures = []
    for url in urls:
        check_repository(url, local=git.local)
        try:
            result = git.run("ls-remote", "--quiet", "--", url, *wanted, remote=True)
        except FetchError as error:
            failures.append((url, error))
            continue
        found = {}
        for line in result.output.decode(errors="replace").splitlines():
            commit, _, ref = line.partition("\t")
            found[ref] = commit
        named = found.get(f"refs/tags/{tag}^{{}}") or found.get(f"refs/tags/{tag}")
        return Refs(
            url=url,
            branch=found.get(f"refs/heads/{branch}") if branch is not None else None,
            tag=named if tag is not None else None,
        )
    raise _all_failed("no repository could be asked", failures)


def on_branch(git: GitProgram, url: str, branch: str, commit: str, *, scratch: Path) -> bool:
    """Tell whether a branch's history holds a commit.

    Only commits are asked for, without their trees, where the server can do that.

    Raises:
        FetchError: the repository does not answer.
    """
    git_dir = _new_repository(git, scratch / "history")
    git.run(
        "fetch", "--quiet", "--progress", "--no-tags", "--filter=tree:0", "--", url, f"refs/heads/{branch}:refs/tip",
        git_dir=git_dir, remote=True,
    )  # fmt: skip
    known = git.run("rev-list", "--max-count=1", commit, "--", git_dir=git_dir, accept=(0, 128))
    if known.status != 0:
        return False
    return (
        git.run("merge-base", "--is-ancestor", commit, "refs/tip", git_dir=git_dir, accept=(0, 1)).status == 0
    )


@dataclass(kw_only=True, slots=True)
class _Walk:
    """One checkout with its submodules; counts the repositories that it has set up."""

    git: GitProgram
    scratch: Path
    repositories: int = 0

    def check_out(
        self, urls: tuple[str, ...], commit: str, into: Path, where: str, *, depth: int | None
    ) -> None:
        self.repositories += 1
        if self.repositories > MOST:
            raise UnsafeArchive(f"{where}: more than {MOST} submodules")
        # The repository stands apart from its files: the tree never holds a `.git`.
        git_dir = _new_repository(self.git, self.scratch / f"repository-{self.repositories}")
        _fetch(self.git, git_dir, urls, commit, where)
        self.git.run(
            "checkout", "--quiet", "--force", "--no-guess", "--no-recurse-submodules", "--detach", commit, "--",
            git_dir=git_dir, work_tree=into,
        )  # fmt: skip
        if depth is not None:
            for module, inner in self._modules(git_dir, commit, into, where):
                if depth == 0:
                    raise UnsafeArchive(f"{where}: submodules nest deeper than {DEEPEST}")
                self.check_out(
                    submodule_urls(module, urls, where, local=self.git.local),
                    inner,
                    empty_folder(into, module.path, where),
                    f"{where}/{shown(module.path)}",
                    depth=depth - 1,
                )

    def _modules(self, git_dir: Path, commit: str, into: Path, where: str) -> Iterator[tuple[Submodule, str]]:
        """Give the submodules that the commit itself names, with the commit that it wants of each."""
        table = into / ".gitmodules"
        stated: dict[str, Submodule] = {}
        try:
            status = table.lstat()
        except FileNotFoundError:
            pass
        else:
            if not stat.S_ISREG(status.st_mode) or status.st_size > _TABLE_LIMIT:
                raise UnsafeArchive(f".gitmodules of {where} is no ordinary file")
            listed = self.git.run("config", f"--file={table}", "--no-includes", "--null", "--list")
            stated = {module.path: module for module in submodules(listed.output, where)}
        for path, inner in self._links(git_dir, commit):
            if path not in stated:
                raise FetchError(
                    f"{where} has a submodule at `{shown(path)}` that .gitmodules does not state",
                    hint="`submodules = false` in the recipe leaves submodules out",
                )
            yield stated[path], inner

    def _links(self, git_dir: Path, commit: str) -> list[tuple[str, str]]:
        listed = self.git.run("ls-tree", "-r", "-z", "--full-tree", commit, "--", git_dir=git_dir).output
        found = []
        for record in listed.split(b"\0"):
            about, _, path = record.partition(b"\t")
            if about.startswith(b"160000 commit "):
                found.append((os.fsdecode(path), about.split()[2].decode()))
        return found


def _new_repository(git: GitProgram, place: Path) -> Path:
    git.run("init", "--quiet", "--bare", "--template=", "--", str(place))
    # A bare repository refuses a work tree, which every command here states for itself.
    git.run("config", f"--file={place / 'config'}", "--unset-all", "core.bare")
    return place


def _fetch(git: GitProgram, git_dir: Path, urls: tuple[str, ...], commit: str, where: str) -> None:
    """Bring a commit here: alone, or by everything that a server offers where it gives no single commits."""
    failures: list[tuple[str, LayerlockError]] = []
    for url in urls:
        options = ("--quiet", "--progress", "--force", "--no-tags", "--no-recurse-submodules")
        try:
            git.run("fetch", *options, "--depth=1", "--", url, commit, git_dir=git_dir, remote=True)
        except FetchError:
            everything = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
            try:
                git.run("fetch", *options, "--", url, *everything, git_dir=git_dir, remote=True)
            except FetchError as error:
                failures.append((url, error))
                continue
        if git.run("cat-file", "-e", f"{commit}^{{commit}}", git_dir=git_dir, accept=(0, 1, 128)).status == 0:
            return
        failures.append((url, FetchError("it has no such commit in its branches and tags")))
    raise _all_failed(f"{where}: no repository gave the commit {commit}", failures)


def _all_failed(what: str, failures: Sequence[tuple[str, LayerlockError]]) -> FetchError:
    reasons = "; ".join(f"{url}: {error.message}" for url, error in failures) or "no address is stated"
    hints = [error.hint for _, error in failures if error.hint]
    return FetchError(
        f"{what} ({reasons})", hint=hints[0] if hints else "check the addresses, or add another one"
    )


def empty_folder(tree: Path, path: str, where: str) -> Path:
    """Give a submodule's place, which git has made as an empty folder; every folder above it must be one too."""
    place = tree
    for part in path.split("/"):
        place = place / part
        try:
            mode = place.lstat().st_mode
        except FileNotFoundError:
            place.mkdir()
            continue
        if not stat.S_ISDIR(mode):
            raise UnsafeArchive(
                f"the submodule `{shown(path)}` of {where} stands where `{shown(place.name)}` is no folder"
            )
    if any(place.iterdir()):
        raise UnsafeArchive(f"the submodule `{shown(path)}` of {where} stands in a folder that is not empty")
    return place


def _inspect(tree: Path, where: str) -> None:
    """Look over a finished tree: files, folders and links only, and nothing by which git would take it for its own."""
    for folder, directories, names in os.walk(tree):
        for name in (*directories, *names):
            place = Path(folder, name)
            mode = place.lstat().st_mode
            if name.lower() == ".git" or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
                raise UnsafeArchive(
                    f"{where} holds `{shown(str(place.relative_to(tree)))}`, which no checkout may"
                )


def check_tag(refs: Refs, tag: str, commit: str, where: str) -> None:
    """Hold a tag against the pinned commit.

    Raises:
        HashMismatch: it names another commit now.
        InvalidRecipe: the repository has no such tag.
    """
    if refs.tag is None:
        raise InvalidRecipe(f"{where}: {refs.url} has no tag `{tag}`")
    if refs.tag != commit:
        raise HashMismatch(
            f"{where}: the tag `{tag}` of {refs.url} names the commit {refs.tag}; pinned is {commit}",
            hint="a tag should not move: find out why it did before writing the new commit into the recipe",
        )
