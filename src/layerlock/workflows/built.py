"""What a build of a layer gives; apart from building, since a build with nothing to do loads no more than this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerBuilt:
    """A layer zip outside the store, with Lambda's limits beside its sizes, all in bytes.

    `confirmed` says that the lock records this very zip; a lock without a record leaves it unconfirmed. `warnings`
    are what assembly found worth a look, `notes` what else there is to say.
    """

    layer: str
    path: Path
    sha256: str
    size: int
    unzipped: int
    unzipped_limit: int
    direct_upload_limit: int
    confirmed: bool
    lock: Path
    warnings: tuple[str, ...]
    report: Mapping[str, object]
    notes: tuple[str, ...] = ()
