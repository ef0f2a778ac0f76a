"""What a wheel's file name says."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from layerlock.errors import InvalidRecipe


@dataclass(frozen=True, kw_only=True, slots=True)
class WheelName:
    """A wheel's project (normalised), version and compatibility tags (`cp311-cp311-manylinux_2_17_x86_64`)."""

    project: str
    version: str
    tags: tuple[str, ...]


def read_wheel_name(filename: str) -> WheelName:
    """Take a wheel's file name apart.

    Raises:
        InvalidRecipe: it is none.
    """
    try:
        project, version, _, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename:
        raise InvalidRecipe(
            f"`{filename}` is not the file name of a wheel", hint="it is NAME-VERSION-PYTHON-ABI-PLATFORM.whl"
        ) from None
    return WheelName(project=project, version=str(version), tags=tuple(sorted(map(str, tags))))
