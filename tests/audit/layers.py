"""Small layer zips with one defect each, and what checks say of them."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from layerlock.audit.check import Check
from layerlock.audit.reading import take_inventory
from layerlock.audit.subject import Contents
from layerlock.audit.survey import Survey
from layerlock.model.findings import Finding

SITE = "python/lib/python3.11/site-packages"
FILE = stat.S_IFREG | 0o644
LINK = stat.S_IFLNK | 0o777

Files = Mapping[str, bytes | tuple[int, bytes]]
"""Contents by path, or mode and contents."""


def pack(path: Path, files: Files | Iterable[tuple[str, bytes]]) -> Path:
    """Write a zip as Unix programs do; pairs may repeat a name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, given in files.items() if isinstance(files, Mapping) else files:
            mode, data = given if isinstance(given, tuple) else (FILE, given)
            info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = mode << 16
            made.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def survey_of(path: Path, **known: object) -> Survey:
    """Read a zip or tree, with what is known of it."""
    return Survey(name=path.name, inventory=take_inventory(path), **known)  # type: ignore[arg-type]


def contents_of(survey: Survey, path: Path) -> Contents:
    """Make what checks of contents look at."""
    return Contents(
        name=survey.name,
        tree=path,
        zip=path,
        report={},
        runtime=None,
        architecture="",
        survey=lambda: survey,
    )


def found(checks: Iterable[Check], survey: Survey) -> list[Finding]:
    """Run checks that need no recipe."""
    contents = contents_of(survey, Path("never-opened"))
    return [finding for check in checks if check.foreign for finding in check.foreign(contents)]
