"""Reading tar (v7, ustar, GNU, pax) and ar, member by member, from a stream.

Python's tarfile is not used here: how a tree comes out of an archive counts in derivation hashes, and
tarfile's treatment of odd headers changes between Python versions (it also takes a damaged header for the
end). Formats: POSIX.1-2017 "pax" (ustar and extended headers), GNU tar manual "Basic Tar Format", ar(5).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from layerlock.io.decompress import PIECE, Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK: Final = 512
_LONGEST_HEADER: Final = 1 << 20
_BLANK: Final = bytes(_BLOCK)


class Kind(enum.Enum):
    """What a member is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symbolic link"
    HARDLINK = "hard link"
    SPECIAL = "device or pipe"
    """A device or a pipe, which only a reader that asks for them is shown."""


_KINDS: Final = {
    b"\0": Kind.FILE,
    b"0": Kind.FILE,
    b"7": Kind.FILE,
    b"1": Kind.HARDLINK,
    b"2": Kind.SYMLINK,
    b"5": Kind.DIRECTORY,
}
_SPECIAL: Final = frozenset({b"3", b"4", b"6"})
_REFUSED: Final = {b"3": "a character device", b"4": "a block device", b"6": "a pipe", b"S": "a sparse file"}


class Refused(Exception):
    """A member is of a kind that is never unpacked; `name` is the member's."""

    def __init__(self, name: bytes, reason: str) -> None:
        super().__init__(reason)
        self.name = name
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """One member; `link` is a link's target as written, `size` the bytes of data that follow, `mode` its bits."""

    name: bytes
    kind: Kind
    executable: bool
    link: bytes
    size: int
    mode: int


class Stream:
    """Bytes by count, from pieces of any size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._buffer = b""
        self._position = 0

    def read(self, count: int) -> bytes:
        """Return exactly `count` bytes, or fewer where the stream ends."""
        start = self._position
        end = start + count
        if end <= len(self._buffer):
            self._position = end
            return self._buffer[start:end]
        parts = [self._buffer[start:]]
        missing = count - len(parts[0])
        self._buffer, self._position = b"", 0
        while missing > 0:
            piece = next(self._pieces, None)
            if piece is None:
                break
            parts.append(piece[:missing])
            if len(piece) > missing:
                self._buffer, self._position = piece, missing
            missing -= len(piece)
        return b"".join(parts)

    def views(self, count: int) -> Iterator[memoryview]:
        """Yield the next `count` bytes, or fewer where the stream ends, without copying them out of the pieces."""
        while count > 0:
            if self._position == len(self._buffer):
                piece = next(self._pieces, None)
                if piece is None:
                    return
                self._buffer, self._position = piece, 0
            start = self._position
            self._position = min(start + count, len(self._buffer))
            count -= self._position - start
            yield memoryview(self._buffer)[start : self._position]


class TarReader:
    """Iterates over members; `data()` yields the current one's contents, and may be left unread.

    With `special`, devices and pipes come as members instead of being refused.
    """

    def __init__(self, pieces: Iterator[bytes], *, special: bool = False) -> None:
        self._stream = Stream(pieces)
        self._special = special
        self._left = 0
        self._padding = 0

    def data(self) -> Iterator[bytes]:
        """Yield the current member's contents. Raises Damaged where they end early."""
        while self._left:
            piece = self._stream.read(min(self._left, PIECE))
            if not piece:
                raise Damaged("it ends early")
            self._left -= len(piece)
            yield piece

    def __iter__(self) -> Iterator[Member]:
        """Yield every member. Raises Damaged, and Refused for devices, pipes and sparse files."""
        extended: dict[str, bytes] = {}
        while True:
            for _ in self.data():
                pass
            self._stream.read(self._padding)
            self._padding = 0
            header = self._stream.read(_BLOCK)
            if not header or header == _BLANK:
                return
            kind = header[156:157]
            size = _number(_checked(header)[124:136])
            if kind in (b"x", b"g", b"L", b"K"):
                extended |= self._extension(kind, size)
                continue
            yield self._member(header, kind, size, extended)
            extended = {}

    def _extension(self, kind: bytes, size: int) -> dict[str, bytes]:
        if size > _LONGEST_HEADER:
            raise Damaged(f"an extended header claims {size} bytes")
        body = self._stream.read(size + -size % _BLOCK)
        if len(body) < size:
            raise Damaged("it ends early")
        body = body[:size]
        if kind == b"L":
            return {"path": body.rstrip(b"\0")}
        if kind == b"K":
            return {"linkpath": body.rstrip(b"\0")}
        records = _pax_records(body)
        if kind == b"g":
            # `git archive` keeps the commit as a comment here. Names for all members at once are not a thing
            # that any archiver writes.
            if any(key in records for key in ("path", "linkpath", "size")):
                raise Damaged("a global header names a path")
            return {}
        return records

    def _member(self, header: bytes, kind: bytes, size: int, extended: dict[str, bytes]) -> Member:
        name = header[:100].split(b"\0", 1)[0]
        if header[257:263] == b"ustar\0" and (prefix := header[345:500].split(b"\0", 1)[0]):
            name = prefix + b"/" + name
        name = extended.get("path", name)
        link = extended.get("linkpath", header[157:257].split(b"\0", 1)[0])
        if "size" in extended:
            size = _decimal(extended["size"])
        if any(key.startswith("GNU.sparse.") for key in extended):
            raise Refused(name, "a sparse file")
        if kind in _SPECIAL and self._special:
            return Member(name=name, kind=Kind.SPECIAL, executable=False, link=b"", size=0, mode=0)
        if kind not in _KINDS:
            raise Refused(name, _REFUSED.get(kind, f"a member of unknown kind {kind!r}"))
        found = _KINDS[kind]
        if found is Kind.FILE and name.endswith(b"/"):
            found = Kind.DIRECTORY  # v7 archives mark directories only so
        if found is not Kind.FILE and size:
            # Some archivers state the linked file's size on a hard link, without data; others append the
            # data. Only the former is read: after a pax header of its own, size 0 is what everyone writes.
            if found is not Kind.HARDLINK:
                raise Damaged(f"a {found.value} has {size} bytes of data")
            size = 0
        self._left = size
        self._padding = -size % _BLOCK
        mode = _number(header[100:108])
        executable = bool(mode & 0o100)
        return Member(name=name, kind=found, executable=executable, link=link, size=size, mode=mode)


