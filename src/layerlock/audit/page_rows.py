"""What the page of an audit tells of a layer, as records in the order in which it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from layerlock.audit.inventory import Component
from layerlock.audit.sizes import Saved, Weight
from layerlock.model.contents import Statement
from layerlock.model.findings import Finding, Severity
from layerlock.model.lock import RecordedZip

Role = Literal["layer", "ships", "builds", "environment"]
Standing = Literal["recorded", "of other inputs", "not recorded", "nothing to record"]
Here = Literal["same", "another", "built", "not here"]
"""What the store has of a derivation: its recorded output, another one, one where none is recorded, or none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRow:
    """A file of the layer: its bytes, those that it takes in the zip, whose it is, and what became of it."""

    path: str
    package: str
    kind: str
    bytes: int
    packed: int
    how: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """What the built layer weighs. `zip` has the bytes and sha256 of the archive in the store."""

    files: tuple[FileRow, ...]
    packages: tuple[Weight, ...]
    kinds: tuple[Weight, ...]
    saved: tuple[Saved, ...]
    total: int
    packed: int
    zip_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Needed:
    """What a derivation is built from, and where it finds it; empty where that is the ordinary place."""

    name: str
    mount: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DerivationRow:
    """A derivation: what it is and needs, what the lock records of it, and what stands in this store."""

    name: str
    version: str
    role: Role
    colour: int | None
    needs: tuple[Needed, ...]
    planned: str
    recorded: str
    standing: Standing
    here: Here


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceRow:
    """A locked source: what is pinned, in words, with the hash that pins it. Sizes of trees are not locked."""

    key: str
    kind: str
    origins: tuple[str, ...]
    hash: str
    size: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchRow:
    """A patch of a package, and the vulnerabilities that it mends by the recipe's own word."""

    package: str
    path: str
    sha256: str
    mends: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenceRow:
    """A component that ships, with what the policy says of its licence."""

    component: Component
    standing: str
    good: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class FindingGroup:
    """The findings of one check that are equally bad."""

    severity: Severity
    check: str
    explanation: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Everything that the page tells.

    Args:
        terms: what licences ask, each with the names of the components that are under it.
        statements: what recipes of packages that ship say of vulnerabilities.
        unlooked: what the audit did not look at, in words.
        nox: whether the repository has sessions for the verbs.
    """

    layer: str
    summary: str
    runtime: str
    python: str
    architecture: str
    limit: int
    direct_upload: int
    lock_sha256: str
    zip: RecordedZip | None
    sizes: Sizes | None
    derivations: tuple[DerivationRow, ...]
    sources: tuple[SourceRow, ...]
    patches: tuple[PatchRow, ...]
    components: tuple[LicenceRow, ...]
    terms: tuple[tuple[str, str, tuple[str, ...]], ...]
    statements: tuple[tuple[str, Statement], ...]
    groups: tuple[FindingGroup, ...]
    skipped: tuple[tuple[Finding, str], ...]
    unlooked: tuple[str, ...]
    nox: bool

    def count(self, severity: str) -> int:
        """Count the findings that are this bad."""
        return sum(len(group.findings) for group in self.groups if group.severity.value == severity)

    def standing(self, standing: Standing) -> int:
        """Count the derivations that stand so."""
        return sum(row.standing == standing for row in self.derivations)
