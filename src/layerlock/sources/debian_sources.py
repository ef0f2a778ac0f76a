"""Debian's source packages: what a binary was built from, out of the signed index of sources.

Format: the Debian repository format, and Debian Policy, sections 5.4 and 5.6.21 to 5.6.24.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from layerlock.errors import FetchError, Offline
from layerlock.events import Listener, Noted
from layerlock.model.lock import LockedFile
from layerlock.model.recipe import AboutEnvironment
from layerlock.sources.debian_index import choose, in_release, read_list
from layerlock.sources.debian_release import debian_keyring, read_release
from layerlock.sources.fetch import Reach
from layerlock.sources.origins import ArchiveRoot

_FIELD: Final = re.compile(r"^(Package|Version|Directory): (\S+)$", re.MULTILINE)
_CHECKSUMS: Final = re.compile(r"^Checksums-Sha256:[ \t]*\n((?:[ \t]+.*\n?)+)", re.MULTILINE)
_ROW: Final = re.compile(
    r"^[ \t]+([0-9a-f]{64})[ \t]+(\d+)[ \t]+([A-Za-z0-9][A-Za-z0-9._+~:%-]*)$", re.MULTILINE
)

Wanted = tuple[str, str]
"""Name and version of a source package."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourcePackage:
    """A source package: its `.dsc` and tarballs as files that can be fetched."""

    name: str
    version: str
    files: tuple[LockedFile, ...]


def read_sources(text: str, archive: str, wanted: Collection[Wanted]) -> dict[Wanted, SourcePackage]:
    """Find source packages in the text of a `Sources` file; those that it lacks are left out."""
    found: dict[Wanted, SourcePackage] = {}
    names = {name for name, _ in wanted}
    for stanza in text.split("\n\n"):
        # 30,000 stanzas: only those of the right names are taken apart.
        if stanza.lstrip().partition("\n")[0].removeprefix("Package: ") not in names:
            continue
        keys = dict(_FIELD.findall(stanza))
        key = (keys.get("Package", ""), keys.get("Version", ""))
        listed = _CHECKSUMS.search(stanza)
        if key not in wanted or listed is None or "Directory" not in keys:
            continue
        rows = _ROW.findall(listed[1])
        found[key] = SourcePackage(
            name=key[0],
            version=key[1],
            files=tuple(
                LockedFile(
                    kind="file",
                    key=f"{key[0]}/{name}",
                    urls=(f"debian:{archive}/{keys['Directory']}/{name}",),
                    sha256=sha256,
                    size=int(size),
                )
                for sha256, size, name in sorted(rows, key=lambda row: row[2])
            ),
        )
    return found


def find_sources(
    about: AboutEnvironment,
    wanted: Iterable[Wanted],
    reach: Reach,
    emit: Listener,
    *,
    components: Iterable[str] = ("main",),
    keyring: bytes | None = None,
) -> tuple[SourcePackage, ...]:
    """Find source packages in the archive that an environment's packages come from, sorted by name.

    This host's mirrors are asked first, then the snapshot of the environment's moment: a suite moves on, and forgets
    the versions before.

    Raises:
        Offline: the network was ruled out.
        FetchError: no place lists one of them.
        Unverified, HashMismatch: an index is not signed by a trusted key, or not the one that is signed.
    """
    left = set(wanted)
    if not left:
        return ()
    if reach.offline:
        raise Offline(
            f"the source packages {_shown(left)} have to be looked up", hint="run once without `--offline`"
        )
    found: dict[Wanted, SourcePackage] = {}
    reasons = []
    origins = reach.origins if about.snapshot is None else reach.origins.at(about.snapshot)
    for root in origins.archive_roots(about.archive):
        try:
            found |= _at(
                root, about, left, reach, emit, components, debian_keyring() if keyring is None else keyring
            )
        except FetchError as error:
            reasons.append(error.message)
            continue
        left -= found.keys()
        if not left:
            return tuple(found[key] for key in sorted(found))
        reasons.append(f"{root.shown} lists other versions, or none")
    raise FetchError(
        f"no index of sources lists {_shown(left)} ({'; '.join(reasons) or 'no mirror and no snapshot is known'})",
        hint="apt's sources of this host and the environment's `snapshot` say where they are looked for",
    )


def _at(
    root: ArchiveRoot,
    about: AboutEnvironment,
    wanted: Collection[Wanted],
    reach: Reach,
    emit: Listener,
    components: Iterable[str],
    keyring: bytes,
) -> dict[Wanted, SourcePackage]:
    """Look at one place. An index past its date is as good as any: versions are named."""
    if about.suite is None:
        raise FetchError(f"the environment `{about.name}` states no suite, so it has no index")
    name = f"{about.archive}/{about.suite} (sources)"
    _, signed = in_release(name, about.suite, (root,), reach.fetcher)
    release = read_release(signed, keyring=keyring, where=name, suite=about.suite)
    if release.valid_until is not None and release.valid_until < datetime.now(UTC):
        emit(
            Noted(name=name, message=f"the index was meant to be replaced by {release.valid_until:%Y-%m-%d}")
        )
    found: dict[Wanted, SourcePackage] = {}
    for component in sorted(set(components)):
        place, listed = choose(release, f"{component}/source/Sources", name)
        text = read_list(
            name, root, f"dists/{about.suite}/{place}", listed, release.by_hash, reach.fetcher, emit
        )
        found |= read_sources(text, about.archive, wanted)
    return found


def _shown(wanted: Iterable[Wanted]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(wanted))
