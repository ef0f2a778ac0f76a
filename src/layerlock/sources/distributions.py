"""What a source distribution or a wheel says of itself, read out of the file: nothing of it is run."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomli
from packaging.metadata import RawMetadata, parse_email

from layerlock.errors import UnsafeArchive
from layerlock.events import Listener
from layerlock.io.archives import unpack_tar, unpack_zip
from layerlock.model.ports import SourceStore
from layerlock.sources.candidates import Candidate
from layerlock.sources.fetch import Reach, bring

LEGACY: Final = ("setuptools>=40.8.0", "wheel")
"""What builds a project that names nothing itself (PEP 518, and setuptools' `build_meta:__legacy__`)."""
_LARGEST: Final = 4 << 20
_LINE: Final = 120
_LICENCE: Final = re.compile(r"(?:^|/)(?:licen[cs]e|copying)[^/]*$", re.IGNORECASE)
_NO_MODULES: Final = frozenset(
    {"test", "tests", "doc", "docs", "example", "examples", "benchmark", "benchmarks", "tools"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Distribution:
    """What is known of a distribution.

    Args:
        summary, homepage: as its metadata has them, on one line; empty without.
        expression, text, classifiers: what it says of its licence.
        terms: the texts of its licence files.
        requires: what it needs when it is imported, as written.
        modules: what it lets be imported, as far as can be seen.
        build_requires, backend: its build system (PEP 517, 518); both empty for a wheel.
    """

    summary: str = ""
    homepage: str = ""
    expression: str = ""
    text: str = ""
    classifiers: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    build_requires: tuple[str, ...] = ()
    backend: str = ""


def fetch_candidate(found: Candidate, store: SourceStore, reach: Reach, emit: Listener) -> Path:
    """Bring a chosen file into the store.

    Raises:
        FetchError: no index gives it.
        HashMismatch: its bytes are not those that the index states.
    """
    name = f"{found.project} {found.version}"
    return bring(name, (found.url,), found.sha256, found.filename, store=store, reach=reach, emit=emit)


def read_wheel(path: Path) -> Distribution:
    """Read a wheel.

    Raises:
        UnsafeArchive: it is none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [i for i in archive.infolist() if i.filename.count("/") == 1]
            (metadata,) = [i for i in infos if i.filename.endswith(".dist-info/METADATA")]
            if metadata.file_size > _LARGEST:
                raise UnsafeArchive(f"{path.name[65:]} has {metadata.file_size} bytes of metadata")
            with archive.open(metadata) as file:
                raw, _ = parse_email(file.read(_LARGEST))
            info = metadata.filename.rpartition("/")[0]
            terms = [
                archive.read(each).decode("utf-8", "replace")
                for each in archive.infolist()
                if each.filename.startswith(f"{info}/")
                and _LICENCE.search(each.filename)
                and each.file_size <= _LARGEST
            ]
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError):
        raise UnsafeArchive(f"{path.name[65:]} is no wheel that can be read") from None
    return _distribution(raw, modules=_modules(names), terms=tuple(terms))


def read_source(archive: Path, scratch: Path) -> Distribution:
    """Read a source distribution, unpacked into the empty folder `scratch`.

    Raises:
        UnsafeArchive: it is no archive, or not one that is safe to unpack.
    """
    if archive.name.endswith(".zip"):
        unpack_zip(archive, scratch, strip=1)
    else:
        unpack_tar(archive, scratch, strip=1)
    raw, _ = parse_email(_text(scratch / "PKG-INFO"))
    try:
        project: Any = tomli.loads(_text(scratch / "pyproject.toml"))
    except tomli.TOMLDecodeError:
        project = {}
    system = project.get("build-system")
    stated = isinstance(system, dict) and isinstance(system.get("requires"), list)
    requires = tuple(map(str, system["requires"])) if stated else LEGACY
    backend = str(system.get("build-backend", "")) if stated else ""
    return _distribution(
        raw,
        modules=_modules_of_source(scratch),
        terms=tuple(_text(path) for path in sorted(scratch.iterdir()) if _LICENCE.search(path.name)),
        build_requires=requires,
        backend=backend or "setuptools.build_meta:__legacy__",
    )


def _distribution(
    raw: RawMetadata,
    *,
    modules: tuple[str, ...],
    terms: tuple[str, ...],
    build_requires: tuple[str, ...] = (),
    backend: str = "",
) -> Distribution:
    pages = {label.casefold(): url for label, url in raw.get("project_urls", {}).items()}
    places = (raw.get("home_page", ""), *(pages.get(k, "") for k in ("homepage", "source", "repository")))
    return Distribution(
        summary=_line(raw.get("summary", "")),
        homepage=_line(next((place for place in places if place.startswith("https://")), "")),
        expression=raw.get("license_expression", ""),
        text=raw.get("license", ""),
        classifiers=tuple(raw.get("classifiers", ())),
        terms=terms,
        requires=tuple(raw.get("requires_dist", ())),
        modules=modules,
        build_requires=build_requires,
        backend=backend,
    )


def _modules(names: Iterable[str]) -> tuple[str, ...]:
    """Give what can be imported by the names of a wheel's files; what begins with an underscore is left out."""
    found = set()
    for name in names:
        top, slash, _ = name.partition("/")
        module = top if slash else top.partition(".")[0]
        if slash and not name.endswith((".py", ".so")):
            continue
        if (slash or top.endswith((".py", ".so"))) and module.isidentifier() and module[0] != "_":
            found.add(module)
    return tuple(sorted(found))


def _modules_of_source(folder: Path) -> tuple[str, ...]:
    """Give what a source lets be imported: as setuptools noted it, else its packages by their place."""
    noted = sorted(folder.glob("*.egg-info/top_level.txt")) + sorted(
        folder.glob("*/*.egg-info/top_level.txt")
    )
    if noted:
        words = _text(noted[0]).split()
        return tuple(sorted(word for word in words if word.isidentifier() and word[0] != "_"))
    for top in (folder / "src", folder):
        packages = [p.parent.name for p in top.glob("*/__init__.py")]
        found = [name for name in packages if name.isidentifier() and name not in _NO_MODULES]
        if found:
            return tuple(sorted(found))
    return ()


def _text(path: Path) -> str:
    """Read a file of what was unpacked; empty where there is none, or one that is no metadata by its size."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _LARGEST:
        return ""
    return path.read_text(encoding="utf-8", errors="replace")


def _line(text: str) -> str:
    shown = "".join(character for character in " ".join(text.split()) if character.isprintable())
    return shown[:_LINE] if shown != "UNKNOWN" else ""
