"""How sizes, times, results and errors are written for people; pure, and safe against hostile text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from layerlock.errors import LayerlockError

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # control sequences: colours, cursor movements
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"  # strings: titles, links, clipboard
    r"|\x1b[ -/]*[0-~]",
    re.DOTALL,
)
"""Terminal control sequences, by ECMA-48."""

_USER = re.compile(r"(?<=://)[^/@\s]*@")
_LONGEST = 4000
"""Characters of one line that are looked at: more than a terminal shows, less than what stalls a display."""


def printable(text: str) -> str:
    """Make one line of untrusted text harmless: no control sequences, no control or formatting characters.

    Formatting characters (Unicode Cf) go too: they can turn the reading direction and so forge what is read.
    """
    text = text[:_LONGEST]
    if text.isprintable():
        return text
    text = _ESCAPES.sub("", text)
    return "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text)


def last_line(text: str) -> str:
    """Give what a terminal would show last of a log line that overwrites itself by carriage returns."""
    if len(text) > _LONGEST:
        text = text[-_LONGEST:]
    shown = [printable(part).strip() for part in text.split("\r")]
    return next((part for part in reversed(shown) if part), "")


def lines(text: str) -> list[str]:
    """Split a message into harmless lines."""
    return [printable(line) for line in text.split("\n")]


def without_user(text: str) -> str:
    """Leave names and passwords out of the addresses in a text."""
    return _USER.sub("", text)


def address(url: str) -> str:
    """Write an address, harmless and without a user's name and password."""
    return without_user(printable(url))


def size(count: int) -> str:
    """Write bytes in decimal units, MB being 10^6 bytes: `1.8 GB`, `37.8 MB`, `412 kB`, `96 B`."""
    if count < 1000:
        return f"{count} B"
    if count < 999_500:
        return f"{count / 1e3:.0f} kB"
    if count < 999_950_000:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1e9:,.1f} GB"


def duration(seconds: float) -> str:
    """Write a time: `0.4 s`, `42 s`, `3 min 07 s`, `1 h 02 min`."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def count(number: int, singular: str, plural: str = "") -> str:
    """Write a number of things: `1 file`, `12 files`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def names(all_names: Sequence[str], shown: int) -> str:
    """List some names, and say how many more there are."""
    rest = len(all_names) - shown
    if rest <= 0:
        return ", ".join(all_names)
    return ", ".join(all_names[:shown]) + f" and {rest} more"


def table(rows: Iterable[Sequence[str]], *, right: frozenset[int] = frozenset(), indent: str = "") -> str:
    """Set rows in columns, those of the numbers in `right` flush right; no trailing spaces."""
    cells = [[*row] for row in rows]
    if not cells:
        return ""
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join(
        (
            indent
            + "  ".join(
                cell.rjust(width) if i in right else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
        ).rstrip()
        for row in cells
    )


def wrapped(text: str, width: int) -> list[str]:
    """Break harmless text into lines of at most `width` characters; words that are longer stay whole."""
    import textwrap  # noqa: PLC0415 - builds with nothing to do wrap nothing

    return textwrap.wrap(printable(text), width, break_long_words=False, break_on_hyphens=False) or [""]


def render_error(error: LayerlockError, *, colour: bool = False) -> str:
    """Write an error: what was wrong, where, and what to do."""
    first, *rest = lines(error.message)
    made = [f"{style('error:', '1;31', colour)} {first}", *rest]
    if error.location is not None:
        made.append(f"  at {printable(str(error.location))}")
    if error.hint:
        first, *rest = lines(error.hint)
        made += [f"{style('hint:', '1;36', colour)} {first}", *(f"      {line}" for line in rest)]
    return "\n".join(made)


def render_layer(
    *, path: str, sha256: str, zipped: int, direct_upload: int, unzipped: int, limit: int, lock: str
) -> str:
    """Write what a person wants to know of a layer zip. Sizes and Lambda's limits in bytes."""
    upload = f"of {size(direct_upload)} for a direct upload"
    if zipped > direct_upload:
        upload = f"over {size(direct_upload)}: too large for a direct upload, publish it by way of S3"
    allowed = f"of {size(limit)} ({limit:,} bytes) that Lambda allows"
    rows = (
        ("sha256", sha256),
        ("zipped", f"{size(zipped)} ({zipped:,} bytes), {upload}"),
        ("unzipped", f"{size(unzipped)} ({unzipped:,} bytes), {allowed}"),
        ("lock", lock),
    )
    return f"{path}\n{table(rows, indent='  ')}"


def style(text: str, code: str, colour: bool) -> str:
    """Write in a colour (SGR parameters) if there are to be colours."""
    return f"\x1b[{code}m{text}\x1b[0m" if colour else text
