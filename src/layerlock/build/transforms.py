"""Work that the driver does itself, by numbered functions.

A number stands in the hashes of every derivation that uses it. What a function makes of the same input never
changes under one number: a change gets the next number, and the old function stays for old locks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from layerlock.errors import InvalidRecipe
from layerlock.io.archives import unpack_debs
from layerlock.model.derivation import Derivation, Transform
from layerlock.sources.place import copy_tree

Paths = Mapping[str, Path]
Parameters = Mapping[str, Any]


def debian_root(
    derivation: Derivation, parameters: Parameters, inputs: Paths, sources: Paths, out: Path
) -> None:
    """Unpack Debian packages into one root and make its links; no maintainer script is run."""
    del inputs
    unpack_debs([sources[source.key] for source in derivation.sources], out)
    _link(derivation, parameters["links"], out)


def oci_root(
    derivation: Derivation, parameters: Parameters, inputs: Paths, sources: Paths, out: Path
) -> None:
    """Lay the layers of an image over each other, the lowest first, and make the recipe's links."""
    from layerlock.io.layers import Layer, unpack_layers  # noqa: PLC0415 - few builds need it

    del inputs
    pairs = zip(derivation.sources, parameters["diff_ids"], strict=True)
    layers = tuple(
        Layer(name=source.key, path=sources[source.key], sha256=diff_id.removeprefix("sha256:"))
        for source, diff_id in pairs
    )
    unpack_layers(layers, out)
    _link(derivation, parameters["links"], out)


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


def _link(derivation: Derivation, links: Mapping[str, str], out: Path) -> None:
    """Make the links of a recipe (place: target) in a root."""
    for place, target in sorted(links.items()):
        link = out / PurePosixPath(place)
        parent = link.parent.resolve()
        if not parent.is_relative_to(out.resolve()) or link.is_symlink() or link.exists():
            raise InvalidRecipe(f"the link `{place}` of {derivation.name} is in the way or leaves the root")
        parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


_TRANSFORMS: dict[str, Callable[[Derivation, Parameters, Paths, Paths, Path], None]] = {
    "debian-root/1": debian_root,
    "glibc-floor/1": glibc_floor,
    "oci-root/1": oci_root,
}
