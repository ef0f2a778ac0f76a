"""Where pip looks for packages: its configuration files and variables, read as pip reads them.

The order of files and the meaning of the keys are those of pip's manual, "Configuration". Nothing here asks pip
itself: the driver may run where there is none.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT: str | None = None
"""Stands for the index that `pypi_simple` knows by itself."""

_SECTIONS = ("global", "install")
_TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})


@dataclass(frozen=True, kw_only=True, slots=True)
class PipConfiguration:
    """Indexes in the order in which they are asked, and places that are looked through for files.

    An index is the address of a simple API; None is the one that `pypi_simple` knows by itself. A place is a
    folder or the address of a page of links. `certificates` is a file of the authorities that pip trusts.
    """

    indexes: tuple[str | None, ...] = (DEFAULT,)
    places: tuple[str, ...] = ()
    certificates: str | None = None


def read_pip_configuration(
    variables: Mapping[str, str], *, root: Path = Path("/"), prefix: Path | None = None
) -> PipConfiguration:
    """Read pip's configuration.

    Args:
        variables: the environment (`PIP_INDEX_URL` and its kin, `PIP_CONFIG_FILE`, `HOME`, `XDG_CONFIG_HOME`).
        root: the folder below which the system's own files stand.
        prefix: the virtual environment whose `pip.conf` counts; this interpreter's if left out.

    A file that cannot be read or parsed counts as absent: pip itself will say what is wrong with it.
    """
    merged: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    if variables.get("PIP_CONFIG_FILE") != os.devnull:
        for path in _files(variables, root, prefix or Path(sys.prefix)):
            parser = _parse(path)
            for section in _SECTIONS:
                if parser is not None and parser.has_section(section):
                    merged[section] |= {_key(k): v for k, v in parser.items(section) if v}
    values: dict[str, str] = {}
    for section in _SECTIONS:
        values |= merged[section]
    for name, value in variables.items():
        if name.startswith("PIP_") and value:
            values[_key(name.removeprefix("PIP_"))] = value
    places = tuple(values.get("find-links", "").split())
    if values.get("no-index", "").lower() in _TRUE:
        return PipConfiguration(indexes=(), places=places)
    first = values.get("index-url") or values.get("pypi-url") or DEFAULT
    return PipConfiguration(
        indexes=(first, *values.get("extra-index-url", "").split()),
        places=places,
        certificates=values.get("cert"),
    )


def _files(variables: Mapping[str, str], root: Path, prefix: Path) -> Iterator[Path]:
    """Give the places of configuration files, the one that overrules the others last."""
    for folder in reversed(variables.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")):
        if folder:
            yield root / folder.lstrip("/") / "pip" / "pip.conf"
    yield root / "etc" / "pip.conf"
    home = variables.get("HOME")
    if home:
        yield Path(home) / ".pip" / "pip.conf"
    own = variables.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    if own:
        yield Path(own) / "pip" / "pip.conf"
    yield prefix / "pip.conf"
    if named := variables.get("PIP_CONFIG_FILE"):
        yield Path(named)


def _parse(path: Path) -> configparser.RawConfigParser | None:
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except (OSError, UnicodeDecodeError, configparser.Error):
        return None
    return parser


def _key(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")
