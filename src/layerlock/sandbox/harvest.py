"""Taking a build's output out of the sandbox: looked through as something hostile, then moved as a whole."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from layerlock.errors import HostileOutput, ResourceExceeded

_MAX_DEPTH = 200
_MAX_ENTRIES = 2_000_000
_MAX_LINKS = 40
_KINDS = (
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Harvest:
    """What was taken out: where it stands now, how many entries, and the bytes of its files."""

    path: Path
    entries: int
    size: int


def harvest(out: Path, destination: Path, *, max_bytes: int, prefixes: tuple[str, ...] = ()) -> Harvest:
    """Check the tree `out`, set its modes to 0755 and 0644, drop extended attributes, and rename it.

    To be called only when `run` has returned. `destination` must not exist and lies on the same file
    system. An absolute link is let pass where it leads below one of `prefixes`: places where the output
    will be mounted.

    The tree is moved, not copied, which for hundreds of megabytes is worth an argument. Every process that
    could write to it is dead, its writable mount died with its namespace, and what the tree holds when it
    is looked through is what it holds when it is renamed. A copy would buy protection against one more
    thing, a hard link to a file elsewhere; those are refused by their link count (from inside none can be
    made: another mount is another device to link(2)).

    Raises:
        HostileOutput: something in the tree must not be taken out; names it and says why.
        ResourceExceeded: the files are larger than `max_bytes`, or there are too many.
    """
    walk = _Walk(max_bytes=max_bytes)
    top = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        walk.folder(top, "", 0)
    finally:
        os.close(top)
    walk.check_hard_links()
    for path in sorted(walk.links):
        _check_link(path, walk.links, prefixes)
    if os.path.lexists(destination):
        raise FileExistsError(f"{destination} is there already")
    out.rename(destination)
    return Harvest(path=destination, entries=walk.entries, size=walk.size)


@dataclass(slots=True)
class _Walk:
    max_bytes: int
    entries: int = 0
    size: int = 0
    links: dict[str, str] = field(default_factory=dict)
    _seen: Counter[tuple[int, int]] = field(default_factory=Counter)
    _counts: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)

    def folder(self, descriptor: int, path: str, depth: int) -> None:
        """Check everything below an open folder; nothing is ever reached by a path."""
        if depth > _MAX_DEPTH:
            raise _hostile(path, f"lies deeper than {_MAX_DEPTH} folders")
        _plain(descriptor, 0o755)
        for name in sorted(os.listdir(descriptor)):
            self.entries += 1
            if self.entries > _MAX_ENTRIES:
                raise ResourceExceeded(f"the output has more than {_MAX_ENTRIES} entries")
            self._entry(descriptor, name, f"{path}/{name}" if path else name, depth)

    def _entry(self, folder: int, name: str, path: str, depth: int) -> None:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        mode = status.st_mode
        for is_kind, kind in _KINDS:
            if is_kind(mode):
                raise _hostile(path, f"is {kind}")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise _hostile(path, "has a name that is not UTF-8") from None
        if stat.S_ISLNK(mode):
            self.links[path] = os.readlink(name, dir_fd=folder)
        elif stat.S_ISDIR(mode):
            with _opened(folder, name, mode, os.O_DIRECTORY) as inner:
                self.folder(inner, path, depth + 1)
        else:
            self._file(folder, name, path, status)

    def _file(self, folder: int, name: str, path: str, status: os.stat_result) -> None:
        if status.st_mode & (stat.S_ISUID | stat.S_ISGID):
            raise _hostile(path, "is set-user-id or set-group-id")
        key = (status.st_dev, status.st_ino)
        self._seen[key] += 1
        if status.st_nlink > 1:
            self._counts[key] = (status.st_nlink, path)
        if self._seen[key] == 1:
            self.size += status.st_size
            if self.size > self.max_bytes:
                raise ResourceExceeded(f"the output is larger than {self.max_bytes} bytes")
            with _opened(folder, name, status.st_mode, 0) as descriptor:
                _plain(descriptor, 0o755 if status.st_mode & stat.S_IXUSR else 0o644)

    def check_hard_links(self) -> None:
        """Refuse a file with more names than were seen."""
        for key, (count, path) in self._counts.items():
            if self._seen[key] != count:
                raise _hostile(path, "is a hard link to a file outside of the output")


class _opened:
    """An entry opened without following links; made readable first, where its owner took that away."""

    def __init__(self, folder: int, name: str, mode: int, kind: int) -> None:
        needed = stat.S_IRUSR | (stat.S_IXUSR if kind else 0)
        if mode & needed != needed:
            # No race and no link here: the entry was just seen to be none, and nothing else is alive.
            os.chmod(name, stat.S_IMODE(mode) | needed, dir_fd=folder)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | kind
        self._descriptor = os.open(name, flags, dir_fd=folder)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _plain(descriptor: int, mode: int) -> None:
    for attribute in os.listxattr(descriptor):
        os.removexattr(descriptor, attribute)
    os.fchmod(descriptor, mode)


def _check_link(path: str, links: dict[str, str], prefixes: tuple[str, ...]) -> None:
    """Follow a link through all the others; what it names need not exist, but nothing on the way may leave.

    Reading the text alone would not do: with `a -> .`, the link `b -> a/../x` looks as if it stayed.
    """
    here = path.split("/")[:-1]
    todo = links[path].split("/")
    if links[path].startswith("/"):
        here, todo = [], _below(path, links[path], prefixes)
    followed = 0
    for part in _parts(todo):
        if part == "..":
            if not here:
                raise _hostile(path, f"is a link that leaves the output: {links[path]!r}")
            here.pop()
            continue
        here.append(part)
        text = links.get("/".join(here))
        if text is not None:
            followed += 1
            if followed > _MAX_LINKS:
                raise _hostile(path, "is a link that leads round in circles")
            here.pop()
            if text.startswith("/"):
                here, text = [], "/".join(_below(path, text, prefixes))
            todo[:0] = text.split("/")


def _parts(todo: list[str]) -> Iterator[str]:
    while todo:
        part = todo.pop(0)
        if part not in ("", "."):
            yield part


def _below(path: str, text: str, prefixes: tuple[str, ...]) -> list[str]:
    for prefix in prefixes:
        if text == prefix or text.startswith(prefix.rstrip("/") + "/"):
            return text[len(prefix) :].split("/")
    raise _hostile(path, f"is an absolute link: {text!r}")


def _hostile(path: str, reason: str) -> HostileOutput:
    return HostileOutput(
        f"the output's {path!a} {reason}",
        hint="remove it at the end of the build's script, or have the script make something plain of it",
    )
