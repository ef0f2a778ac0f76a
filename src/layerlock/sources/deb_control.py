"""What a .deb says of itself: the source package that it was built from (Debian Policy, section 5.6.1)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from layerlock.errors import UnsafeArchive
from layerlock.io.atomic import storing
from layerlock.io.decompress import Damaged, pieces
from layerlock.io.tarstream import Refused, TarReader, ar_member

_FIELD: Final = re.compile(r"^([A-Za-z-]+):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_LIMIT: Final = 4 << 20
_SOURCE: Final = re.compile(r"(\S+)(?:\s+\(([^)\s]+)\))?")


def source_of(deb: Path) -> tuple[str, str]:
    """Give name and version of the source package of a .deb.

    `Source` is left out where both are the binary's own, and has no version where only the name differs. A binary
    that was only built again (`+b1`) states the source's version in brackets.

    Raises:
        UnsafeArchive: the file is damaged, or no .deb.
    """
    fields = _control(deb)
    named = _SOURCE.fullmatch(fields.get("Source", ""))
    if named is None:
        return fields["Package"], fields["Version"]
    return named[1], named[2] or fields["Version"]


def _control(deb: Path) -> dict[str, str]:
    try:
        with storing(f"read {deb.name}"), deb.open("rb") as file:
            _, size = ar_member(file, "control.tar")
            reader = TarReader(pieces(file, size))
            for member in reader:
                if member.name in (b"./control", b"control"):
                    data = bytearray()
                    for piece in reader.data():
                        data += piece
                        if len(data) > _LIMIT:
                            raise Damaged("its control file is too large")
                    fields = dict(_FIELD.findall(data.decode("utf-8", "replace")))
                    if "Package" in fields and "Version" in fields:
                        return fields
    except (Damaged, Refused) as error:
        raise UnsafeArchive(f"{deb.name} is damaged, or no .deb: {error}") from error
    raise UnsafeArchive(f"{deb.name} is no .deb: it has no control file")
