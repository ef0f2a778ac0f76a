"""The record of what was published: one entry a layer version, with the hash of its zip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from layerlock.model.decode import Name, Sha256, Text, item

VERSION = 1
"""The version of the document's format."""

LayerArn = Annotated[
    str,
    Text(
        pattern=r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:layer:[A-Za-z0-9_-]{1,140}:[1-9][0-9]*",
        called="the ARN of a layer version, `arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION`",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """A layer version in AWS whose bytes were downloaded and found to be those of a zip."""

    layer: Name = item("The layer.")
    arn: LayerArn = item("The ARN of the layer version.")
    zip: Sha256 = item("The sha256 of the zip; AWS was seen to give these bytes.")
    size: int = item("The zip's size in bytes.")
    created: str = item("When AWS says that the version was made.")
    pruned: bool = item(
        "Whether `publish --keep` deleted it; functions that had it by then still run with it.", default=False
    )

    @property
    def region(self) -> str:
        """The region."""
        return self.arn.split(":")[3]

    @property
    def account(self) -> str:
        """The account's twelve digits."""
        return self.arn.split(":")[4]

    @property
    def number(self) -> int:
        """The version's number."""
        return int(self.arn.rpartition(":")[2])


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """`lockfiles/published.toml`, sorted by layer, account, region and version."""

    version: int = item("The version of the document's format.")
    published: tuple[Publication, ...] = item("Every layer version.", default=())

    def of(self, layer: str) -> tuple[Publication, ...]:
        """Give a layer's versions that were not pruned."""
        return tuple(p for p in self.published if p.layer == layer and not p.pruned)

    def entry(self, arn: str) -> Publication | None:
        """Find a version by its ARN."""
        return next((p for p in self.published if p.arn == arn), None)


def with_entries(published: Published, *changed: Publication) -> Published:
    """Give the record with entries added, or put in the place of those of the same ARN."""
    by_arn = {p.arn: p for p in (*published.published, *changed)}
    ordered = sorted(
        by_arn.values(), key=lambda p: (p.layer, p.account, p.region, p.arn.rpartition(":")[0], p.number)
    )
    return Published(version=VERSION, published=tuple(ordered))
