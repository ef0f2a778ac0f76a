"""The licence texts of everything that ships in a layer, collected into a folder that can go beside the zip."""

from __future__ import annotations

import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from layerlock.audit.licences import (
    LICENCE_FILE,
    debian_source,
    lacking,
    licences_of,
    shipped_packages,
    source_of,
    terms_of,
    texts_in,
)
from layerlock.audit.subject import Subject
from layerlock.errors import StoreError
from layerlock.io.archives import unpack_deb
from layerlock.io.atomic import write_bytes
from layerlock.model.lock import LockedFile
from layerlock.model.recipe import (
    Deb,
    FileSource,
    GitSource,
    PackageRecipe,
    PathSource,
    Source,
    TarballSource,
    WheelSource,
    ZipSource,
)
from layerlock.plan.packages import source_key

LONGEST: Final = 4 << 20
"""Bytes of a licence text that are read at most."""
LARGEST_DEB: Final = 4 << 20
"""Bytes of a .deb that is unpacked for its copyright file: the small packages of a source have the same one."""
_COMMON: Final = "base-files"
"""The Debian package that holds /usr/share/common-licenses."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Notices:
    """The texts of one package, by the path that they get: what it is found in, and the path there."""

    recipe: PackageRecipe
    texts: tuple[tuple[str, bytes], ...]


def collect(subject: Subject) -> tuple[Notices, ...]:
    """Gather licence texts: from each package's output, from its sources, from Debian's copyright files.

    Everything is read from the store; what is not there is left out, and the check `licence-texts` tells of it.
    """
    made = []
    for recipe in shipped_packages(subject):
        texts: dict[str, bytes] = {}
        output = subject.output(recipe.name)
        if output is not None:
            texts |= {f"layer/{name}": _read(output / name) for name in texts_in(output)}
        for source in recipe.sources:
            texts |= {f"source/{name}": body for name, body in _from_source(subject, recipe, source)}
        texts |= {f"debian/{name}": body for name, body in _from_debian(subject, recipe)}
        texts |= {f"common/{name}": body for name, body in _common(subject, recipe)}
        made.append(Notices(recipe=recipe, texts=tuple(sorted(texts.items()))))
    return tuple(made)


def write(subject: Subject, folder: Path) -> tuple[int, tuple[str, ...]]:
    """Write the texts below `folder/LAYER`, with an index: equal layers give equal bytes.

    Gives the number of texts, and what has none; see `missing`.
    """
    top = folder / subject.name
    written = 0
    notices = collect(subject)
    for notice in notices:
        for name, body in notice.texts:
            place = top / notice.recipe.name / name
            place.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(place, body)
            written += 1
    top.mkdir(parents=True, exist_ok=True)
    write_bytes(top / "NOTICES.md", "\n".join(_index(subject, notices)).encode() + b"\n")
    return written, missing(notices)


def _index(subject: Subject, notices: tuple[Notices, ...]) -> Iterator[str]:
    yield f"# What the layer {subject.name} holds, and its licences"
    for notice in notices:
        about = notice.recipe.package
        yield f"\n## {about.name} {about.version}\n"
        if about.summary:
            yield f"{about.summary}. " + (f"<{about.homepage}>" if about.homepage else "") + "\n"
        yield f"Licence: {about.license}\n"
        for licence in licences_of(notice.recipe):
            terms = terms_of(licence)
            if terms is not None:
                yield f"{licence}: {terms.summary}\n"
        yield f"Source: {source_of(subject, notice.recipe)}."
        for source in notice.recipe.sources:
            yield from _sources(source)
        yield "\nTexts:\n" if notice.texts else "\nNo text was found."
        yield from (f"- {about.name}/{name}" for name, _ in notice.texts)


def _sources(source: Source) -> Iterator[str]:
    match source:
        case PathSource():
            yield f"- the folder {source.path} of the recipe repository"
        case GitSource():
            yield f"- {source.urls[0]}, commit {source.commit}"
        case _:
            yield f"- {source.urls[0]}, sha256 {source.sha256}"


def _from_source(subject: Subject, recipe: PackageRecipe, source: Source) -> Iterator[tuple[str, bytes]]:
    pin = subject.lock.source(source_key(recipe, source)) if subject.lock is not None else None
    if pin is None:
        return
    place = subject.store.file(pin.sha256) if isinstance(pin, LockedFile) else subject.store.tree(pin.tree)
    if place is None:
        return
    try:
        match source:
            case TarballSource():
                yield from _from_tar(place, source.strip, source.folder or "")
            case ZipSource():
                yield from _from_zip(place, source.strip, source.folder or "")
            case WheelSource():
                yield from _from_zip(place, 0, "", deep=True)
            case GitSource() | PathSource():
                top = place / (source.folder or "") if isinstance(source, GitSource) else place
                yield from ((name, _read(top / name)) for name in texts_in(top) if _near(name))
            case FileSource():
                pass
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise StoreError(f"{place} cannot be read: {error}", hint="run: layerlock verify") from error


def _from_tar(place: Path, strip: int, folder: str) -> Iterator[tuple[str, bytes]]:
    # Members are read, never unpacked: their names become names of files only after they were looked at below.
    with tarfile.open(place) as archive:
        for member in archive:
            name = _inside(member.name, strip, folder)
            if name is not None and member.isfile() and _near(name) and (file := archive.extractfile(member)):
                yield name, file.read(LONGEST)


def _from_zip(place: Path, strip: int, folder: str, *, deep: bool = False) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(place) as archive:
        for info in archive.infolist():
            name = _inside(info.filename, strip, folder)
            wanted = name is not None and LICENCE_FILE.search(name) and (deep or _near(name))
            if wanted and name is not None and not info.is_dir() and not name.endswith(".py"):
                with archive.open(info) as file:
                    yield name, file.read(LONGEST)


def _inside(name: str, strip: int, folder: str) -> str | None:
    """Give a member's path below the part of the source that is built; None for what stands outside of it."""
    if name.startswith("/") or ".." in name.split("/"):
        return None
    parts = [part for part in name.split("/") if part not in ("", ".")][strip:]
    within = folder.split("/") if folder else []
    if parts[: len(within)] != within:
        return None
    rest = parts[len(within) :]
    return "/".join(rest) if rest else None


