"""Whether bytecode belongs to the module beside it: by the hash of the source that stands in its header (PEP 552).

What is compared is that hash alone. Whether the code after the header is what the source compiles to takes the
layer's own Python, and a rebuild: `layerlock check` does that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

_HEADER: Final = 16
MAGICS: Final = {"3.9": 3425, "3.10": 3439, "3.11": 3495, "3.12": 3531, "3.13": 3571, "3.14": 3627}
"""The number that each Python takes bytecode by, as its final releases have it (importlib's `_bootstrap_external`)."""
_SIPHASH_13: Final = 3450
"""From this number on, with Python 3.11, the hash is SipHash-1-3; before it is SipHash-2-4."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bytecode:
    """The header of a `.pyc` file.

    Args:
        magic: the number of the Python that wrote it.
        bound: what ties it to its source: a hash that is checked at import, one that is not, or time and size.
        hash: of the source, 8 bytes; empty with `time`.
        size: of the source modulo 2^32; None but with `time`.
        raw: the first 4 bytes, which key the hash.
    """

    magic: int
    bound: Literal["checked", "unchecked", "time"]
    hash: bytes
    size: int | None
    raw: bytes


def read_bytecode(content: bytes) -> Bytecode | None:
    """Read a header; None where it is none."""
    if len(content) < _HEADER or content[2:4] != b"\r\n":
        return None
    flags = int.from_bytes(content[4:8], "little")
    if flags not in (0, 1, 3):
        return None
    return Bytecode(
        magic=int.from_bytes(content[:2], "little"),
        bound={0: "time", 1: "unchecked", 3: "checked"}[flags],  # type: ignore[arg-type] # the three there are
        hash=content[8:16] if flags else b"",
        size=None if flags else int.from_bytes(content[12:16], "little"),
        raw=content[:4],
    )


def fits(code: Bytecode, source: bytes) -> bool:
    """Whether a header was written for this source."""
    if code.size is not None:
        # The time in the header is that of a file that is gone.
        return code.size == len(source) & 0xFFFFFFFF
    import siphash24  # noqa: PLC0415 - only audits need it

    function = siphash24.siphash13 if code.magic >= _SIPHASH_13 else siphash24.siphash24
    return bool(function(source, key=code.raw + bytes(12)).digest() == code.hash)


def source_of(path: str) -> tuple[str, str]:
    """Give the module that a `.pyc` is the bytecode of, and its interpreter's tag (`cpython-311`, empty without).

    `a/__pycache__/config-3.11.cpython-311.pyc` belongs to `a/config-3.11.py`: the tag is the last dotted part but
    for `opt-N`, whatever dots the module's own name has.
    """
    folder, _, base = path.rpartition("/")
    stem = base.removesuffix(".pyc")
    if folder.rpartition("/")[2] != "__pycache__":
        return f"{path.removesuffix('.pyc')}.py", ""
    above = folder.removesuffix("__pycache__")
    name, _, tag = stem.rpartition(".")
    if tag.startswith("opt-"):
        name, _, tag = name.rpartition(".")
    return f"{above}{name or stem}.py", tag if name else ""
