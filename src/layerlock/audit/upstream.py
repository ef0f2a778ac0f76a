"""What changed where sources come from: addresses, tags, branches, releases, and Debian's security updates."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from layerlock.audit.check import Check
from layerlock.audit.online import Look, Online, ref_of
from layerlock.audit.pins import sources_of
from layerlock.audit.subject import Subject
from layerlock.errors import FetchError, LayerlockError, Location, Unverified
from layerlock.events import silent
from layerlock.io.documents import locate
from layerlock.model.findings import Finding, Severity
from layerlock.model.lock import LockedFile, LockedGit
from layerlock.model.recipe import (
    AboutEnvironment,
    PackageRecipe,
    Source,
    TarballSource,
    WheelSource,
    ZipSource,
)
from layerlock.plan.packages import source_key

if TYPE_CHECKING:
    from layerlock.sources.debian_packages import Packages


def online_of(subject: Subject) -> Online:
    """Give what asks the network for an audit; the table runs a check of the network only where it may."""
    if subject.reach is None or subject.journal is None:
        raise ValueError("the network was not asked for")
    reach, journal = subject.reach, subject.journal
    return subject.memo.once("online", lambda: Online(reach(), subject.store, journal, deep=subject.deep))


def _looks(subject: Subject) -> Iterator[tuple[str, tuple[Look, ...], Location]]:
    """Give each source with what its addresses answered, and its place in the recipes."""
    lock = subject.lock
    if lock is None:
        return
    places = {key: (kind, name, dotted) for key, _, kind, name, dotted in sources_of(subject)}
    pins = [pin for pin in lock.sources if isinstance(pin, LockedFile | LockedGit) and pin.key in places]
    for key, looks in online_of(subject).looks(pins).items():
        kind, name, dotted = places[key]
        if all(look.state == "good" for look in looks):
            continue
        yield (
            key,
            looks,
            subject.repository.locate(kind, name, dotted + (".urls" if kind == "packages" else "")),
        )


def _addresses(subject: Subject) -> Iterator[Finding]:
    for key, looks, place in _looks(subject):
        silent_ones = [look for look in looks if look.state == "silent"]
        if not silent_ones:
            continue
        gone = not any(look.state == "good" for look in looks)
        listed = "\n".join(f"{look.url}: {look.why}" for look in silent_ones)
        yield ADDRESSES.found(
            key,
            (f"no address of {key} gives it any more" if gone else f"an address of {key} does not answer")
            + f"\n{listed}",
            hint="add a mirror, or keep the store's copy safe: nothing else has it"
            if gone
            else "correct or drop the address; another one has the same bytes",
            location=place,
            severity=Severity.ERROR if gone else Severity.WARNING,
        )


def _changed(subject: Subject) -> Iterator[Finding]:
    for key, looks, place in _looks(subject):
        for look in looks:
            if look.state == "changed":
                yield RELEASE_CHANGED.found(
                    key,
                    f"{look.url} gives other bytes than the pinned ones of {key}: {look.why}",
                    hint="a release that changes under its name is an alarm: find out why before pinning anything else",
                    location=place,
                )


def _git_sources(subject: Subject) -> Iterator[tuple[LockedGit, str, Location]]:
    for recipe, index, source in subject.closure.sources():
        pin = subject.lock.source(source_key(recipe, source)) if subject.lock is not None else None
        if isinstance(pin, LockedGit):
            yield (
                pin,
                recipe.name,
                subject.repository.locate("packages", recipe.name, f"sources[{index}].commit"),
            )


def _tags(subject: Subject) -> Iterator[Finding]:
    for pin, _, place in _git_sources(subject):
        _, tag = ref_of(pin)
        if tag is None:
            continue
        for url in pin.urls:
            refs = online_of(subject).refs(url, None, tag)
            if isinstance(refs, str) or refs.tag == pin.commit:
                continue
            now = f"names the commit {refs.tag} now" if refs.tag else "is gone"
            yield TAG_MOVED.found(
                pin.key,
                f"the tag {tag} of {url} {now}; pinned is {pin.commit}",
                hint="a tag should never move: find out who moved it, and why, before pinning anything else",
                location=place,
            )


def _branches(subject: Subject) -> Iterator[Finding]:
    for pin, package, place in _git_sources(subject):
        branch, _ = ref_of(pin)
        if branch is None:
            continue
        refs = online_of(subject).refs(pin.urls[0], branch, None)
        if isinstance(refs, str) or refs.branch == pin.commit:
            continue
        gone = refs.branch is None
        yield BRANCH_MOVED.found(
            pin.key,
            f"the branch {branch} of {pin.urls[0]} "
            + ("is gone" if gone else f"has moved on to {refs.branch}; pinned is {pin.commit}"),
            hint="pin a tag, or another branch" if gone else f"to follow it: nox -s update -- {package}",
            location=place,
            severity=Severity.WARNING if gone else Severity.NOTE,
        )


def _listed(subject: Subject) -> Iterator[tuple[PackageRecipe, int, Source, str, str]]:
    """Give the sources that are files of an index: with project and file name."""
    from layerlock.sources.releases import named  # noqa: PLC0415 - brings `packaging` in

    for recipe, index, source in subject.closure.sources():
        found = named(source.urls) if isinstance(source, TarballSource | ZipSource | WheelSource) else None
        if found is not None:
            yield recipe, index, source, found[0], found[1]


def _yanked(subject: Subject) -> Iterator[Finding]:
    from layerlock.sources.releases import releases  # noqa: PLC0415 - as above

    origins = online_of(subject).reach.origins
    for recipe, index, source, project, filename in _listed(subject):
        try:
            found = [each for each in releases(origins, project) if each.filename == filename and each.yanked]
        except FetchError:
            continue  # the check `addresses` tells
        if found:
            reason = f": {found[0].reason}" if found[0].reason else ""
            yield YANKED.found(
                source_key(recipe, source),
                f"{filename} was yanked from the index{reason}",
                hint=f"move to another release: nox -s update -- {recipe.name}",
                location=subject.repository.locate("packages", recipe.name, f"sources[{index}]"),
            )


def _newer(subject: Subject) -> Iterator[Finding]:
    from layerlock.sources.releases import newest, releases  # noqa: PLC0415 - as above

    origins = online_of(subject).reach.origins
    for recipe, index, source, project, filename in _listed(subject):
        place = subject.repository.locate("packages", recipe.name, f"sources[{index}]")
        allows = source.allows if isinstance(source, TarballSource | ZipSource | WheelSource) else ""
        try:
            found = newest(releases(origins, project), filename, allows, subject.runtime.runtime.python)
        except FetchError:
            continue
        except LayerlockError as error:
            yield NEWER_RELEASE.found(
                source_key(recipe, source),
                error.message,
                hint=error.hint,
                location=place,
                severity=Severity.ERROR,
            )
            continue
        if found is not None:
            yield NEWER_RELEASE.found(
                source_key(recipe, source),
                f"{project} {found.version} is out; pinned is {filename}",
                hint=f"to move to it: nox -s update -- {recipe.name}",
                location=place,
            )


def _superseded(subject: Subject) -> Iterator[Finding]:
    """Hold pinned Debian packages against the newest index of their suite, and of its security updates."""
    from layerlock.sources.debian_packages import older  # noqa: PLC0415 - as above

    for recipe in subject.closure.environments:
        about = recipe.environment
        if not recipe.debs or about.suite is None:
            continue
        # The archive of security updates is named so since Debian 11.
        security = replace(about, archive=f"{about.archive}-security", suite=f"{about.suite}-security")
        for place, severity in ((security, Severity.WARNING), (about, Severity.NOTE)):
            found = _index(subject, place)
            if isinstance(found, str):
                yield DEBIAN_SUPERSEDED.found(
                    f"{place.archive}/{place.suite}",
                    f"whether Debian packages of {about.name} are superseded is not known: {found}",
                    hint="apt's sources of this host say where it is looked for",
                    location=subject.repository.locate("environments", about.name, "environment.suite"),
                    severity=Severity.NOTE,
                )
                continue
            for number, deb in enumerate(recipe.debs):
                newer = found.by_name.get(deb.name)
                if newer is None or not older(deb.version, newer.version):
                    continue
                yield DEBIAN_SUPERSEDED.found(
                    f"{about.name}/{deb.name}",
                    f"{deb.name} {deb.version} of {about.name} is superseded by {newer.version}"
                    + (", a security update" if place is security else ""),
                    hint=f"{about.name} takes its packages from {about.suite} alone: decide whether it matters"
                    if place is security
                    else f"to move to it: nox -s update -- {about.name}",
                    location=_deb_line(subject, about.name, number),
                    severity=severity,
                )


def _index(subject: Subject, about: AboutEnvironment) -> Packages | str:
    """Fetch the packages that a suite has now, or give the reason why that cannot be had."""
    from layerlock.sources.debian_index import fetch_index  # noqa: PLC0415 - as above

    def fetched() -> Packages | str:
        reach = online_of(subject).reach
        now = datetime.datetime.combine(subject.today, datetime.time(), datetime.UTC)
        try:
            return fetch_index(
                replace(about, snapshot=None),  # what the archive has now is the question
                origins=reach.origins.at(),
                fetcher=reach.fetcher,
                emit=silent,
                now=now,
                keyring=reach.keyring,
            ).packages
        except (FetchError, Unverified) as error:
            return error.message

    return subject.memo.once(("index", about.archive, about.suite, about.system), fetched)


def _deb_line(subject: Subject, name: str, number: int) -> Location:
    """Find the line of a Debian package among the pins of an environment, one a line below `debs = [`."""
    place = subject.repository.locate("environments", name, "debs")
    file = place.file.removesuffix(".toml") + ".debs.toml"
    path = subject.repository.root / file
    if not path.is_file():
        return place
    found = locate(path, file, "debs")
    return replace(
        found, line=None if found.line is None else found.line + 1 + number, path=f"debs[{number}]"
    )


ADDRESSES = Check(
    name="addresses",
    area="pins",
    needs="network",
    severity=Severity.ERROR,
    explanation="Every address of every source still answers, with as many bytes as are pinned; with --deep whole "
    "files are fetched and hashed. One dead address of several is a warning: the next one to go may be the last.",
    run=_addresses,
)
RELEASE_CHANGED = Check(
    name="release-changed",
    area="upstream",
    needs="network",
    severity=Severity.ERROR,
    explanation="An address gives other bytes than it did, or an index states another hash. Released files do not "
    "change: somebody replaced one, and it may not have been its author.",
    run=_changed,
)
TAG_MOVED = Check(
    name="tag-moved",
    area="upstream",
    needs="network",
    severity=Severity.ERROR,
    explanation="A tag names another commit than the pinned one, or is gone. Tags of releases do not move: this is an "
    "alarm, not a hint that something newer is there.",
    run=_tags,
)
BRANCH_MOVED = Check(
    name="branch-moved",
    area="upstream",
    needs="network",
    severity=Severity.WARNING,
    explanation="The branch that a checkout follows has moved on, which is what branches do; or it is gone.",
    run=_branches,
)
YANKED = Check(
    name="yanked",
    area="upstream",
    needs="network",
    severity=Severity.WARNING,
    explanation="The index marks the pinned file as yanked: its authors ask that nobody uses it any more, and often "
    "say why.",
    run=_yanked,
)
NEWER_RELEASE = Check(
    name="newer-release",
    area="upstream",
    needs="network",
    severity=Severity.NOTE,
    explanation="There is a newer release that the source's `allows` lets in: of the same minor version where the "
    "recipe says nothing, a final one, of the same kind of file, not yanked, for the layer's Python.",
    run=_newer,
)
DEBIAN_SUPERSEDED = Check(
    name="debian-superseded",
    area="upstream",
    needs="network",
    severity=Severity.WARNING,
    explanation="The Debian archive has a newer version of a package that an environment pins. From the security "
    "archive it is a warning, from the suite itself, such as a point release, a note.",
    run=_superseded,
)

CHECKS = (ADDRESSES, RELEASE_CHANGED, TAG_MOVED, BRANCH_MOVED, YANKED, NEWER_RELEASE, DEBIAN_SUPERSEDED)
