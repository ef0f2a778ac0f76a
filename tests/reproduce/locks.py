"""Small locks for tests."""

from __future__ import annotations

from layerlock.model.lock import VERSION, Lock, LockedDerivation, LockedFile, RecordedZip

TREE = "sha256-" + "A" * 43 + "="
OTHER = "sha256-" + "A" * 42 + "E="


def source(
    key: str = "zstd/zstd", version: str = "1.5.4", sha256: str = "a" * 64, host: str = "one"
) -> LockedFile:
    """Make a source."""
    url = f"https://{host}.invalid/zstd-{version}.tar.gz"
    return LockedFile(kind="file", key=key, urls=(url,), sha256=sha256, size=10)


def derivation(
    name: str, planned: str, output: str | None = None, size: int | None = None, **fields: str
) -> LockedDerivation:
    """Make a derivation whose planned hash is a letter, 64 times."""
    return LockedDerivation(name=name, planned=planned * 64, output=output, size=size, fields=fields)


def recorded(sha256: str, size: int = 100) -> RecordedZip:
    """Make a recorded zip."""
    return RecordedZip(sha256=sha256 * 64, size=size, unzipped=3 * size, tree=TREE)


def lock(*parts: LockedFile | LockedDerivation, layer: str = "zstd", made: RecordedZip | None = None) -> Lock:
    """Make a lock of sources and derivations."""
    return Lock(
        version=VERSION,
        layer=layer,
        zip=made,
        sources=tuple(part for part in parts if isinstance(part, LockedFile)),
        derivations=tuple(part for part in parts if isinstance(part, LockedDerivation)),
    )
