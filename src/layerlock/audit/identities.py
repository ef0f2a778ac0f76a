"""Checks of what recipes say a package is: package URL, CPE name, and whose bytes its output holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from layerlock.audit.check import Check
from layerlock.audit.identity import parsed
from layerlock.audit.inventory import stray_parts
from layerlock.audit.subject import Subject
from layerlock.model.contents import BundledPart
from layerlock.model.findings import Finding, Severity
from layerlock.model.recipe import PackageRecipe, ScriptBuild

_CPE: Final = re.compile(r"cpe:2\.3:[aho*-](?::(?:\\.|[A-Za-z0-9._~%*?-])+){10}")
"""The formatted string of NIST IR 7695, section 6.2: eleven components, reserved characters quoted."""

_SYSTEM: Final = re.compile(r"(?<![\w./$}])/(?:usr/)?lib(?:64)?/\w")
"""A library folder of the environment's root, in a script."""


def _purls(subject: Subject) -> Iterator[Finding]:
    for package in subject.closure.packages:
        about = package.package
        yield from _purl(subject, package, about.purl, about.version, "package.purl")
        for index, part in enumerate(package.contains):
            if isinstance(part, BundledPart):
                yield from _purl(subject, package, part.purl, part.version, f"contains[{index}].purl")


def _purl(
    subject: Subject, package: PackageRecipe, purl: str, version: str, dotted: str
) -> Iterator[Finding]:
    place = subject.repository.locate("packages", package.name, dotted)
    if not purl:
        return
    found = parsed(purl)
    if found is None:
        yield PURL.found(
            package.name, f"`{purl}` is no package URL", hint="pkg:TYPE/NAME@VERSION", location=place
        )
    elif not found.version:
        yield PURL.found(
            package.name, f"`{purl}` names no version", hint=f"end it with @{version}", location=place
        )
    elif found.type not in ("github", "gitlab", "bitbucket") and not _same(
        found.type, found.version, version
    ):
        yield PURL.found(
            package.name,
            f"`{purl}` is of version {found.version}, the recipe of {version}",
            hint="a scanner would look up the wrong one: correct either",
            location=place,
        )


def _same(kind: str, stated: str, version: str) -> bool:
    """Compare versions; a Debian package's has an epoch before and a revision behind that of the recipe."""
    if kind == "deb":
        return re.sub(r"^\d+:", "", stated) == version or re.sub(r"^\d+:|-[^-]*$", "", stated) == version
    return stated == version


def _cpes(subject: Subject) -> Iterator[Finding]:
    for package in subject.closure.packages:
        stated = [("package.cpe", package.package.cpe)]
        stated += [(f"contains[{index}].cpe", part.cpe) for index, part in enumerate(package.contains)]
        for dotted, cpe in stated:
            if cpe and not _CPE.fullmatch(cpe):
                yield CPE.found(
                    package.name,
                    f"`{cpe}` is no CPE 2.3 name",
                    hint="cpe:2.3:a:VENDOR:PRODUCT:VERSION:*:*:*:*:*:*:*",
                    location=subject.repository.locate("packages", package.name, dotted),
                )


def _unnamed(subject: Subject) -> Iterator[Finding]:
    for package in subject.closure.packages:
        own = all(source.kind == "path" for source in package.sources)
        if package.name in subject.shipped and not package.package.purl and not own:
            yield UNNAMED.found(
                package.name,
                f"{package.name} ships, and its recipe states no package URL",
                hint='write `purl = "pkg:..."`: vulnerabilities are looked up by it',
                location=subject.repository.locate("packages", package.name, "package"),
            )


def _parts(subject: Subject) -> Iterator[Finding]:
    for package in subject.closure.packages:
        for stray in stray_parts(subject.repository, package):
            yield PARTS.found(
                package.name,
                f"the environment `{stray.environment}` has no Debian package `{stray.name}`",
                hint="name one that its `.debs.toml` lists",
                location=stray.location,
            )
        build = package.build
        if (
            package.name in subject.shipped
            and not package.contains
            and not package.sources
            and isinstance(build, ScriptBuild)
            and _SYSTEM.search(build.script)
        ):
            yield PARTS.found(
                package.name,
                f"{package.name} has no sources and reads the environment's libraries, but names no Debian package",
                hint='name what is copied: [[contains]] with kind = "debian"',
                location=subject.repository.locate("packages", package.name, "build.script"),
                severity=Severity.WARNING,
            )


PURL = Check(
    name="purl",
    area="identity",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="A package URL must be one, with a version, and that of the recipe: scanners believe it.",
    run=_purls,
)
CPE = Check(
    name="cpe",
    area="identity",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="A CPE name must have the form of CPE 2.3: scanners of the NVD look it up as it stands.",
    run=_cpes,
)
UNNAMED = Check(
    name="unnamed",
    area="identity",
    needs="nothing",
    severity=Severity.WARNING,
    explanation="A package that ships, and is not one's own code, needs a package URL: without it no vulnerability of "
    "it is ever found, and bills of materials name it in words alone.",
    run=_unnamed,
)
PARTS = Check(
    name="parts",
    area="identity",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="What a package copies out of its environment must be named, and be there: each Debian package whose "
    "files ship is a component of its own, with its own licence and vulnerabilities.",
    run=_parts,
)

CHECKS = (PURL, CPE, UNNAMED, PARTS)
