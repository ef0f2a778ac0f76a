"""Past locks of a layer, out of the repository's git history."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from layerlock.errors import FetchError, InvalidRecipe, NoHistory, UsageError
from layerlock.io.lockfile import parse_lock
from layerlock.model.lock import Lock
from layerlock.reproduce.locks import LockComparison, compare_locks
from layerlock.sources.git_program import GitProgram, GitResult

_REVISION: Final = re.compile(r"[A-Za-z0-9_@.][A-Za-z0-9_@./{}^~+-]{0,199}")
_PLAIN: Final = ("100644", "100755")
_LAYER: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class PastLock:
    """A layer's lock as one commit left it.

    Args:
        revision: the commit.
        date: when it was committed, ISO 8601.
        subject: the first line of its message.
        lock: the lock; None where the commit removed it or it cannot be read.
        problem: why there is none.
        change: what differs from the readable one before; None for the first.
    """

    revision: str
    date: str
    subject: str
    lock: Lock | None
    problem: str = ""
    change: LockComparison | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LockPlace:
    """A commit that brought a lock in this form: the layer, the commit, and the bytes' name in git (blob)."""

    layer: str
    revision: str
    blob: str


@dataclass(frozen=True, kw_only=True, slots=True)
class PastFile:
    """A file or link of a revision, by its path from the top of the recipe repository."""

    path: str
    blob: str
    executable: bool
    link: bool