def _checked(header: bytes) -> bytes:
    if len(header) < _BLOCK:
        raise Damaged("it ends early")
    # The sum counts its own eight bytes as spaces.
    if sum(header) - sum(header[148:156]) + 8 * 32 != _number(header[148:156]):
        raise Damaged("a tar header's checksum is wrong")
    return header


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        # GNU's base 256 for what octal digits cannot hold; the highest bit is the mark, the next the sign.
        if field[0] != 0x80:
            raise Damaged("a number in a tar header is out of range")
        return int.from_bytes(field[1:], "big")
    digits = field.split(b"\0", 1)[0].strip(b" ")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise Damaged("a number in a tar header is not octal")
    return int(digits, 8)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 18:
        raise Damaged("a number in a pax header is not one")
    return int(text)


def _pax_records(body: bytes) -> dict[str, bytes]:
    """Parse records of the form `LENGTH KEY=VALUE\\n`, the length counting the whole record."""
    records: dict[str, bytes] = {}
    position = 0
    while position < len(body):
        space = body.find(b" ", position, position + 12)
        if space < 0:
            raise Damaged("a pax header is malformed")
        length = _decimal(body[position:space])
        end = position + length
        key, equals, value = body[space + 1 : end - 1].partition(b"=")
        if end <= space + 1 or end > len(body) or body[end - 1 : end] != b"\n" or not equals:
            raise Damaged("a pax header is malformed")
        records[key.decode("utf-8", "replace")] = value
        position = end
    return records


def ar_member(file: BinaryIO, prefix: str) -> tuple[str, int]:
    """Advance `file`, an ar archive (a .deb), to the data of the first member named `prefix…`: its name and
    size.

    Raises Damaged where there is none.
    """
    if file.read(8) != b"!<arch>\n":
        raise Damaged("it is no ar archive")
    while True:
        header = file.read(60)
        if not header:
            raise Damaged(f"it has no member {prefix}…")
        if len(header) < 60 or header[58:] != b"`\n":
            raise Damaged("an ar header is malformed")
        name = header[:16].decode("ascii", "replace").rstrip(" ").rstrip("/")
        size = _decimal(header[48:58].rstrip(b" "))
        if name.startswith(prefix):
            return name, size
        file.seek(size + size % 2, 1)
