"""What a package's output holds besides the package itself, and what is known of its vulnerabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from layerlock.model.decode import RelativePath, item

Justification = Literal[
    "code_not_present",
    "code_not_reachable",
    "requires_configuration",
    "requires_dependency",
    "requires_environment",
    "protected_by_compiler",
    "protected_at_runtime",
    "protected_at_perimeter",
    "protected_by_mitigating_control",
]
"""CycloneDX's reasons for which a vulnerability does not touch a product."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DebianPart:
    """A Debian package of the environment whose files are copied into the output. The pin tells the version."""

    kind: Literal["debian"] = item("Where the bytes come from.")
    name: str = item("The Debian package.", example='"libgfortran5"')
    license: str = item("The licence of the files that are copied, an SPDX expression.")
    cpe: str = item("The CPE 2.3 name, where there is one.", default="")


@dataclass(frozen=True, kw_only=True, slots=True)
class BundledPart:
    """Somebody else's code that the package's sources bring along and that is compiled in."""

    kind: Literal["bundled"] = item("Where the bytes come from.")
    name: str = item("What it is called.", example='"libpng"')
    version: str = item("Its version.")
    license: str = item("Its licence, an SPDX expression.")
    purl: str = item("The package URL.", default="", example='"pkg:generic/libpng@1.6.37"')
    cpe: str = item("The CPE 2.3 name, where there is one.", default="")
    folder: str = item("Where it stands in the sources.", default="")


Part = DebianPart | BundledPart


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchedStatement:
    """A patch of the recipe mends it."""

    status: Literal["patched"] = item("What is known.")
    ids: tuple[str, ...] = item("The vulnerability, by any of its names.", example='["CVE-2023-4863"]')
    patch: RelativePath = item("The patch that mends it, as `[[patches]]` names it.")
    part: str = item("The part of the output that it is in; anywhere in it if left out.", default="")
    reason: str = item("What the patch does about it.", default="")


@dataclass(frozen=True, kw_only=True, slots=True)
class NotAffectedStatement:
    """The vulnerability does not touch what is built here."""

    status: Literal["not-affected"] = item("What is known.")
    ids: tuple[str, ...] = item("The vulnerability, by any of its names.", example='["CVE-2023-4863"]')
    justification: Justification = item("Why not, in CycloneDX's words.")
    part: str = item("The part of the output that it is in; anywhere in it if left out.", default="")
    reason: str = item("Why not, so that another person can check it.")


Statement = PatchedStatement | NotAffectedStatement
