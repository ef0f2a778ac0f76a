"""Two locks side by side: which sources moved, which derivations changed in what, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote

from layerlock.model.lock import Lock, LockedDerivation, LockedFile, LockedGit, LockedSource, RecordedZip

_ENDINGS: Final = re.compile(r"(?:\.orig)?(?:\.tar)?\.(?:gz|bz2|xz|zst|tgz|zip|whl|deb|tar)$", re.IGNORECASE)
_VERSION: Final = re.compile(r"(?:^|[-_])v?(\d[^-_]*)")
_DEB: Final = re.compile(r"^[^_]+_(.+)_[^_]+\.deb$")

What = Literal["added", "removed", "moved"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceSide:
    """A source in one of the locks: its version, as far as a file name or commit tells, its hash and addresses."""

    version: str
    hash: str
    urls: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceChange:
    """A source that only one lock has, or that has other bytes or other addresses in the other."""

    key: str
    what: What
    before: SourceSide | None
    after: SourceSide | None

    @property
    def addresses_only(self) -> bool:
        """Whether the bytes are the same."""
        return bool(self.before and self.after and self.before.hash == self.after.hash)


@dataclass(frozen=True, kw_only=True, slots=True)
class DerivationChange:
    """A derivation that only one lock has, or whose planned hash or recorded output differs.

    `parts` names what of it changed, as `LockedDerivation.fields` tells it; empty if that is not known. `size` is
    that of the recorded output in bytes, where the lock tells it.
    """

    name: str
    what: Literal["added", "removed", "changed"]
    planned: tuple[str | None, str | None]
    parts: tuple[str, ...]
    output: tuple[str | None, str | None]
    size: tuple[int | None, int | None]

    @property
    def replanned(self) -> bool:
        """Whether something that decides its bytes changed."""
        return self.planned[0] != self.planned[1]

    @property
    def follows(self) -> bool:
        """Whether it changed only because something below it did."""
        return self.what == "changed" and self.parts == ("inputs",)

    @property
    def unexplained(self) -> bool:
        """Whether the same plan was recorded with two outputs: one of the builds was not reproducible."""
        return not self.replanned and None not in self.output and self.output[0] != self.output[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class LockComparison:
    """What comparing two locks found; pairs are before and after."""

    layers: tuple[str, str]
    sources: tuple[SourceChange, ...]
    derivations: tuple[DerivationChange, ...]
    indexes: tuple[str, ...]
    zip: tuple[RecordedZip | None, RecordedZip | None]

    @property
    def identical(self) -> bool:
        """Whether nothing differs."""
        alike = self.layers[0] == self.layers[1] and self.zip[0] == self.zip[1]
        return alike and not (self.sources or self.derivations or self.indexes)

    @property
    def same_zip(self) -> bool:
        """Whether both recorded the same zip."""
        was, now = self.zip
        return was is not None and now is not None and was.sha256 == now.sha256


def compare_locks(before: Lock, after: Lock) -> LockComparison:
    """Compare two locks; derivations come in the build order of the later one, those it lacks at the end."""
    return LockComparison(
        layers=(before.layer, after.layer),
        sources=_sources(before, after),
        derivations=_derivations(before, after),
        indexes=_indexes(before, after),
        zip=(before.zip, after.zip),
    )


def version_of(source: LockedSource) -> str:
    """Give a source's version, as its file's name, commit or branch tells; empty if they do not."""
    if isinstance(source, LockedGit):
        ref = (source.ref or "").removeprefix("refs/tags/").removeprefix("refs/heads/")
        return f"{ref} {source.commit[:12]}".strip()
    if not isinstance(source, LockedFile) or not source.urls or source.urls[0].startswith("oci:"):
        return ""  # the layer of an image has a digest and no version
    name = unquote(source.urls[0].partition("#")[0].partition("?")[0].rpartition("/")[2])
    deb = _DEB.match(name)
    if deb is not None:
        return deb[1]
    found = _VERSION.search(_ENDINGS.sub("", name))
    return found[1] if found else ""


def _sources(before: Lock, after: Lock) -> tuple[SourceChange, ...]:
    left = {source.key: _side(source) for source in before.sources}
    right = {source.key: _side(source) for source in after.sources}
    return tuple(
        SourceChange(key=key, what=_what(key, left, right), before=left.get(key), after=right.get(key))
        for key in sorted({*left, *right})
        if left.get(key) != right.get(key)
    )


def _what(key: str, left: Mapping[str, object], right: Mapping[str, object]) -> What:
    return "added" if key not in left else "removed" if key not in right else "moved"


def _side(source: LockedSource) -> SourceSide:
    hashed = source.sha256 if isinstance(source, LockedFile) else source.tree
    urls = source.urls if isinstance(source, LockedFile | LockedGit) else (source.path,)
    return SourceSide(version=version_of(source), hash=hashed, urls=urls)


def _derivations(before: Lock, after: Lock) -> tuple[DerivationChange, ...]:
    left = {derivation.name: derivation for derivation in before.derivations}
    right = {derivation.name: derivation for derivation in after.derivations}
    names = [*right, *(name for name in left if name not in right)]
    made = (_derivation(name, left.get(name), right.get(name)) for name in names)
    return tuple(change for change in made if change is not None)


def _derivation(
    name: str, before: LockedDerivation | None, after: LockedDerivation | None
) -> DerivationChange | None:
    planned = (before.planned if before else None, after.planned if after else None)
    output = (before.output if before else None, after.output if after else None)
    if planned[0] == planned[1] and output[0] == output[1]:
        return None
    parts: list[str] = []
    if before is not None and after is not None and planned[0] != planned[1]:
        known = sorted({*before.fields, *after.fields})
        parts = [part for part in known if before.fields.get(part) != after.fields.get(part)]
    return DerivationChange(
        name=name,
        what="added" if before is None else "removed" if after is None else "changed",
        planned=planned,
        parts=tuple(parts),
        output=output,
        size=(before.size if before else None, after.size if after else None),
    )


def _indexes(before: Lock, after: Lock) -> tuple[str, ...]:
    left = {(index.archive, index.suite): index for index in before.indexes}
    right = {(index.archive, index.suite): index for index in after.indexes}
    return tuple(
        f"{archive} {suite}: {was.date if was else 'none'} before, {now.date if now else 'none'} after"
        for archive, suite in sorted({*left, *right})
        if (was := left.get((archive, suite))) != (now := right.get((archive, suite)))
    )
