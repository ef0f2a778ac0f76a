"""What is to be done in a region, worked out from what is there; pure, and shown before anything changes."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from layerlock.errors import PublishFailed
from layerlock.model.published import Published
from layerlock.publish.cloud import Grant, Listed, Remote, Stored, Upload

DESCRIPTION = 256
"""Characters that Lambda takes as a description."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Lambda's limits in bytes: a request, the zip in it, and all files unzipped."""

    request: int
    direct: int
    unzipped: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Zip:
    """The zip that is published: sha256 in hexadecimal, sizes in bytes."""

    layer: str
    sha256: str
    size: int
    unzipped: int

    @property
    def code_sha256(self) -> str:
        """The sha256 as AWS writes it."""
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()

    @property
    def key(self) -> str:
        """The object's key in S3: the same bytes have the same key, and other bytes never replace them."""
        return f"layerlock/{self.layer}/{self.sha256}.zip"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What was asked for. `bucket` may hold `{region}`; `keep` is how many versions stay, all if None."""

    bucket: str | None = None
    grants: tuple[Grant, ...] = ()
    keep: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What is there in a region. `versions` are all where old ones are to be pruned, else the newest alone.

    `functions` are those of the functions that were asked about that are there, `used` names them by the ARN of
    the version that they have.
    """

    account: str
    region: str
    versions: tuple[Listed, ...]
    newest: Remote | None
    granted: frozenset[str] = frozenset()
    stored: Stored | None = None
    used: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    functions: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    """What is to be done in one region, in this order.

    `present` is the version that holds the zip already; without one it is published, by way of `bucket` where
    that is named, which the zip is put into first if `upload` says so. `verify` says that the bytes are downloaded
    and compared. `used` are old versions that stay because functions name them.
    """

    account: str
    region: str
    present: Remote | None
    after: int
    bucket: str | None
    upload: bool
    verify: bool
    grants: tuple[Grant, ...]
    prune: tuple[Listed, ...]
    used: tuple[tuple[Listed, tuple[str, ...]], ...]

    @property
    def idle(self) -> bool:
        """Whether nothing is to be changed in AWS."""
        return self.present is not None and not self.grants and not self.prune


def describe(summary: str, zip_sha256: str, lock_sha256: str) -> str:
    """Write a version's description: the hashes whole, and of the summary what fits."""
    hashes = f"zip sha256:{zip_sha256} lock sha256:{lock_sha256}"
    room = DESCRIPTION - len(hashes) - 2
    shown = summary if len(summary) <= room else summary[: room - 3].rstrip() + "..."
    return f"{shown}; {hashes}" if shown else hashes


def request_size(size: int, upload: Upload) -> int:
    """Give the bytes of a request that holds a zip of `size` bytes: base64 in a JSON document."""
    return 4 * -(-size // 3) + len(json.dumps({"Content": {"ZipFile": ""}, **upload.fields()}).encode())


def fits_request(size: int, upload: Upload, limits: Limits) -> bool:
    """Say whether a zip can be sent in the request itself; Lambda's message says "smaller than" the limit."""
    return size <= limits.direct and request_size(size, upload) < limits.request


def check_unzipped(zipped: Zip, limits: Limits) -> None:
    """Refuse what Lambda would refuse.

    Raises:
        PublishFailed: the layer alone is over the limit.
    """
    if zipped.unzipped > limits.unzipped:
        raise PublishFailed(
            f"{zipped.layer} has {zipped.unzipped:,} bytes unzipped; Lambda takes {limits.unzipped:,} of a function "
            "and all its layers",
            hint=f"prune more in the layer's recipe; layerlock size {zipped.layer} says what weighs how much",
        )


def bucket_for(zipped: Zip, upload: Upload, limits: Limits, wish: Wish, region: str) -> str | None:
    """Give the bucket that a zip has to go through; None where the request itself can hold it.

    Raises:
        PublishFailed: a bucket is needed and none was named.
    """
    if fits_request(zipped.size, upload, limits):
        return None
    if wish.bucket is None:
        raise PublishFailed(
            f"the zip of {zipped.layer} has {zipped.size:,} bytes, a request of "
            f"{request_size(zipped.size, upload):,}; Lambda takes less than {limits.request:,}",
            hint="publish by way of S3: --bucket BUCKET, a bucket of the same region (`{region}` in it is filled in)",
        )
    return wish.bucket.replace("{region}", region)


def decide(
    zipped: Zip, found: Found, wish: Wish, published: Published, bucket: str | None, layer: str
) -> Steps:
    """Work out what is to be done. Only the newest version counts: an older one of the same bytes was superseded.

    Raises:
        PublishFailed: the record says of the newest version what AWS does not.
    """
    newest = found.newest
    present = newest if newest is not None and newest.code_sha256 == zipped.code_sha256 else None
    entry = published.entry(newest.arn) if newest is not None else None
    if entry is not None and (entry.zip == zipped.sha256) != (present is not None):
        raise PublishFailed(
            f"the record says that {entry.arn} holds a zip of sha256 {entry.zip}; AWS says otherwise",
            hint="a version never changes: lockfiles/published.toml was edited, or is of another account",
        )
    keep, used = wish.keep, dict(found.used)
    old: tuple[Listed, ...] = ()
    if keep is not None:
        # The version that is about to be published is one of those that stay.
        old = found.versions[keep if present is not None else keep - 1 :]
    return Steps(
        account=found.account,
        region=found.region,
        present=present,
        after=newest.number if newest is not None else 0,
        bucket=None if present is not None else bucket,
        upload=present is None
        and bucket is not None
        and (found.stored is None or found.stored != Stored(sha256=zipped.code_sha256, size=zipped.size)),
        verify=present is None or entry is None or entry.layer != layer,
        grants=tuple(grant for grant in wish.grants if present is None or grant.sid not in found.granted),
        prune=tuple(each for each in old if each.arn not in used),
        used=tuple((each, used[each.arn]) for each in old if each.arn in used),
    )
