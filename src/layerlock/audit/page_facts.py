"""Gathering what the page of an audit tells of a layer, from what the checks looked at."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Final

from layerlock.audit.check import Check
from layerlock.audit.expressions import licences, objections, problem
from layerlock.audit.graphs import Graph, graph_of_plan
from layerlock.audit.inventory import Component, Inventory, take_inventory
from layerlock.audit.licences import policy_of, shipped_packages, terms_of
from layerlock.audit.page_rows import (
    DerivationRow,
    Facts,
    FileRow,
    FindingGroup,
    Here,
    LicenceRow,
    Needed,
    PatchRow,
    Role,
    Sizes,
    SourceRow,
    Standing,
)
from layerlock.audit.sizes import UNKNOWN, kind_of, saved, weigh
from layerlock.audit.subject import Subject
from layerlock.audit.survey import Survey
from layerlock.errors import StaleLock, StoreError
from layerlock.io.filehash import file_sha256
from layerlock.model.findings import Finding
from layerlock.model.licences import LicencePolicy
from layerlock.model.lock import LockedFile, LockedGit, LockedPath, LockedSource
from layerlock.model.recipe import PackageRecipe
from layerlock.plan.layers import smoke_name

_COLOURS: Final = 8
"""Colours of packages that page.css has."""


def gather(
    subject: Subject,
    findings: Sequence[tuple[Finding, str]],
    checks: Iterable[Check],
    unlooked: tuple[str, ...],
) -> Facts:
    """Gather the facts; `findings` come sorted, each with the reason that its recipe gives for leaving it out.

    Raises:
        StaleLock: the layer has no lock, so that nothing is known of its sources.
        InvalidRecipe: a package claims to hold what its environment has not.
        StoreError: the zip in the store is damaged.
    """
    if subject.lock is None:
        raise StaleLock(
            f"the layer {subject.name} has no lock, and its page nothing to tell",
            hint=f"write one: layerlock lock {subject.name}",
        )
    lock_sha256 = file_sha256(subject.repository.lock_path(subject.name))
    inventory = take_inventory(
        subject.repository, subject.name, subject.closure, subject.lock, lock_sha256, patches=False
    )
    sizes = _sizes(subject)
    colours = _colours(subject, sizes)
    limits = subject.runtime.limits
    return Facts(
        layer=subject.name,
        summary=inventory.summary,
        runtime=inventory.runtime,
        python=subject.runtime.runtime.python,
        architecture=inventory.architecture,
        limit=limits.unzipped,
        direct_upload=limits.direct_upload,
        lock_sha256=lock_sha256,
        zip=subject.lock.zip,
        sizes=sizes,
        derivations=tuple(_derivations(subject, colours)),
        sources=tuple(_source(pin) for pin in subject.lock.sources),
        patches=tuple(row for recipe in subject.closure.packages for row in _patches(recipe)),
        components=tuple(_licences(inventory, policy_of(subject))),
        terms=tuple(_terms(inventory)),
        statements=tuple(
            (recipe.name, statement)
            for recipe in shipped_packages(subject)
            for statement in recipe.vulnerabilities
        ),
        groups=tuple(_groups([finding for finding, reason in findings if not reason], checks)),
        skipped=tuple((finding, reason) for finding, reason in findings if reason),
        unlooked=unlooked,
        nox=(subject.repository.root / "noxfile.py").is_file(),
    )


def _sizes(subject: Subject) -> Sizes | None:
    if subject.contents is None:
        return None
    survey = subject.contents.survey()
    try:
        with subject.contents.archive() as archive:
            packed = {info.filename: info.compress_size for info in archive.infolist()}
    except (zipfile.BadZipFile, OSError) as error:
        raise StoreError(
            f"the zip of {subject.name} in the store cannot be read: {error}",
            hint="mend the store: layerlock verify --repair",
        ) from error
    # The audit reads the tree, which does not tell what its files take in the zip.
    survey = replace(survey, inventory=replace(survey.inventory, packed=packed))
    rows = sorted(_files(survey), key=lambda row: (-row.bytes, row.path))
    return Sizes(
        files=tuple(rows),
        packages=weigh(survey, "package"),
        kinds=weigh(survey, "kind"),
        saved=saved(survey.report),
        total=sum(row.bytes for row in rows),
        packed=subject.contents.zip.stat().st_size,
        zip_sha256=file_sha256(subject.contents.zip),
    )


def _files(survey: Survey) -> Iterator[FileRow]:
    for entry in survey.inventory.files:
        owner = survey.owners.get(entry.path)
        yield FileRow(
            path=entry.path,
            package=owner.package if owner is not None else UNKNOWN,
            kind=kind_of(survey, entry.path),
            bytes=entry.size,
            packed=survey.inventory.packed.get(entry.path, 0),
            how=owner.how if owner is not None else "",
        )


def _colours(subject: Subject, sizes: Sizes | None) -> Mapping[str, int]:
    """Give each package that ships a colour: the heaviest first, by name where nothing was weighed."""
    weighed = [row.name for row in sizes.packages] if sizes is not None else []
    names = dict.fromkeys([*weighed, *sorted(subject.shipped)])
    return {name: index % _COLOURS for index, name in enumerate(names)}


def _derivations(subject: Subject, colours: Mapping[str, int]) -> Iterator[DerivationRow]:
    if subject.plan is None or subject.lock is None:
        return
    graph: Graph = graph_of_plan(subject.name, subject.plan)
    for derivation, vertex in zip(subject.plan.derivations, graph.vertices, strict=True):
        name, planned = derivation.name, subject.plan.planned[derivation.name]
        locked = subject.lock.derivation(name)
        recorded = locked.output or "" if locked is not None else ""
        standing: Standing = "recorded" if recorded else "not recorded"
        if locked is not None and locked.planned != planned:
            standing = "of other inputs"
        elif name == smoke_name(subject.name):
            standing = "nothing to record"
        made = subject.store.planned(planned)
        here: Here = "not here"
        if made is not None:
            here = "built" if standing != "recorded" else "same" if made.output == recorded else "another"
        role: Role = "ships" if name in subject.shipped else "builds"
        if vertex.shape in ("layer", "environment"):
            role = "layer" if vertex.shape == "layer" else "environment"
        yield DerivationRow(
            name=name,
            version=derivation.version,
            role=role,
            colour=colours.get(name) if role == "ships" else None,
            needs=tuple(
                Needed(name=edge.end, mount=edge.label) for edge in graph.edges if edge.start == name
            ),
            planned=planned,
            recorded=recorded,
            standing=standing,
            here=here,
        )


def _source(pin: LockedSource) -> SourceRow:
    match pin:
        case LockedFile(key=key, urls=urls, sha256=sha256, size=size):
            return SourceRow(key=key, kind="file", origins=urls, hash=f"sha256 {sha256}", size=size)
        case LockedGit(key=key, urls=urls, commit=commit, tree=tree, ref=ref):
            pinned = f"commit {commit}\ntree {tree}"
            return SourceRow(
                key=key, kind=f"git, {ref}" if ref else "git", origins=urls, hash=pinned, size=None
            )
        case LockedPath(key=key, path=path, tree=tree):
            return SourceRow(
                key=key, kind="folder of the repository", origins=(path,), hash=f"tree {tree}", size=None
            )


def _patches(recipe: PackageRecipe) -> Iterator[PatchRow]:
    for patch in recipe.patches:
        mends = (
            name
            for statement in recipe.vulnerabilities
            if statement.status == "patched" and statement.patch == patch.file
            for name in statement.ids
        )
        yield PatchRow(
            package=recipe.name, path=f"patches/{patch.file}", sha256=patch.sha256, mends=tuple(mends)
        )


def _licences(inventory: Inventory, policy: LicencePolicy | None) -> Iterator[LicenceRow]:
    for component in inventory.shipped:
        standing, good = _stands(component, policy)
        yield LicenceRow(component=component, standing=standing, good=good)


def _terms(inventory: Inventory) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    under: dict[str, list[str]] = {}
    for component in inventory.shipped:
        if component.license and problem(component.license) is None:
            for licence in licences(component.license):
                under.setdefault(licence, []).append(component.name)
    for licence, names in sorted(under.items()):
        terms = terms_of(licence)
        if terms is not None:
            yield licence, terms.summary, tuple(names)


def _stands(component: Component, policy: LicencePolicy | None) -> tuple[str, bool]:
    """Say in words what a policy has to do with a component's licence, and whether it may ship."""
    if not component.license:
        return "as its package", True
    if invalid := problem(component.license):
        return f"no SPDX expression: {invalid}", False
    if policy is None:
        return "no policy", False
    against = objections(component.license, policy, component.owner)
    if against:
        return "; ".join(
            f"{each.licence} is " + ("denied" if each.standing == "denied" else "not decided on")
            for each in against
        ), False
    reasons = [
        each.reason
        for each in policy.exceptions
        if each.package == component.owner and each.licence in licences(component.license)
    ]
    return (f"excepted: {' '.join(reasons)}" if reasons else "allowed"), True


def _groups(findings: Sequence[Finding], checks: Iterable[Check]) -> Iterator[FindingGroup]:
    known = {check.name: check.explanation for check in checks}
    for (severity, check), found in groupby(findings, key=lambda each: (each.severity, each.check)):
        yield FindingGroup(
            severity=severity, check=check, explanation=known.get(check, ""), findings=tuple(found)
        )
