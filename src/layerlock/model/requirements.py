"""What a package of wheels asks for by ranges, and the wheels that were found for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from layerlock.model.decode import Name, RelativePath, Sha256, Text, item

Architecture = Literal["x86_64", "arm64"]
Glibc = Annotated[str, Text(pattern=r"2\.[0-9]{1,2}", called='a version of the C library such as "2.26"')]
Project = Annotated[
    str, Text(pattern=r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", called="a project's name as pip has them")
]
IndexFile = Annotated[
    str,
    Text(
        pattern=r"pypi:[a-z0-9][a-z0-9-]*/[A-Za-z0-9][A-Za-z0-9._+!~-]*\.whl",
        called="a wheel of an index, `pypi:PROJECT/FILE.whl`",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Without:
    """A project that is left out, though something asks for it."""

    name: Project = item("The project.")
    reason: str = item("Why what is built does without it.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirements:
    """Which wheels a package is to hold; `lock` finds them and writes `NAME.wheels.toml`."""

    wants: tuple[str, ...] = item(
        "Requirements as pip has them, without addresses; what they need comes along.",
        default=(),
        example='["fastai>=1.0.61,<2", "pandas<2"]',
    )
    pylock: RelativePath | None = item(
        "A `pylock.toml`, below `recipes/`, that another tool wrote: its wheels are taken, instead of `wants`.",
        default=None,
    )
    without: tuple[Without, ...] = item("What is left out, with what only it needs.", default=())
    architecture: Architecture = item("The processor that the wheels are for.", default="x86_64")
    glibc: Glibc = item(
        "The C library that they run on: the newest manylinux tag that is let in.", example='"2.26"'
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PinnedWheel:
    """One wheel that was found."""

    name: Name = item("The project, normalised.")
    version: str = item("Its version.")
    file: IndexFile = item("The wheel, `pypi:PROJECT/FILE.whl`.")
    sha256: Sha256 = item("The sha256 of the wheel.")
    size: int = item("Its size in bytes.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """The wheels that were found, and what was asked for then; kept in `NAME.wheels.toml`."""

    python: str = item("The Python version, `X.Y`.")
    architecture: Architecture = item("The processor.")
    glibc: Glibc = item("The C library.")
    wants: tuple[str, ...] = item("What was asked for.", default=())
    pylock: Sha256 | None = item("The sha256 of the `pylock.toml` that was read.", default=None)
    without: tuple[Name, ...] = item("What was left out.", default=())
    wheels: tuple[PinnedWheel, ...] = item("The wheels, sorted by name.")
