"""Checks of vulnerabilities: what a database says of a layer's components, and what its recipes say of that."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from layerlock.audit.advisories import Advisories
from layerlock.audit.check import Check
from layerlock.audit.inventory import Inventory, take_inventory
from layerlock.audit.matching import Match, about, matches, settles, wanted
from layerlock.audit.osv import IDENTIFIER, Advisory
from layerlock.audit.subject import Subject
from layerlock.errors import InvalidRecipe, Location
from layerlock.model.contents import NotAffectedStatement, PatchedStatement, Statement
from layerlock.model.findings import Finding, Severity
from layerlock.model.recipe import PackageRecipe, WheelSource
from layerlock.plan.packages import source_name


def _vulnerable(subject: Subject) -> Iterator[Finding]:
    stock = _stock(subject)
    if stock is None or subject.advisories is None:
        return
    known = _advisories(subject, subject.advisories, stock)
    for match in matches(stock.shipped, known):
        if match.settled is None:
            yield _finding(VULNERABLE, match)


def _vulnerable_tools(subject: Subject) -> Iterator[Finding]:
    stock = _stock(subject)
    if stock is None or subject.advisories is None:
        return
    known = _advisories(subject, subject.advisories, stock)
    found = [match for match in matches(stock.building, known) if match.settled is None]
    # One finding a component: a build environment of last year has hundreds, and none of them ships.
    for (name, version), group in groupby(
        sorted(found, key=_first), key=lambda match: (_first(match)[0], match.components[0].version)
    ):
        several = list(group)
        ids = [match.names[0] for match in several]
        shown = ", ".join(ids[:3]) + (f" and {len(ids) - 3} more" if len(ids) > 3 else "")
        yield VULNERABLE_TOOL.found(
            name,
            f"{name} {version}, which helps to build and does not ship, is affected by {shown}",
            hint="builds run without network in a sandbox; move it when the recipe is moved anyway",
            location=several[0].components[0].location,
        )


def _outlived(subject: Subject) -> Iterator[Finding]:
    """Find statements about vulnerabilities that the database knows, and that the version does not have."""
    stock = _stock(subject)
    if stock is None or subject.advisories is None:
        return
    known = _advisories(subject, subject.advisories, stock)
    for component in stock.shipped:
        asked = wanted(component)
        for statement in component.statements if asked is not None else ():
            same = [a for a in known if settles(statement, a)]
            mentions = any(asked and about(entry, asked) for a in same for entry in a.affected)
            if mentions and not any(match.settled == statement for match in matches([component], same)):
                yield STATEMENT_OUTLIVED.found(
                    statement.ids[0],
                    f"{component.name} {component.version} does not have {statement.ids[0]} in any case",
                    hint="drop the statement: the version says it all",
                    location=_place(subject, component.owner, statement),
                )


def _unfounded(subject: Subject) -> Iterator[Finding]:
    for package in subject.closure.packages:
        for index, statement in enumerate(package.vulnerabilities):
            place = subject.repository.locate("packages", package.name, f"vulnerabilities[{index}]")
            for message, hint in _doubts(package, statement):
                name = statement.ids[0] if statement.ids else package.name
                yield STATEMENT_UNFOUNDED.found(name, message, hint=hint, location=place)


def _doubts(package: PackageRecipe, statement: Statement) -> Iterator[tuple[str, str]]:
    if not statement.ids:
        yield "a statement names no vulnerability", "name it in `ids`, by its CVE where it has one"
    for name in statement.ids:
        if not IDENTIFIER.fullmatch(name):
            yield f"{name!r} is no name of a vulnerability", "names are such as CVE-2023-4863"
    parts = {part.name for part in package.contains}
    parts |= {source_name(package, s) for s in package.sources if isinstance(s, WheelSource)}
    if statement.part and statement.part not in parts:
        yield f"{package.name} has no part `{statement.part}`", f"parts: {', '.join(sorted(parts)) or 'none'}"
    match statement:
        case PatchedStatement(patch=patch) if patch not in {p.file for p in package.patches}:
            yield f"the recipe does not apply `{patch}`", "name a patch that [[patches]] has"
        case NotAffectedStatement(reason=reason) if not reason.strip():
            yield (
                f"the statement on {', '.join(statement.ids)} gives no reason",
                "say what a person can check",
            )
        case _:
            pass


def _finding(check: Check, match: Match) -> Finding:
    names = match.names
    where = ", ".join(f"{c.name} {c.version}" for c in match.components)
    also = f" ({', '.join(names[1:])})" if names[1:] else ""
    summary = f": {match.summary}" if match.summary else ""
    mended = f"move to {' or '.join(match.fixed)}, or later; " if match.fixed else ""
    return check.found(
        names[0],
        f"{names[0]}{also} affects {where}{summary}",
        hint=f"{mended}or state in [[vulnerabilities]] that a patch mends it, or why it does not touch this build",
        location=match.components[0].location,
    )


def _first(match: Match) -> tuple[str, str]:
    return match.components[0].name, match.names[0]


def _stock(subject: Subject) -> Inventory | None:
    """List the components; None without a lock, or where a recipe's parts are wrong, which other checks tell."""
    lock = subject.lock
    if lock is None:
        return None
    try:
        return take_inventory(subject.repository, subject.name, subject.closure, lock, "", patches=False)
    except InvalidRecipe:
        return None


def _advisories(subject: Subject, database: Advisories, stock: Inventory) -> tuple[Advisory, ...]:
    """Ask about everything at once: a dump is read, and a server asked, one time for all checks and like layers."""
    components = (*stock.shipped, *stock.building)
    asked = tuple(sorted({one for one in map(wanted, components) if one is not None}))
    return subject.memo.once(("advisories", asked), lambda: database.about(asked)) if asked else ()


def _place(subject: Subject, package: str, statement: Statement) -> Location:
    index = subject.repository.package(package).vulnerabilities.index(statement)
    return subject.repository.locate("packages", package, f"vulnerabilities[{index}]")


VULNERABLE = Check(
    name="vulnerable",
    area="vulnerabilities",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="Looks up what ships in the database that --osv names (a dump in OSV's format, or its API), by package "
    "URL: packages, wheels, Debian packages whose files are copied, libraries that are linked in. Withdrawn advisories "
    "do not count, nor do those that a recipe's [[vulnerabilities]] settle. Without --osv nothing is looked up.",
    run=_vulnerable,
)
VULNERABLE_TOOL = Check(
    name="vulnerable-tool",
    area="vulnerabilities",
    needs="nothing",
    severity=Severity.NOTE,
    explanation="The same for what builds and tries the layer and does not ship: compilers, build tools, the stand-in "
    "for the runtime. They run without network on pinned sources, so this is worth knowing and no more.",
    run=_vulnerable_tools,
)
STATEMENT_OUTLIVED = Check(
    name="statement-outlived",
    area="vulnerabilities",
    needs="nothing",
    severity=Severity.NOTE,
    explanation="A recipe's [[vulnerabilities]] speaks of one that the database knows and that the version in the "
    "recipe does not have: the statement was for an older version, and would hide nothing any more.",
    run=_outlived,
)
STATEMENT_UNFOUNDED = Check(
    name="statement-unfounded",
    area="vulnerabilities",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="A statement of [[vulnerabilities]] must stand on something: a patch that the recipe applies, a part "
    "that it has, a reason. One that does not would silence a finding for nothing.",
    run=_unfounded,
)

CHECKS = (VULNERABLE, VULNERABLE_TOOL, STATEMENT_OUTLIVED, STATEMENT_UNFOUNDED)
