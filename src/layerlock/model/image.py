"""Names of OCI images: registry, repository, tag and digest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Where an image is: `registry` may hold a port; `digest` is `sha256:<hex>`. A digest outranks a tag."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}"

    def at(self, digest: str) -> Reference:
        """Give what has this digest in the same repository."""
        return Reference(registry=self.registry, repository=self.repository, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{self.name}{tag}{f'@{self.digest}' if self.digest else ''}"


def read_reference(text: str) -> Reference:
    """Take a reference apart that has the form of `decode.ImageReference`."""
    rest, _, digest = text.partition("@")
    registry, _, path = rest.partition("/")
    repository, _, tag = path.partition(":")
    return Reference(registry=registry, repository=repository, tag=tag or None, digest=digest or None)
