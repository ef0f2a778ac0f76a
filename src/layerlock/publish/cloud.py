"""What publishing asks of one region of one account, and the records that it is answered with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from layerlock.errors import PublishFailed


class Throttled(PublishFailed):
    """AWS refused a call because of its rate: nothing was done."""


class Unanswered(PublishFailed):
    """A call that changes something had no usable answer: it may or may not have been carried out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A layer version as lists have it, which do not tell its hash."""

    arn: str
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """A layer version: `code_sha256` in base64 as AWS writes it, `size` in bytes, `location` a signed address.

    The address lets anyone who has it read the zip, for some minutes: it is not to be shown.
    """

    arn: str
    number: int
    code_sha256: str
    size: int
    created: str
    location: str
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """An object in S3: `sha256` in base64, as far as S3 knows it, and `size` in bytes."""

    sha256: str | None
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """Who else may use a layer version: everybody (`*`), an account, or an organisation's accounts."""

    sid: str
    principal: str
    organization: str | None = None

    def __str__(self) -> str:
        if self.organization is not None:
            return f"organization {self.organization}"
        return "everybody" if self.principal == "*" else f"account {self.principal}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Upload:
    """What `publish_layer_version` sends besides the zip."""

    layer: str
    description: str
    licence: str
    runtimes: tuple[str, ...]
    architectures: tuple[str, ...]

    def fields(self) -> Mapping[str, object]:
        """Give the fields of the request's body, the content left out."""
        return {
            "CompatibleArchitectures": [*self.architectures],
            "CompatibleRuntimes": [*self.runtimes],
            "Description": self.description,
            "LicenseInfo": self.licence,
        }


class Cloud(Protocol):
    """One region of one account. Every method raises PublishFailed, with what to do about it."""

    @property
    def account(self) -> str:
        """The account's twelve digits."""

    @property
    def region(self) -> str:
        """The region."""

    def newest(self, layer: str) -> Listed | None:
        """Give the newest version of a layer."""

    def versions(self, layer: str) -> tuple[Listed, ...]:
        """List all versions of a layer, the newest first."""

    def version(self, layer: str, number: int) -> Remote:
        """Give one version."""

    def publish(self, upload: Upload, content: bytes | tuple[str, str]) -> Remote:
        """Publish a version, once: of these bytes, or of an object by bucket and key.

        Raises:
            Throttled: nothing was done.
            Unanswered: nobody knows.
            PublishFailed: it was refused.
        """

    def delete(self, layer: str, number: int) -> None:
        """Delete a version; one that is gone is no error."""

    def granted(self, layer: str, number: int) -> frozenset[str]:
        """Give the ids of the statements of a version's policy."""

    def grant(self, layer: str, number: int, grant: Grant) -> None:
        """Let somebody else use a version."""

    def layers_of(self, function: str) -> tuple[str, ...] | None:
        """Give the ARNs of the layer versions that a function names; None where there is no such function."""

    def stored(self, bucket: str, key: str) -> Stored | None:
        """Look at an object; None where there is none."""

    def store(self, bucket: str, key: str, path: Path, sha256: str) -> None:
        """Upload a file; `sha256`, in base64, is sent along, and S3 refuses other bytes."""


class Account(Protocol):
    """An account, as one identity sees it."""

    @property
    def number(self) -> str:
        """The account's twelve digits."""

    @property
    def default_region(self) -> str | None:
        """The region that the surroundings name."""

    def region(self, name: str) -> Cloud:
        """Give a region of the account."""


class OpenAccount(Protocol):
    """How accounts are reached: by a profile, a role to take on, and a region to ask in; see `aws.open_account`."""

    def __call__(self, profile: str | None, role: str | None, region: str | None) -> Account:
        """Give the account. Raises PublishFailed."""