class History:
    """The git history that a recipe repository stands in."""

    def __init__(self, root: Path, git: GitProgram) -> None:
        """Find the checkout that holds the folder `root`.

        Raises:
            NoHistory: git is missing, or the folder is in no checkout.
        """
        if shutil.which(git.program, path=git.variables.get("PATH")) is None:
            raise NoHistory(
                f"`{git.program}` is not installed, and past locks stand in git's history",
                hint="install git (Debian, Ubuntu: apt-get install git)",
            )
        root = root.resolve()
        top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), None)
        if top is None:
            raise NoHistory(
                f"{root} is in no git checkout, so it has no history",
                hint="clone the repository with git; an archive of it holds no past locks",
            )
        self._git = git
        self._git_dir = top / ".git"
        self._prefix = root.relative_to(top)

    def past_locks(self, layer: str) -> tuple[PastLock, ...]:
        """List a layer's locks, the newest first, along the first parents of what is checked out.

        Raises:
            NoHistory: the history is cut short, or holds no lock of this layer.
        """
        if self.shallow:
            raise NoHistory(
                "the checkout is a shallow clone: its history is cut short",
                hint="bring the rest: git fetch --unshallow",
            )
        path = self._path(layer)
        wanted = "--format=%H%x00%cI%x00%s%x00"
        options = ("--first-parent", "--no-show-signature", "--no-color", "-z", wanted)
        said = self._run("log", *options, "--end-of-options", "HEAD", "--", path).output
        # Each commit has three fields, each ended by a NUL; -z ends the commit with one more.
        parts = said.decode("utf-8", "replace").split("\0")
        rows = [parts[at : at + 3] for at in range(0, len(parts) - 3, 4)]
        if not rows:
            raise NoHistory(
                f"no commit has a lock of `{layer}` ({path})",
                hint=f"commit the lock once it is written: nox -s lock -- {layer}",
            )
        made: list[PastLock] = []
        last: Lock | None = None
        for revision, date, subject in reversed(rows):
            lock, problem = self._try(layer, revision)
            change = compare_locks(last, lock) if last is not None and lock is not None else None
            made.append(
                PastLock(
                    revision=revision, date=date, subject=subject, lock=lock, problem=problem, change=change
                )
            )
            last = lock or last
        return tuple(reversed(made))

    def lock_at(self, layer: str, revision: str) -> Lock:
        """Read a layer's lock as it was at a revision: a commit, tag, branch, or `HEAD~3` and the like.

        Raises:
            UsageError: that is no way to name a revision.
            NoHistory: there is no such revision, or no lock of the layer in it.
            InvalidRecipe: the lock there cannot be read.
        """
        _, text = self.lock_bytes(layer, revision)
        return parse_lock(text, f"{self._path(layer)} at {revision}")

    def lock_bytes(self, layer: str, revision: str) -> tuple[str, bytes]:
        """Give the whole name of a revision's commit, and a layer's lock there as it is stored.

        Raises:
            UsageError, NoHistory: as `lock_at`.
        """
        commit = self.commit(revision)
        text = self._lock_text(layer, commit)
        if text is None:
            raise self._no_lock(layer, revision)
        return commit, text

    def lock_places(self) -> tuple[LockPlace, ...]:
        """List every lock that any commit of any branch or tag brought, the newest commits first.

        Merges are looked at from each of their parents. In a shallow clone only what is there is found.
        """
        folder = (self._prefix / "lockfiles").as_posix()
        # `--` keeps a path from being taken for a revision; -z leaves names as they are.
        options = ("--all", "-m", "--raw", "--no-abbrev", "--no-renames", "--no-show-signature", "-z")
        said = self._run("log", *options, "--format=%H", "--end-of-options", "--", folder).output
        found: dict[LockPlace, None] = {}
        commit = ""
        parts = iter(said.decode("utf-8", "surrogateescape").split("\0"))
        for part in parts:
            row = re.fullmatch(r"\s*:\d+ (\d+) [0-9a-f]+ ([0-9a-f]+) [A-Z]\d*", part)
            if row is None:
                commit = part.strip() or commit
                continue
            path = PurePosixPath(next(parts, ""))
            if row[1] in _PLAIN and path.parent.as_posix() == folder and path.suffix == ".lock":
                found[LockPlace(layer=path.stem, revision=commit, blob=row[2])] = None
        return tuple(found)

    def files_at(self, commit: str, folders: tuple[str, ...]) -> tuple[PastFile, ...]:
        """List the files and links below some folders of the recipe repository as a commit has them."""
        top = self._prefix.as_posix()
        wanted = [(self._prefix / folder).as_posix() for folder in folders]
        said = self._run("ls-tree", "-r", "-z", "--full-tree", commit, "--", *wanted).output
        found = []
        for record in filter(None, said.split(b"\0")):
            about, _, name = record.partition(b"\t")
            mode, kind, blob = about.decode("ascii").split()
            path = os.fsdecode(name) if top == "." else os.fsdecode(name)[len(top) + 1 :]
            if kind == "blob":
                found.append(
                    PastFile(path=path, blob=blob, executable=mode == "100755", link=mode == "120000")
                )
        return tuple(found)

    def blob(self, name: str) -> bytes:
        """Read a file's bytes as they are stored: no filter, no line ends, no attributes take part."""
        return self._run("cat-file", "blob", name).output

    def _no_lock(self, layer: str, revision: str) -> NoHistory:
        return NoHistory(
            f"the revision `{revision}` has no lock of `{layer}` ({self._path(layer)})",
            hint=f"revisions that have one: layerlock history {layer}",
        )

    def _try(self, layer: str, commit: str) -> tuple[Lock | None, str]:
        text = self._lock_text(layer, commit)
        if text is None:
            return None, "the lock was removed"
        try:
            return parse_lock(text, self._path(layer)), ""
        except InvalidRecipe as error:
            return None, f"cannot be read: {error.message}"

    def commit(self, revision: str) -> str:
        """Give the whole name of a revision's commit.

        Raises:
            UsageError: that is no way to name a revision.
            NoHistory: there is none of this name.
        """
        if not _REVISION.fullmatch(revision) or ".." in revision:
            raise UsageError(
                f"`{revision}` does not name one revision",
                hint="name a commit, a tag or a branch, or count back from one: HEAD~2",
            )
        found = self._run(
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            f"{revision}^{{commit}}",
            accept=(0, 1, 128),
        )
        commit = found.output.decode("ascii", "replace").strip()
        if found.status != 0 or not re.fullmatch(r"[0-9a-f]{40,64}", commit):
            shallow = self.shallow
            raise NoHistory(
                f"there is no revision `{revision}` in this checkout"
                + (", which is a shallow clone" if shallow else ""),
                hint="bring the rest: git fetch --unshallow" if shallow else "see: git log --oneline --all",
            )
        return commit

    def _lock_text(self, layer: str, commit: str) -> bytes | None:
        """Give a lock's bytes at a commit, as stored: no filter or text conversion takes part."""
        listed = self._run("ls-tree", "-z", "--full-tree", commit, "--", self._path(layer)).output
        row = re.match(rb"100(?:644|755) blob ([0-9a-f]+)\t", listed)
        return self._run("cat-file", "blob", row[1].decode()).output if row else None

    def _path(self, layer: str) -> str:
        if not _LAYER.fullmatch(layer):
            raise UsageError(f"`{layer}` is no layer's name")
        return (self._prefix / "lockfiles" / f"{layer}.lock").as_posix()

    @property
    def shallow(self) -> bool:
        """Whether the history is cut short."""
        return self._run("rev-parse", "--is-shallow-repository").output.strip() == b"true"

    def _run(self, *arguments: str, accept: tuple[int, ...] = (0,)) -> GitResult:
        try:
            return self._git.run(*arguments, git_dir=self._git_dir, accept=accept)
        except FetchError as error:
            raise NoHistory(
                f"git could not read the history: {error.message}", hint="see: git log, in this folder"
            ) from error
