"""What must survive garbage collection, named by content."""

from __future__ import annotations

from dataclasses import dataclass

from layerlock.errors import StoreError
from layerlock.store import sealed


@dataclass(frozen=True, kw_only=True, slots=True)
class Keep:
    """Files by sha256 (hexadecimal), trees by SRI, realisations by resolved hash (their trees included)."""

    files: frozenset[str] = frozenset()
    trees: frozenset[str] = frozenset()
    realisations: frozenset[str] = frozenset()

    def __or__(self, other: Keep) -> Keep:
        return Keep(
            files=self.files | other.files,
            trees=self.trees | other.trees,
            realisations=self.realisations | other.realisations,
        )


def encode(keep: Keep, **about: str) -> bytes:
    """Give the JSON of `keep`, with `about` beside it; sorted, so that the same set gives the same bytes."""
    lists = {
        "files": sorted(keep.files),
        "trees": sorted(keep.trees),
        "realisations": sorted(keep.realisations),
    }
    return sealed.encode({**about, **lists})


def decode(data: bytes, where: str) -> tuple[Keep, dict[str, str]]:
    """Read what `encode` wrote: the set, and what stood beside it. Raises StoreError naming `where`."""
    try:
        document = sealed.decode(data)
        sets = {key: frozenset(map(str, document.pop(key))) for key in ("files", "trees", "realisations")}
        about = {str(key): str(value) for key, value in document.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        hint = "remove it if that checkout is gone; nothing is collected until then"
        raise StoreError(f"{where} is damaged: {error}", hint=hint) from error
    return Keep(**sets), about
