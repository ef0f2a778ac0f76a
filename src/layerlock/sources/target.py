"""What wheels have to fit: a Python, a processor and a C library, none of which need be this host's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from packaging.markers import Environment
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.tags import Tag, compatible_tags, cpython_tags

from layerlock.model.requirements import Architecture

_MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}
"""What wheels and markers call the processors."""
_OLDEST = {"x86_64": 5, "arm64": 17}
"""The oldest `manylinux_2_N` of each processor (PEP 600)."""
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""Older names of the same tags."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A Python `X.Y`, a processor, and a version of glibc."""

    python: str
    architecture: Architecture
    glibc: str

    def __str__(self) -> str:
        return f"Python {self.python} on {self.architecture} with glibc {self.glibc}"

    @cached_property
    def tags(self) -> tuple[Tag, ...]:
        """The tags of wheels that fit, best first, in the order in which pip prefers them."""
        major, minor = map(int, self.python.split("."))
        interpreter = f"cp{major}{minor}"
        platforms = tuple(self._platforms())
        return (
            *cpython_tags((major, minor), abis=(interpreter,), platforms=platforms),
            *compatible_tags((major, minor), interpreter=interpreter, platforms=platforms),
        )

    @property
    def environment(self) -> Environment:
        """What environment markers see. The Python is the last of its series, as Lambda updates its own."""
        return {
            "implementation_name": "cpython",
            "implementation_version": self._full,
            "os_name": "posix",
            "platform_machine": _MACHINES[self.architecture],
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": self._full,
            "python_version": self.python,
            "sys_platform": "linux",
        }

    @property
    def marker(self) -> str:
        """The environment marker that tells this target from others, as far as markers can."""
        return (
            f'sys_platform == "linux" and platform_machine == "{_MACHINES[self.architecture]}" '
            'and implementation_name == "cpython"'
        )

    def admits(self, requires_python: str | None) -> bool:
        """Say whether a `Requires-Python` lets this Python in; one that cannot be read forbids nothing, as in pip."""
        if not requires_python:
            return True
        try:
            return SpecifierSet(requires_python).contains(self._full, prereleases=True)
        except InvalidSpecifier:
            return True

    @property
    def _full(self) -> str:
        return f"{self.python}.99"

    def _platforms(self) -> Iterator[str]:
        machine = _MACHINES[self.architecture]
        # First, as in packaging: an index that has such wheels has them on purpose.
        yield f"linux_{machine}"
        for minor in range(int(self.glibc.partition(".")[2]), _OLDEST[self.architecture] - 1, -1):
            yield f"manylinux_2_{minor}_{machine}"
            if minor in _LEGACY:
                yield f"{_LEGACY[minor]}_{machine}"
