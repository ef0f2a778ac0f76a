"""Work that the driver does itself, by numbered functions.

A number stands in the hashes of every derivation that uses it. What a function makes of the same input never
changes under one number: a change gets the next number, and the old function stays for old locks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from layerlock.errors import InvalidRecipe
from layerlock.io.archives import unpack_deb
from layerlock.model.derivation import Derivation, Transform
from layerlock.sources.place import copy_tree

Paths = Mapping[str, Path]
Parameters = Mapping[str, Any]


def debian_root(
    derivation: Derivation, parameters: Parameters, inputs: Paths, sources: Paths, out: Path
) -> None:
    """Unpack Debian packages into one root and make its links; no maintainer script is run."""
    del inputs
    for source in derivation.sources:
        unpack_deb(sources[source.key], out)
    for place, target in sorted(parameters["links"].items()):
        link = out / PurePosixPath(place)
        parent = link.parent.resolve()
        if not parent.is_relative_to(out.resolve()) or link.is_symlink() or link.exists():
            raise InvalidRecipe(f"the link `{place}` of {derivation.name} is in the way or leaves the root")
        parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def glibc_floor(
    derivation: Derivation, parameters: Parameters, inputs: Paths, sources: Paths, out: Path
) -> None:
    """Copy a root and put stubs in place of its C library's development names."""
    from layerlock.build.floor import apply_floor  # noqa: PLC0415 - reads ELF files, which few builds need

    del sources
    (base,) = (inputs[item.name] for item in derivation.inputs)
    copy_tree(base, out)
    apply_floor(out, parameters["glibc"], tuple(parameters["libraries"]))


def perform(derivation: Derivation, transform: Transform, inputs: Paths, sources: Paths, out: Path) -> None:
    """Carry out a transform into the empty folder `out`."""
    _TRANSFORMS[transform.name](derivation, transform.parameters, inputs, sources, out)


_TRANSFORMS: dict[str, Callable[[Derivation, Parameters, Paths, Paths, Path], None]] = {
    "debian-root/1": debian_root,
    "glibc-floor/1": glibc_floor,
}
