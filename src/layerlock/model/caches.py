"""`recipes/caches.toml`: the binary caches of a repository, and the keys whose signatures count."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Annotated

from layerlock.model.decode import Name, Text, item

CacheUrl = Annotated[
    str,
    Text(
        pattern=r"(?:s3://[a-z0-9][a-z0-9.-]*(?:/[A-Za-z0-9._-]+)*/?|https?://[^\s?#@]+|[^\s:?#][^:?#\n]*)",
        called="`s3://BUCKET/PREFIX`, `https://…` without user and query, or a folder",
    ),
]
PublicKey = Annotated[
    str,
    Text(
        pattern=r"ed25519:[A-Za-z0-9+/]{43}=",
        called="a public key, `ed25519:<base64>`, as `layerlock cache keygen` prints it",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheSource:
    """One cache."""

    name: Name = item("What it is called on the command line.")
    url: CacheUrl = item(
        "Where it is: `s3://BUCKET/PREFIX`, an address that serves its files read-only, or a folder "
        "(relative ones are below the repository).",
        example='"s3://team-layers/cache"',
    )
    endpoint: str | None = item("The address of an S3 service that is not AWS's.", default=None)
    region: str | None = item("The bucket's region, where AWS's own settings do not say it.", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustedKey:
    """A key whose signatures count, in every cache."""

    name: Name = item("Whose key it is, for people.")
    key: PublicKey = item("The public key, as `layerlock cache keygen` prints it.")
    not_after: datetime.date | None = item(
        "The last day (UTC) on which its signatures count; for ever if left out.", default=None
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class RevokedKey:
    """A key whose signatures count no more, whatever else is said of it."""

    key: PublicKey = item("The public key.")
    reason: str = item("Why.")


@dataclass(frozen=True, kw_only=True, slots=True)
class Caches:
    """The document."""

    caches: tuple[CacheSource, ...] = item("Caches, in the order in which they are asked.", default=())
    keys: tuple[TrustedKey, ...] = item("Keys that are trusted.", default=())
    revoked: tuple[RevokedKey, ...] = item("Keys that are not trusted any more.", default=())
