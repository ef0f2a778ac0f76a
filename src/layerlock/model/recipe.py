"""Recipes of packages and environments, as people write them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from layerlock.model.contents import Part, Statement
from layerlock.model.decode import (
    AbsolutePath,
    Bytes,
    Commit,
    ImageDigest,
    ImageReference,
    Name,
    RelativePath,
    Seconds,
    Sha256,
    TreeHash,
    Variable,
    item,
)
from layerlock.model.requirements import Requirements, Resolved


@dataclass(frozen=True, kw_only=True, slots=True)
class TarballSource:
    """A tar archive, unpacked."""

    kind: Literal["tarball"] = item("What the source is.")
    name: Name | None = item("Its folder below `/build`; the package's name if left out.", default=None)
    urls: tuple[str, ...] = item("Addresses of the same bytes, tried in order; the true origin first.")
    sha256: Sha256 = item("The sha256 of the file.")
    strip: int = item("Leading folders of the archive's names to drop.", default=1)
    folder: RelativePath | None = item(
        "The folder of the source that is the tree; all of it if left out.", default=None
    )
    allows: str = item(
        "The releases that `update` may move to and `audit` tells of, a version specifier as pip has them; those of "
        "the same minor version if left out.",
        default="",
        example='">=1.24,<2"',
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ZipSource:
    """A zip archive, unpacked."""

    kind: Literal["zip"] = item("What the source is.")
    name: Name | None = item("Its folder below `/build`; the package's name if left out.", default=None)
    urls: tuple[str, ...] = item("Addresses of the same bytes, tried in order; the true origin first.")
    sha256: Sha256 = item("The sha256 of the file.")
    strip: int = item("Leading folders of the archive's names to drop.", default=1)
    folder: RelativePath | None = item(
        "The folder of the source that is the tree; all of it if left out.", default=None
    )
    allows: str = item(
        "The releases that `update` may move to and `audit` tells of, a version specifier as pip has them; those of "
        "the same minor version if left out.",
        default="",
        example='">=1.24,<2"',
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class WheelSource:
    """A wheel, handed to the build as it is."""

    kind: Literal["wheel"] = item("What the source is.")
    name: Name | None = item("What to call it; the project's name if left out.", default=None)
    urls: tuple[str, ...] = item("Addresses of the same bytes, tried in order.")
    sha256: Sha256 = item("The sha256 of the file.")
    allows: str = item(
        "The releases that `update` may move to and `audit` tells of, a version specifier as pip has them; those of "
        "the same minor version if left out.",
        default="",
        example='">=1.24,<2"',
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSource:
    """Any single file, handed to the build as it is."""

    kind: Literal["file"] = item("What the source is.")
    name: Name | None = item("What to call it; the file's name if left out.", default=None)
    urls: tuple[str, ...] = item("Addresses of the same bytes, tried in order.")
    sha256: Sha256 = item("The sha256 of the file.")


@dataclass(frozen=True, kw_only=True, slots=True)
class GitSource:
    """A checkout of a git repository without its `.git`, submodules included."""

    kind: Literal["git"] = item("What the source is.")
    name: Name | None = item("Its folder below `/build`; the package's name if left out.", default=None)
    urls: tuple[str, ...] = item("Addresses of the repository, tried in order.")
    commit: Commit = item("The commit that is checked out.")
    tree: TreeHash | None = item(
        "The NAR hash of the checkout, as `nix hash path` gives it; the lock computes it if left out.",
        default=None,
    )
    branch: str | None = item("The branch that the commit is on; `lock --upgrade` follows it.", default=None)
    tag: str | None = item("The tag that names the commit.", default=None)
    submodules: bool = item("Whether submodules are checked out too.", default=True)
    folder: RelativePath | None = item(
        "The folder of the source that is the tree; all of it if left out.", default=None
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PathSource:
    """A folder of the repository itself: one's own code. Its hash stands in the lock."""

    kind: Literal["path"] = item("What the source is.")
    name: Name | None = item("Its folder below `/build`; the package's name if left out.", default=None)
    path: RelativePath = item("The folder, from the top of the repository.")