def _near(name: str) -> bool:
    """Say whether a path is a licence text at the top of a source, or in a folder of licences there.

    Deeper ones are of code that need not be part of what was built; what a build knows to be, it installs.
    """
    parts = PurePosixPath(name).parts
    return bool(LICENCE_FILE.search(name)) and (
        len(parts) == 1 or bool(re.match(r"(?i)licen[cs]es?$", parts[0]))
    )


def _from_debian(subject: Subject, recipe: PackageRecipe) -> Iterator[tuple[str, bytes]]:
    """Read the copyright file of a package that is copied from the environment, out of its .deb."""
    source = debian_source(subject, recipe)
    if source is None:
        return
    debs = sorted(
        {
            deb.path: deb for _, _, deb in subject.closure.debs() if deb.path.split("/")[-2] == source[0]
        }.values(),
        key=lambda deb: deb.size,
    )
    for deb in debs:
        found = _out_of_deb(subject, deb, "usr/share/doc", "copyright") if deb.size <= LARGEST_DEB else {}
        if found:
            yield from sorted(found.items())
            return


def _common(subject: Subject, recipe: PackageRecipe) -> Iterator[tuple[str, bytes]]:
    """Give the full texts of licences that copyright files only refer to, out of Debian's base-files."""
    wanted = {terms.text for licence in licences_of(recipe) if (terms := terms_of(licence)) and terms.text}
    if not wanted:
        return
    deb = next((deb for _, _, deb in subject.closure.debs() if deb.name == _COMMON), None)
    if deb is None:
        return
    texts = subject.memo.once(
        ("common licences", deb.sha256), lambda: _out_of_deb(subject, deb, "usr/share/common-licenses", "")
    )
    yield from ((name, body) for name, body in sorted(texts.items()) if name in wanted)


def _out_of_deb(subject: Subject, deb: Deb, folder: str, called: str) -> dict[str, bytes]:
    """Read the plain files below a folder of a .deb, those of one name or all; by their paths from there."""
    place = subject.store.file(deb.sha256)
    if place is None:
        return {}
    with subject.store.scratch("notices") as scratch:
        tree = scratch / "tree"
        tree.mkdir()
        unpack_deb(place, tree)
        files = [
            path for path in (tree / folder).rglob(called or "*") if path.is_file() and not path.is_symlink()
        ]
        return {path.relative_to(tree / folder).as_posix(): _read(path) for path in files}


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LONGEST)


def missing(notices: tuple[Notices, ...]) -> tuple[str, ...]:
    """Give the packages without any text, and licences whose full text was asked for and not found."""
    found = []
    for notice in notices:
        if not notice.texts:
            found.append(notice.recipe.name)
        bodies = [body.decode(errors="replace") for _, body in notice.texts]
        for licence in licences_of(notice.recipe):
            terms = terms_of(licence)
            if terms is not None and lacking(bodies, terms):
                found.append(f"{notice.recipe.name} ({licence})")
    return tuple(found)
