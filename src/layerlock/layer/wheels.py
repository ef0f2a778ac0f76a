"""Which wheel a layer's file came from, and what the wheel's name promised of it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

from layerlock.errors import AbiViolation

_LEGACY = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_TAG = re.compile(r"(manylinux(?:1|2010|2014))_|manylinux_(\d+)_(\d+)_")
_ASKED = re.compile(r"\bGLIBC_(\d+)\.(\d+)")


def name_wheel(error: AbiViolation, wheels: Mapping[str, Path]) -> None:
    """Tell in an error's hint which of some wheels (file name: place) its file is from, if it is from one.

    Where the file asks for a newer C library than the wheel's name says, that is told too: the name is wrong.
    """
    name = wheel_of(error.file, wheels)
    if name is None:
        return
    hint = f"the file is from the wheel {name}"
    promised = promised_glibc(name)
    asked = max(((int(major), int(minor)) for major, minor in _ASKED.findall(error.message)), default=None)
    if promised is not None and asked is not None and asked > promised:
        hint += (
            f", whose name promises that glibc {promised[0]}.{promised[1]} is enough; "
            f"it asks for {asked[0]}.{asked[1]}: pin another release, or tell its makers"
        )
    error.hint = f"{hint}; {error.hint}" if error.hint else hint


def wheel_of(file: str, wheels: Mapping[str, Path]) -> str | None:
    """Give the name of the wheel that holds a file of a layer; None if none does, or more than one."""
    found = []
    for name, path in wheels.items():
        with zipfile.ZipFile(path) as archive:
            if any(f"/{file}".endswith(f"/{member}") for member in archive.namelist()):
                found.append(name)
    return found[0] if file and len(found) == 1 else None


def promised_glibc(wheel: str) -> tuple[int, int] | None:
    """Give the glibc that is enough for a wheel by its file name: the oldest of its tags; None if it says none."""
    levels = [
        _LEGACY[legacy] if legacy else (int(major), int(minor))
        for legacy, major, minor in _TAG.findall(wheel)
    ]
    return min(levels, default=None)
