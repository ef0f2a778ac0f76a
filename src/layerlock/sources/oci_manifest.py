"""What manifests and configurations of images say, read with suspicion: they decide what is fetched and believed.

Formats: the OCI image specification 1.1 (index, manifest, configuration) and docker's schema 2, which it was made from.
A document is known by its shape, not by the media type that a server gives it: the two may disagree, and one that fits
two shapes is refused (CVE-2021-41190).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from layerlock.errors import InvalidRecipe, UnsafeArchive
from layerlock.model.recipe import ImageLayer

ACCEPTED: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""Media types of the documents that are read here, as a registry is told them."""

PLATFORMS: Final = {"x86_64-linux": ("amd64", ("",)), "aarch64-linux": ("arm64", ("", "v8"))}
"""The architecture, and its variants, by which images call a system."""

LARGEST: Final = 4 << 20
"""What the distribution specification lets a registry limit manifests to, in bytes."""

_CONFIGURATIONS: Final = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
_LAYERS: Final = frozenset(
    {
        "application/vnd.oci.image.layer.v1.tar",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.docker.image.rootfs.diff.tar",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
    }
)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_LAYERS: Final = 512
_LARGEST_LAYER: Final = 16 << 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """What a document says of another one, or of a blob."""

    digest: str
    size: int
    media_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """A list of the same image's manifests: architecture, variant and descriptor of those for Linux, in order."""

    manifests: tuple[tuple[str, str, Descriptor], ...]

    def choose(self, system: str, shown: str) -> Descriptor:
        """Give the manifest for a system.

        Raises:
            InvalidRecipe: there is none.
        """
        architecture, variants = PLATFORMS[system]
        for wanted in variants:
            for name, variant, descriptor in self.manifests:
                if (name, variant) == (architecture, wanted):
                    return descriptor
        has = dict.fromkeys(f"{name}/{v}" if v else name for name, v, _ in self.manifests)
        raise InvalidRecipe(
            f"{shown} has no image for {system} (it has: {', '.join(has) or 'none for Linux'})"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """One image: its configuration, and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


def read_manifest(data: bytes, shown: str) -> Index | Manifest:
    """Read an index or a manifest.

    Raises:
        UnsafeArchive: it is neither, or holds what is not taken; `shown` is what the message calls it.
    """
    document = _document(data, shown)
    if document.get("schemaVersion") == 1 or "fsLayers" in document:
        raise UnsafeArchive(
            f"{shown} has a manifest of docker's schema 1, which says too little to verify an image",
            hint="push the image anew with a current engine",
        )
    is_index, is_manifest = "manifests" in document, "layers" in document or "config" in document
    if document.get("schemaVersion") != 2 or is_index == is_manifest:
        raise UnsafeArchive(f"{shown} is neither an image's manifest nor an index of them")
    if is_index:
        return Index(manifests=tuple(_listed(document, shown)))
    config = _descriptor(document.get("config"), f"{shown}: config")
    if config.media_type not in _CONFIGURATIONS:
        raise UnsafeArchive(f"{shown} is no image: its configuration is of the type {config.media_type!r}")
    layers = _list(document, "layers", shown)
    if not layers or len(layers) > _MOST_LAYERS:
        raise UnsafeArchive(f"{shown} has {len(layers)} layers; 1 to {_MOST_LAYERS} are read")
    return Manifest(
        config=config, layers=tuple(_layer(layer, f"{shown}: layer {n}") for n, layer in enumerate(layers, 1))
    )


def read_layers(manifest: Manifest, config: bytes, system: str, shown: str) -> tuple[ImageLayer, ...]:
    """Put a manifest's layers and the hashes in its configuration together.

    Raises:
        InvalidRecipe: the image is for another system.
        UnsafeArchive: the two do not belong together, or the configuration cannot be read.
    """
    document = _document(config, f"{shown}: its configuration")
    architecture, variants = PLATFORMS[system]
    made_for = (document.get("os"), document.get("architecture"), document.get("variant") or "")
    if made_for[:2] != ("linux", architecture) or (architecture == "arm64" and made_for[2] not in variants):
        named = "/".join(str(part) for part in made_for if part)
        raise InvalidRecipe(
            f"{shown} is an image for {named}, and the environment is for {system}",
            hint="name the image of the environment's system, or change `system`",
        )
    rootfs = document.get("rootfs")
    listed = rootfs.get("diff_ids") if isinstance(rootfs, dict) and rootfs.get("type") == "layers" else None
    if not isinstance(listed, list) or not all(_is_digest(diff_id) for diff_id in listed):
        raise UnsafeArchive(f"{shown}: its configuration does not give the sha256 of each layer")
    if len(listed) != len(manifest.layers):
        raise UnsafeArchive(
            f"{shown}: its manifest has {len(manifest.layers)} layers, its configuration {len(listed)}"
        )
    return tuple(
        ImageLayer(digest=layer.digest, diff_id=diff_id, size=layer.size, media_type=layer.media_type)
        for layer, diff_id in zip(manifest.layers, listed, strict=True)
    )


def _listed(document: Mapping[str, Any], shown: str) -> Iterator[tuple[str, str, Descriptor]]:
    for number, entry in enumerate(_list(document, "manifests", shown), 1):
        descriptor = _descriptor(entry, f"{shown}: manifest {number}")
        platform = entry.get("platform")
        if isinstance(platform, dict) and platform.get("os") == "linux":
            yield str(platform.get("architecture", "")), str(platform.get("variant") or ""), descriptor


def _layer(entry: object, shown: str) -> Descriptor:
    layer = _descriptor(entry, shown)
    foreign = "nondistributable" in layer.media_type or "foreign" in layer.media_type
    if foreign or (isinstance(entry, dict) and entry.get("urls")):
        raise UnsafeArchive(
            f"{shown} is kept elsewhere than in the registry (a foreign layer), which is refused"
        )
    if layer.media_type.endswith("zstd"):
        raise UnsafeArchive(
            f"{shown} is compressed with zstd, which is not read here",
            hint="use an image whose layers are compressed with gzip",
        )
    if layer.media_type not in _LAYERS:
        raise UnsafeArchive(f"{shown} is of the type {layer.media_type!r}, which is not read here")
    if layer.size > _LARGEST_LAYER:
        raise UnsafeArchive(f"{shown} has {layer.size} bytes; at most {_LARGEST_LAYER} are taken")
    return layer


def _descriptor(entry: object, shown: str) -> Descriptor:
    if isinstance(entry, dict):
        digest, size, kind = entry.get("digest"), entry.get("size"), entry.get("mediaType")
        if isinstance(digest, str) and not _is_digest(digest):
            raise UnsafeArchive(f"{shown} has the digest {digest[:80]!r}; only sha256 is taken")
        if isinstance(digest, str) and isinstance(size, int) and not isinstance(size, bool) and size >= 0:
            return Descriptor(digest=digest, size=size, media_type=kind if isinstance(kind, str) else "")
    raise UnsafeArchive(f"{shown} has no digest or no size")


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _list(document: Mapping[str, Any], key: str, shown: str) -> list[Any]:
    value = document.get(key)
    if not isinstance(value, list):
        raise UnsafeArchive(f"{shown}: `{key}` is no list")
    return value


def _document(data: bytes, shown: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UnsafeArchive(f"{shown} is no JSON document of an image")
    return document
