"""What the command line and the environment say, as values for the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["auto", "bwrap", "docker"]
"""Which sandbox builds run in; `auto` is bubblewrap where it works, else docker."""

Caching = Literal["use", "none", "only"]
"""Whether outputs and sources come out of binary caches; `only`: nothing is built."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterSettings:
    """Who builds instead of this machine: a scheduler, and the files of mutual TLS (CA, certificate, key).

    `copies` is how often everything is built; `detach` leaves once the plan is handed over, `attach` comes back to it.
    """

    scheduler: str
    tls: tuple[Path, Path, Path] | None
    copies: int = 1
    detach: bool = False
    attach: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What the command line and the environment say.

    `environment` are the process's variables, for the programs and libraries that read their own from it (git,
    requests, pip's configuration). `jobs` and `memory` (bytes) are what builds may use; 0 stands for what there is.
    `archive` is a folder that sources come from, and then from nowhere else; `other_store` a store that is looked at
    before the network. `guest` is a past revision's guest code; the driver's own where there is none.
    """

    repository: Path
    store: Path
    environment: Mapping[str, str]
    jobs: int = 0
    memory: int = 0
    offline: bool = False
    keep_failed: bool = False
    archive: Path | None = None
    other_store: Path | None = None
    guest: Path | None = None
    sandbox: Kind = "auto"
    caching: Caching = "use"
    cluster: ClusterSettings | None = None
