"""Images in a registry: an environment's image pinned by digest, and pins held against the registry.

The protocol is the OCI distribution specification 1.1 ("Pulling manifests", "Pulling blobs"). Layers are fetched like
any other file, by their `oci:` names; see `origins`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from layerlock.errors import FetchError, HashMismatch, InvalidRecipe, Offline
from layerlock.events import Listener, Noted
from layerlock.io.atomic import storing, write_bytes
from layerlock.io.http import AllFailed
from layerlock.model.image import Reference, read_reference
from layerlock.model.recipe import EnvironmentRecipe, PinnedImage
from layerlock.sources.fetch import Reach
from layerlock.sources.oci_manifest import (
    ACCEPTED,
    LARGEST,
    PLATFORMS,
    Index,
    Manifest,
    read_layers,
    read_manifest,
)
from layerlock.sources.oci_tokens import base_url

_LOGIN = "of private images, `docker login` keeps the password where it is looked for (docker's config.json, `auths`)"


def pin_image(environment: EnvironmentRecipe, reach: Reach, emit: Listener) -> PinnedImage:
    """Resolve the image that an environment's recipe names: a tag to what it is now, a digest to its layers.

    Raises:
        Offline: the network was ruled out.
        FetchError: the registry does not give it.
        HashMismatch: it gives other bytes than those of the digest.
        InvalidRecipe: the recipe names no image, or one for another system.
        UnsafeArchive: it is no image that is read here.
    """
    about = environment.environment
    if about.image is None:
        raise InvalidRecipe(f"the environment `{about.name}` is not made from an image")
    if reach.offline:
        raise Offline(
            f"the image `{about.image}` of `{about.name}` has to be looked up to be pinned",
            hint="run once without `--offline`",
        )
    reference = read_reference(about.image)
    manifest, digest = _resolve(reference, about.system, reach)
    emit(Noted(name=about.name, message=f"{reference} is {digest}"))
    shown = str(reference.at(digest))
    config = _blob(reference.at(manifest.config.digest), manifest.config.size, reach)
    return PinnedImage(
        reference=about.image,
        manifest=digest,
        config=manifest.config.digest,
        layers=read_layers(manifest, config, about.system, shown),
    )


def confirm_image(environment: EnvironmentRecipe, pinned: PinnedImage, reach: Reach) -> None:
    """Hold pins that no lock has yet against what the registry has under the manifest's digest.

    Raises:
        HashMismatch: the manifest or the configuration says otherwise, or is not the pinned one.
        Offline, FetchError, InvalidRecipe, UnsafeArchive: as `pin_image`.
    """
    about = environment.environment
    if reach.offline:
        raise Offline(
            f"the pins of the image of `{about.name}` are new and have to be held against the registry",
            hint="run once without `--offline`",
        )
    reference = read_reference(pinned.reference).at(pinned.manifest)
    manifest = read_manifest(_manifest(reference, reach), str(reference))
    if not isinstance(manifest, Manifest):
        raise _pinned_otherwise(about.name, "the manifest is an index of several")
    if manifest.config.digest != pinned.config:
        raise _pinned_otherwise(about.name, f"the configuration is {manifest.config.digest}")
    config = _blob(reference.at(pinned.config), manifest.config.size, reach)
    layers = read_layers(manifest, config, about.system, str(reference))
    if layers != pinned.layers:
        raise _pinned_otherwise(about.name, "its layers are others")


def write_image(environment: EnvironmentRecipe, place: Path, reach: Reach, emit: Listener) -> None:
    """Pin an environment's image anew and write the pins to `place`, `NAME.image.toml`.

    Raises:
        LayerlockError: as `pin_image`.
    """
    pinned = pin_image(environment, reach, emit)
    about = environment.environment
    platform = f"linux/{PLATFORMS[about.system][0]}"
    lines = [
        f"# Generated from {pinned.reference}: the image for {platform}, the lowest layer first.",
        "",
        "[image]",
        # JSON's quoting of these texts is TOML's too.
        *(f"{key} = {json.dumps(getattr(pinned, key))}" for key in ("reference", "manifest", "config")),
        "layers = [",
    ]
    for layer in pinned.layers:
        texts = (
            f"{key} = {json.dumps(getattr(layer, key))}"
            for key in ("digest", "diff_id", "size", "media_type")
        )
        lines.append(f"  {{ {', '.join(texts)} }},")
    lines.append("]")
    with storing(f"write {place}"):
        write_bytes(place, "\n".join([*lines, ""]).encode())


def _resolve(reference: Reference, system: str, reach: Reach) -> tuple[Manifest, str]:
    """Give the manifest of an image for a system, and its digest."""
    data = _manifest(reference, reach)
    found = read_manifest(data, str(reference))
    if isinstance(found, Index):
        chosen = found.choose(system, str(reference))
        reference = reference.at(chosen.digest)
        data = _manifest(reference, reach)
        found = read_manifest(data, str(reference))
        if isinstance(found, Index):
            raise InvalidRecipe(f"{reference} is an index within an index, which is not read here")
    return found, _digest(data)


def _manifest(reference: Reference, reach: Reach) -> bytes:
    where = reference.digest or reference.tag or "latest"
    data = _read(reference, f"manifests/{where}", LARGEST, reach, {"Accept": ", ".join(ACCEPTED)})
    if reference.digest is not None and _digest(data) != reference.digest:
        raise _other_bytes(reference, _digest(data))
    return data


def _blob(reference: Reference, size: int, reach: Reach) -> bytes:
    """Read a small blob, such as an image's configuration."""
    data = _read(reference, f"blobs/{reference.digest}", LARGEST, reach, {})
    if _digest(data) != reference.digest or len(data) != size:
        raise _other_bytes(reference, _digest(data))
    return data


def _read(reference: Reference, path: str, limit: int, reach: Reach, headers: dict[str, str]) -> bytes:
    url = f"{base_url(reference.registry)}/{reference.repository}/{path}"
    try:
        return reach.fetcher.read(url, limit=limit, headers=headers, permit=reach.origins.permit(reference))
    except AllFailed as error:
        reasons = "; ".join(dict.fromkeys(reason for _, reason in error.reasons))
        raise FetchError(f"{reference}: the registry does not give it ({reasons})", hint=_LOGIN) from None


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _other_bytes(reference: Reference, found: str) -> HashMismatch:
    return HashMismatch(
        f"{reference}: the registry gives other bytes, of the digest {found}",
        hint="do not use this registry until it is known why",
    )


def _pinned_otherwise(name: str, problem: str) -> HashMismatch:
    return HashMismatch(
        f"the pins of the image of `{name}` are not what its manifest says: {problem}",
        hint=f"pin it anew: nox -s lock -- LAYER --upgrade {name}",
    )
