"""A suite of a Debian archive: its signed index fetched, and pins taken from it or held against it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from layerlock.errors import FetchError, HashMismatch, Offline, Unverified
from layerlock.events import Listener, Noted
from layerlock.io.atomic import storing, write_bytes
from layerlock.io.decompress import Damaged, pieces
from layerlock.io.http import AllFailed, Fetcher
from layerlock.io.reasons import redact
from layerlock.model.lock import SignedIndex
from layerlock.model.recipe import AboutEnvironment, Deb, EnvironmentRecipe
from layerlock.sources.debian_packages import Packages, closure, pinned, read_packages
from layerlock.sources.debian_release import Listed, Release, debian_keyring, read_release
from layerlock.sources.fetch import Reach
from layerlock.sources.origins import ArchiveRoot, Origins

ARCHITECTURES: Final = {"x86_64-linux": "amd64", "aarch64-linux": "arm64"}
"""Debian's names of the systems that environments are made for."""

_RELEASE_LIMIT: Final = 8 << 20
_LIST_LIMIT: Final = 1 << 30
_AMID_UPDATE: Final = "the mirror may be in the midst of an update: try again later"
_SUFFIXES: Final = (".xz", ".gz", ".bz2", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Vouched:
    """Pins held against an index: those that it does not list, and those that it lists otherwise (pin, listed)."""

    missing: tuple[Deb, ...]
    different: tuple[tuple[Deb, Deb], ...]

    @property
    def complete(self) -> bool:
        """Whether the index vouches for every pin."""
        return not self.missing and not self.different


@dataclass(frozen=True, kw_only=True, slots=True)
class Index:
    """A verified index of one suite and architecture."""

    archive: str
    suite: str
    architecture: str
    components: tuple[str, ...]
    release: Release
    packages: Packages

    @property
    def signed(self) -> SignedIndex:
        """The index as a lock records it."""
        return SignedIndex(
            archive=self.archive,
            suite=self.suite,
            date=self.release.date.strftime("%Y-%m-%dT%H:%M:%SZ"),
            sha256=self.release.sha256,
            signed_by=self.release.signed_by,
        )

    def closure(self, roots: Iterable[str], without: Iterable[str] = ()) -> tuple[Deb, ...]:
        """Pin packages with everything that they depend on, sorted by name; see `debian_packages.closure`.

        Raises:
            InvalidRecipe: a root or something that is needed is not in the index.
        """
        return tuple(pinned(package, self.archive) for package in closure(self.packages, roots, without))

    def vouch(self, debs: Iterable[Deb]) -> Vouched:
        """Hold pins against the index."""
        missing, different = [], []
        for deb in debs:
            listed = self.packages.by_name.get(deb.name)
            if listed is None:
                missing.append(deb)
            elif pinned(listed, self.archive) != deb:
                different.append((deb, pinned(listed, self.archive)))
        return Vouched(missing=tuple(missing), different=tuple(different))

    def confirm(self, debs: Iterable[Deb], recorded: frozenset[str], emit: Listener, name: str) -> None:
        """Accept pins: those that the index vouches for, and those that it did not outlive.

        Args:
            debs: the pins of an environment.
            recorded: the sha256 of every file that the lock has already. An index vouched for them once; suites are
                updated and move to the archive, and a lock stays good.
            emit: hears of every pin that is only recorded.
            name: what events call the environment.

        Raises:
            Unverified: a new pin is not as the index lists it.
        """
        vouched = self.vouch(debs)
        listed: list[tuple[Deb, Deb | None]] = [*((deb, None) for deb in vouched.missing), *vouched.different]
        for deb, other in sorted(listed, key=lambda pair: pair[0].name):
            now = f"the index lists {other.version}" if other else "the index no longer lists it"
            if deb.sha256 not in recorded:
                said = f"{other.version} with the sha256 {other.sha256}" if other else "no such package"
                raise Unverified(
                    f"{name}: the pin {deb.name} {deb.version} with the sha256 {deb.sha256} is not what the signed "
                    f"index of {self.archive} {self.suite} says: {said}",
                    hint="write the pins of the environment anew (`lock --upgrade`)",
                )
            emit(Noted(name=name, message=f"{deb.name} {deb.version} stays pinned; {now}"))


def fetch_index(
    about: AboutEnvironment,
    *,
    origins: Origins,
    fetcher: Fetcher,
    emit: Listener,
    now: datetime,
    keyring: bytes | None = None,
    components: tuple[str, ...] = ("main",),
) -> Index:
    """Fetch and verify the index that an environment's packages come from.

    Args:
        about: says archive, suite, system and the snapshot's moment, which is asked after the host's own mirrors.
        origins: knows the addresses.
        fetcher: downloads.
        emit: hears of downloads, and of an index that is past its date (an archived suite's always is).
        now: the present moment.
        keyring: whom to trust; Debian's archive keys if left out.
        components: the parts of the archive.

    Raises:
        Unverified: the index is not signed by a trusted key, or does not list what it should.
        FetchError: no mirror has it.
        HashMismatch: a list of packages is not the one that the index states.
    """
    if about.suite is None:
        raise FetchError(f"the environment `{about.name}` states no suite, so it has no index")
    if about.snapshot is not None:
        origins = origins.at(about.snapshot)
    architecture = ARCHITECTURES[about.system]
    name = f"{about.archive}/{about.suite}"
    root, signed = in_release(name, about.suite, origins.archive_roots(about.archive), fetcher)
    release = read_release(
        signed, keyring=debian_keyring() if keyring is None else keyring, where=name, suite=about.suite
    )
    if release.valid_until is not None and release.valid_until < now:
        emit(
            Noted(name=name, message=f"the index was meant to be replaced by {release.valid_until:%Y-%m-%d}")
        )
    texts = []
    for component in components:
        folder = f"{component}/binary-{architecture}"
        place, listed = choose(release, f"{folder}/Packages", name)
        texts.append(
            read_list(name, root, f"dists/{about.suite}/{place}", listed, release.by_hash, fetcher, emit)
        )
    return Index(
        archive=about.archive,
        suite=about.suite,
        architecture=architecture,
        components=components,
        release=release,
        packages=read_packages("\n\n".join(texts)),
    )


def vouch(
    environment: EnvironmentRecipe,
    debs: tuple[Deb, ...],
    reach: Reach,
    emit: Listener,
    *,
    keyring: bytes | None = None,
) -> SignedIndex:
    """Hold new pins of an environment against the archive's signed index, and give that as a lock records it.

    Pins that a lock has already are not to be asked about: an index vouched for them once, and it moves on.

    Raises:
        Offline: the network was ruled out.
        Unverified: a pin is not as the index lists it, or the index is not signed by a trusted key.
        FetchError: no mirror has the index.
    """
    components = {"main", *(component(deb) for deb in debs)}
    index = _index_of(environment, reach, emit, components=components, keyring=keyring)
    index.confirm(debs, frozenset(), emit, environment.name)
    return index.signed


def write_closure(environment: EnvironmentRecipe, place: Path, reach: Reach, emit: Listener) -> None:
    """Pin an environment's packages, with all that they depend on, from the signed index; write them to `place`.

    Raises:
        Offline, Unverified, FetchError: as `vouch`.
        InvalidRecipe: a package, or one that it needs, is not in the index.
    """
    about = environment.environment
    index = _index_of(environment, reach, emit, components={"main"}, keyring=None)
    origin = (
        f"Generated from the index of {about.suite} (main, {index.architecture}): "
        f"the roots of {about.name}.toml with all that they depend on."
    )
    write_debs(place, index.closure(about.packages, about.without), origin=origin)


def _index_of(
    environment: EnvironmentRecipe,
    reach: Reach,
    emit: Listener,
    *,
    components: set[str],
    keyring: bytes | None,
) -> Index:
    about = environment.environment
    if reach.offline:
        raise Offline(
            f"the signed index of {about.archive} {about.suite} has to be fetched for the new pins of `{about.name}`",
            hint="run once without `--offline`",
        )
    return fetch_index(
        about,
        origins=reach.origins,
        fetcher=reach.fetcher,
        emit=emit,
        now=datetime.now(UTC),
        keyring=reach.keyring if keyring is None else keyring,
        components=tuple(sorted(components)),
    )


def write_debs(path: Path, debs: Iterable[Deb], *, origin: str) -> None:
    """Write an environment's pins, `NAME.debs.toml`, one a line and sorted by name.

    `origin` says in one line, for readers, what they were made from.
    """
    lines = [f"# {origin}", "", "debs = ["]
    for deb in sorted(debs, key=lambda deb: deb.name):
        # JSON's quoting of these texts is TOML's too.
        texts = ((key, json.dumps(getattr(deb, key))) for key in ("name", "version", "path", "sha256"))
        lines.append(
            "  { " + ", ".join(f"{key} = {text}" for key, text in texts) + f", size = {deb.size} }},"
        )
    lines.append("]")
    with storing(f"write {path}"):
        write_bytes(path, "\n".join([*lines, ""]).encode())


def component(deb: Deb) -> str:
    """Give the part of the archive that a pool path belongs to."""
    parts = deb.path.split("/")
    return parts[2] if len(parts) > 3 and parts[1] == "pool" else "main"


def in_release(
    name: str, suite: str, roots: tuple[ArchiveRoot, ...], fetcher: Fetcher
) -> tuple[ArchiveRoot, bytes]:
    """Fetch a suite's `InRelease` from the first place that has it; it is not verified yet.

    Raises:
        FetchError: none has it.
    """
    failures = []
    for root in roots:
        url = f"{root.url}/dists/{suite}/InRelease"
        try:
            return root, fetcher.read(url, limit=_RELEASE_LIMIT)
        except FetchError as error:
            failures.append(f"{root.shown}: {_reason(error, root)}")
    raise FetchError(
        f"{name}: no index could be fetched ({'; '.join(failures) or 'no mirror and no snapshot is known'})",
        hint="apt's sources of this host and the environment's `snapshot` say where it is looked for",
    )


def choose(release: Release, path: str, name: str) -> tuple[str, Listed]:
    """Give the path of a list of packages, compressed if there is such a one, and what the index states of it.

    Raises:
        Unverified: it states nothing of it.
    """
    for suffix in _SUFFIXES:
        listed = release.files.get(path + suffix)
        if listed is not None:
            return path + suffix, listed
    raise Unverified(f"{name}: the signed index states no sha256 of {path}")


def read_list(
    name: str,
    root: ArchiveRoot,
    place: str,
    listed: Listed,
    by_hash: bool,
    fetcher: Fetcher,
    emit: Listener,
) -> str:
    """Give a list of packages, by its hash where the mirror offers that: amid an update it then has both lists.

    Raises:
        HashMismatch: it is not the one that the signed index states.
        FetchError: the mirror does not give it.
    """
    folder, _, filename = place.rpartition("/")
    urls = [f"{root.url}/{place}"]
    if by_hash:
        urls.insert(0, f"{root.url}/{folder}/by-hash/SHA256/{listed.sha256}")
    with tempfile.TemporaryDirectory(prefix="layerlock-") as scratch:
        path = Path(scratch, filename)
        try:
            fetcher.download(urls, path, sha256=listed.sha256, size=listed.size, emit=emit, name=name)
        except HashMismatch as error:
            raise HashMismatch(
                f"{name}: the list of packages at {root.shown} is not the one that its signed index states "
                f"({_hidden(error.message, root)})",
                hint=_AMID_UPDATE,
            ) from None
        except FetchError as error:
            raise FetchError(
                f"{name}: {root.shown} does not give the list of packages ({_reason(error, root)})",
                hint=_AMID_UPDATE,
            ) from None
        return _read(path, name)


def _reason(error: FetchError, root: ArchiveRoot) -> str:
    """Give the reason of a failed download without the mirror's address."""
    reasons = [reason for _, reason in error.reasons] if isinstance(error, AllFailed) else [error.message]
    return _hidden("; ".join(dict.fromkeys(reasons)), root)


def _hidden(text: str, root: ArchiveRoot) -> str:
    """Take a mirror's address out of a message."""
    host = urlsplit(root.url).hostname
    hidden = text.replace(redact(root.url), root.shown)
    return hidden.replace(host, "its host") if host else hidden


def _read(path: Path, name: str) -> str:
    data = bytearray()
    try:
        with path.open("rb") as file:
            for piece in pieces(file, path.stat().st_size):
                data += piece
                if len(data) > _LIST_LIMIT:
                    raise Unverified(f"{name}: the list of packages is larger than {_LIST_LIMIT >> 20} MiB")
    except Damaged as error:
        raise Unverified(f"{name}: the list of packages cannot be unpacked: {error}") from None
    return data.decode("utf-8", errors="replace")
