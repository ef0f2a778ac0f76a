"""What things are called outside of this project: package URLs, made of what recipes and pins state alone."""

from __future__ import annotations

from typing import Final

from packageurl import PackageURL
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from layerlock.model.recipe import Deb, EnvironmentRecipe

_RELEASES: Final = {"buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14"}
"""Debian's releases by the name of their suite."""


def debian_release(suite: str) -> str | None:
    """Give the number of a Debian release; None for a suite that has none, such as `sid`."""
    return _RELEASES.get(suite)


def debian_purl(environment: EnvironmentRecipe, deb: Deb) -> str:
    """Give the package URL of a pinned Debian package: `pkg:deb/debian/NAME@VERSION?arch=...&distro=SUITE`.

    Name, version and architecture are those of the file's name; the purl specification has the type `deb`.
    """
    about = environment.environment
    qualifiers = {"arch": architecture(deb)} | ({"distro": about.suite} if about.suite else {})
    return PackageURL("deb", about.archive, deb.name, deb.version, qualifiers).to_string()


def architecture(deb: Deb) -> str:
    """Give a package's architecture, the last part of its file's name (Debian Policy has `NAME_VERSION_ARCH.deb`)."""
    return deb.path.removesuffix(".deb").rpartition("_")[2]


def debian_source(deb: Deb) -> str:
    """Give the source package of a Debian package, which is what Debian's advisories name.

    A pool's folders are called after the source packages: `pool/main/g/gcc-10/libgfortran5_..._amd64.deb`.
    """
    return deb.path.rpartition("/")[0].rpartition("/")[2]


def registry_purl(url: str) -> tuple[str, str, str] | None:
    """Give name, version and package URL of a file of the Python index, None for anything else.

    A recipe's `pypi:PROJECT/FILE` states all of it; the file's name is read as the packaging specifications say.
    """
    if not url.startswith("pypi:"):
        return None
    project, _, file = url.removeprefix("pypi:").partition("/")
    try:
        version = parse_wheel_filename(file)[1] if file.endswith(".whl") else parse_sdist_filename(file)[1]
    except (InvalidWheelFilename, InvalidSdistFilename):
        return None
    name = canonicalize_name(project)
    return project, str(version), PackageURL("pypi", None, name, str(version)).to_string()


def parsed(purl: str) -> PackageURL | None:
    """Read a package URL; None where it is none."""
    try:
        return PackageURL.from_string(purl)
    except ValueError:
        return None