Source = TarballSource | ZipSource | WheelSource | FileSource | GitSource | PathSource


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """A unified diff, applied with `-p1` and no fuzz."""

    file: RelativePath = item("The patch, below `patches/`.", example='"numpy/0001-why.patch"')
    sha256: Sha256 = item("The sha256 of the patch.")
    source: Name | None = item("The source that it changes; the first one if left out.", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a build may use. Bytes of outputs do not depend on it."""

    memory: Bytes = item("Memory of all its processes together.", default=2 << 30, example='"3 GiB"')
    memory_per_job: Bytes | None = item(
        "Memory of the largest of the processes that it runs side by side; `$LAYERLOCK_JOBS` is lowered until so many "
        "of them fit.",
        default=None,
        example='"800 MiB"',
    )
    time: Seconds = item("Wall time.", default=3600, example='"30 min"')
    processes: int = item("Processes and threads at once.", default=4096)
    output: Bytes = item("Size of the output.", default=4 << 30)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptBuild:
    """A build by a shell script."""

    builder: Literal["script"] = item("How the package is made.", default="script")
    environment: Name = item("The environment that it is built in.")
    inputs: tuple[Name, ...] = item("Packages that it sees, read-only, at their `mount`.", default=())
    script: str = item(
        "The commands, run by `bash -euo pipefail` in the first source's folder. The output is what they leave in "
        "`$out`; `$LAYERLOCK_JOBS` says how many processes to run at once."
    )
    variables: Mapping[Variable, str] = item("Environment variables, over the environment's own.", default={})
    limits: Limits = item("What the build may use.", default=Limits())


@dataclass(frozen=True, kw_only=True, slots=True)
class WheelsBuild:
    """An installation of the package's wheels into one prefix."""

    builder: Literal["wheels"] = item("How the package is made.")
    environment: Name = item("The environment that the installation runs in.")
    python: str = item("The Python version of the folder names.", example='"3.11"')
    site: RelativePath | None = item(
        "Where modules go; `lib/pythonX.Y/site-packages` if left out.", default=None
    )
    pth: bool = item("Whether `.pth` files are let in.", default=False)
    limits: Limits = item("What the installation may use.", default=Limits())


Build = ScriptBuild | WheelsBuild


@dataclass(frozen=True, kw_only=True, slots=True)
class About:
    """What a package is."""

    name: Name = item("The name; the file is called so too.")
    base: Name | None = item(
        "A recipe that this one changes: its keys stand where none is given here.", default=None
    )
    version: str = item("The version.")
    summary: str = item("One line on what it is.", default="")
    homepage: str = item("Where it lives.", default="")
    license: str = item("The licence, an SPDX expression.")
    purl: str = item("The package URL.", default="", example='"pkg:pypi/numpy@1.24.2"')
    cpe: str = item("The CPE 2.3 name, where there is one.", default="")
    mount: AbsolutePath | None = item("Where builds see its output; `/deps/NAME` if left out.", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class PackageRecipe:
    """`recipes/packages/NAME.toml`: how one package is made."""

    package: About = item("What the package is.")
    sources: tuple[Source, ...] = item("What it is made from.", default=())
    requirements: Requirements | None = item(
        "The wheels that it is made from, by ranges, for the builder `wheels`.", default=None
    )
    resolved: Resolved | None = item("The wheels found for them; kept in `NAME.wheels.toml`.", default=None)
    patches: tuple[Patch, ...] = item("Changes to the sources, in order.", default=())
    contains: tuple[Part, ...] = item("What its output holds besides the package itself.", default=())
    vulnerabilities: tuple[Statement, ...] = item(
        "What is known of vulnerabilities: mended by a patch, or not in what is built here.", default=()
    )
    build: Build = item("How it is made.")

    @property
    def name(self) -> str:
        """The package's name."""
        return self.package.name

    @property
    def mount(self) -> str:
        """Where builds see the package's output."""
        return self.package.mount or f"/deps/{self.package.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class AboutEnvironment:
    """What an environment is, and where its packages come from."""

    name: Name = item("The name; the file is called so too.")
    summary: str = item("One line on what it is.", default="")
    system: Literal["x86_64-linux", "aarch64-linux"] = item("Processor and kernel.", default="x86_64-linux")
    base: Name | None = item(
        "The environment that it is made from, instead of Debian packages.", default=None
    )
    image: ImageReference | None = item(
        "The OCI image that it is made from, instead of Debian packages.",
        default=None,
        example='"quay.io/pypa/manylinux2014_x86_64@sha256:0d25b049964b2549b83384036abdff06789a8c0b1e9ff003ec80f0d531f79e50"',
    )
    python: AbsolutePath | None = item(
        "The Python in it that guest scripts run on; its base's, else `/usr/bin/python3`, if left out.",
        default=None,
    )
    archive: Name = item("The Debian archive.", default="debian")
    suite: Name | None = item("The suite of the archive.", default=None, example='"bullseye"')
    snapshot: str | None = item(
        "The moment at which the snapshot service holds every package.",
        default=None,
        example='"20261115T000000Z"',
    )
    packages: tuple[str, ...] = item("Debian packages; what they depend on comes along.", default=())
    without: tuple[str, ...] = item("Dependencies that are left out on purpose.", default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Deb:
    """One pinned Debian package."""

    name: str = item("The package's name.")
    version: str = item("Its version.")
    path: str = item("Archive and pool path, `debian:ARCHIVE/pool/...`.")
    sha256: Sha256 = item("The sha256 of the `.deb` file.")
    size: int = item("Its size in bytes.")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageLayer:
    """One layer of a pinned image."""

    digest: ImageDigest = item("The digest of the blob, as the registry has it.")
    diff_id: ImageDigest = item("The digest of the layer's tar archive, uncompressed.")
    size: int = item("The blob's size in bytes.")
    media_type: str = item("Its media type.")


@dataclass(frozen=True, kw_only=True, slots=True)
class PinnedImage:
    """The pinned image; kept in `NAME.image.toml`."""

    reference: ImageReference = item("The image that the recipe asked for when the pins were written.")
    manifest: ImageDigest = item("The digest of the manifest for the environment's system.")
    config: ImageDigest = item("The digest of the image's configuration.")
    layers: tuple[ImageLayer, ...] = item("The layers, the lowest first.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Floor:
    """The oldest C library that code linked in the environment shall run on."""

    glibc: str = item("Its version.", example='"2.26"')
    libraries: tuple[str, ...] = item("The libraries whose development names become stubs.")


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentRecipe:
    """`recipes/environments/NAME.toml`: the root file system of builds."""

    environment: AboutEnvironment = item("What the environment is.")
    floor: Floor | None = item("The C library floor.", default=None)
    links: Mapping[RelativePath, str] = item("Symbolic links to make: place = target.", default={})
    variables: Mapping[Variable, str] = item("Environment variables of every build in it.", default={})
    debs: tuple[Deb, ...] = item("The pinned packages; kept in `NAME.debs.toml`.", default=())
    image: PinnedImage | None = item("The pinned image; kept in `NAME.image.toml`.", default=None)

    @property
    def name(self) -> str:
        """The environment's name."""
        return self.environment.name
