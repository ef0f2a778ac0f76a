"""Where apt on this host looks for packages: `sources.list` and its folder, in both of their formats.

The formats are those of the manual page sources.list(5): one line an entry (`.list`), or deb822 paragraphs
(`.sources`). An address of kind `mirror+file:` names a list of mirrors on the disk; Debian's cloud images have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

_SUITES = "buster|bullseye|bookworm|trixie|forky|duke|sid|unstable|testing|stable|oldstable|oldoldstable|experimental"
_MAIN_SUITE = re.compile(rf"({_SUITES})(-updates|-backports|-proposed-updates)?")
_SECURITY_SUITE = re.compile(rf"({_SUITES})(-security|/updates)")


@dataclass(frozen=True, kw_only=True, slots=True)
class AptSource:
    """One address that apt uses, with what it takes from there."""

    address: str
    suites: tuple[str, ...]
    components: tuple[str, ...]


def read_apt_sources(root: Path = Path("/")) -> tuple[AptSource, ...]:
    """Read apt's sources below `root`; only http and https are of use here. Absent files count as empty."""
    folder = root / "etc" / "apt"
    files = [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]
    found: list[AptSource] = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        entries = (
            _one_line(text) if path.suffix == ".list" else _deb822(text) if path.suffix == ".sources" else ()
        )
        for entry in entries:
            found += _reachable(entry, root)
    return tuple(dict.fromkeys(found))


def mirrors(sources: tuple[AptSource, ...], archive: str) -> tuple[str, ...]:
    """Give the addresses of apt's that offer an archive of Debian (`debian`, `debian-security`), best first.

    An address that ends in the archive's name is it. Others are taken by what they offer: a mirror of `debian`
    may stand under any path, and is known by the suites that the host takes `main` from.
    """
    named = [s.address for s in sources if urlsplit(s.address).path.rstrip("/").endswith(f"/{archive}")]
    pattern = {"debian": _MAIN_SUITE, "debian-security": _SECURITY_SUITE}.get(archive)
    offered = [
        source.address
        for source in sources
        if pattern is not None and "main" in source.components and any(map(pattern.fullmatch, source.suites))
        # An address that names another archive is that one, whatever its suites are called.
        if not re.search(r"/(debian-(?!archive)|ubuntu)[a-z-]*/?$", urlsplit(source.address).path)
    ]
    return tuple(dict.fromkeys(address.rstrip("/") for address in named + offered))


def _one_line(text: str) -> Iterator[AptSource]:
    for line in text.splitlines():
        stated = line.partition("#")[0].strip()
        matched = re.fullmatch(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)((?:\s+\S+)*)", stated)
        if matched:
            yield AptSource(address=matched[1], suites=(matched[2],), components=tuple(matched[3].split()))


def _deb822(text: str) -> Iterator[AptSource]:
    without_comments = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for paragraph in re.split(r"\n\s*\n", without_comments):
        fields: dict[str, list[str]] = {}
        current: list[str] = []
        for line in paragraph.splitlines():
            if line[:1] in {" ", "\t"}:
                current += line.split()
            elif ":" in line:
                name, _, value = line.partition(":")
                current = fields.setdefault(name.strip().lower(), [])
                current += value.split()
        enabled = (fields.get("enabled") or ["yes"])[0].lower() not in {"no", "false", "0", "off"}
        if enabled and "deb" in fields.get("types", []):
            for address in fields.get("uris", []):
                yield AptSource(
                    address=address,
                    suites=tuple(fields.get("suites", [])),
                    components=tuple(fields.get("components", [])),
                )


def _reachable(entry: AptSource, root: Path) -> Iterator[AptSource]:
    scheme, _, rest = entry.address.partition(":")
    if scheme in {"http", "https"}:
        yield entry
    elif scheme in {"mirror+file", "mirror"} and rest.startswith("/") and "//" not in rest.lstrip("/"):
        try:
            listed = (root / rest.lstrip("/")).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        for line in listed.splitlines():
            address = line.partition("#")[0].split()
            if address and address[0].startswith(("http://", "https://")):
                yield AptSource(address=address[0], suites=entry.suites, components=entry.components)
