"""The check that each file of a layer belongs to a package, with the bytes that the package has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from layerlock.audit.check import Check, of_contents
from layerlock.audit.subject import Contents
from layerlock.errors import Location
from layerlock.model.findings import Finding, Severity


def _unowned(contents: Contents) -> Iterator[Finding]:
    survey = contents.survey()
    if not survey.owners:
        # A zip in which no installer left a RECORD: nothing to hold files against.
        return
    whole = bool(survey.packages)
    for entry in survey.inventory.entries.values():
        if entry.kind not in ("file", "link"):
            continue
        owner = survey.owners.get(entry.path)
        if owner is None:
            yield UNOWNED.found(
                entry.path,
                f"{entry.path} belongs to no package",
                hint="find out who put it there; a layer that is built anew does not have it"
                if whole
                else "no RECORD in the zip names it",
                location=Location(file=survey.name, path=entry.path),
                severity=None if whole else Severity.NOTE,
            )
        elif owner.how == "differs":
            yield UNOWNED.found(
                entry.path,
                f"{entry.path} is not what {owner.package} {owner.version} has there",
                hint="it was changed after the package was made: build the layer anew and compare (layerlock diff)",
                location=survey.place(entry.path),
                severity=None if whole else Severity.WARNING,
            )


UNOWNED = of_contents(
    name="unowned-files",
    area="contents",
    severity=Severity.ERROR,
    explanation="Files that no package of the layer brought, or whose bytes are not the package's. Objects may differ, "
    "since assembly strips them and lowers references; bytecode belongs to its module. In a zip from elsewhere the "
    "RECORD files of installers tell, where there are any.",
    look=_unowned,
)

CHECKS: Final[tuple[Check, ...]] = (UNOWNED,)
