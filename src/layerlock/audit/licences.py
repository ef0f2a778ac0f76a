"""Whether a layer may ship: licence expressions, the repository's policy, licence texts, and what the terms ask."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final

from layerlock.audit.check import Check
from layerlock.audit.expressions import Objection, licences, objections, problem
from layerlock.audit.subject import Subject
from layerlock.errors import Location
from layerlock.io.documents import locate, parse_table, read_record, read_table
from layerlock.model.decode import decode
from layerlock.model.findings import Finding, Severity
from layerlock.model.licences import LicencePolicy, LicenceTerms, Terms
from layerlock.model.recipe import PackageRecipe

POLICY: Final = "recipes/licences.toml"
LICENCE_FILE: Final = re.compile(
    r"(?:^|/)(?:licen[cs]es?|copying|copyright|notice|unlicense)(?:[._-][^/]*)?$|(?:^|/)[^/]*licen[cs]es?/",
    re.IGNORECASE,
)
"""Paths of files that hold licence texts or notices, by the names that projects give them."""
_LONGEST: Final = 4 << 20


def policy_of(subject: Subject) -> LicencePolicy | None:
    """Read the repository's policy; None where there is none.

    Raises:
        InvalidRecipe: it does not follow its format.
    """
    path = subject.repository.root / POLICY
    if not path.is_file():
        return None
    return subject.memo.once(
        "licence policy", lambda: read_record(LicencePolicy, read_table(path, POLICY), path, POLICY)
    )


def terms_of(licence: str) -> Terms | None:
    """Give what a licence asks, where the driver's data knows it."""
    text = files("layerlock").joinpath("data/licence-terms.toml").read_bytes()
    known = decode(LicenceTerms, parse_table(text, "licence-terms.toml"))
    return next((terms for terms in known.terms if licence in terms.licences), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """A licence expression in a recipe: its key there, and what is under it, in words."""

    expression: str
    key: str
    of: str


def expressions_of(recipe: PackageRecipe) -> tuple[Stated, ...]:
    """Give the licence expressions that a recipe states: the package's own, and those of the parts that it holds."""
    return (
        Stated(expression=recipe.package.license, key="package.license", of=recipe.name),
        *(
            Stated(
                expression=part.license, key=f"contains[{index}].license", of=f"{part.name} in {recipe.name}"
            )
            for index, part in enumerate(recipe.contains)
        ),
    )


def licences_of(recipe: PackageRecipe) -> tuple[str, ...]:
    """Give the licences of a package and its parts, each once; none of an expression that is not valid."""
    valid = (stated.expression for stated in expressions_of(recipe) if problem(stated.expression) is None)
    return tuple(dict.fromkeys(licence for expression in valid for licence in licences(expression)))


def texts_in(folder: Path) -> tuple[str, ...]:
    """List the licence texts below a folder, by their paths from it, sorted."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return tuple(
        sorted(name for name in found if LICENCE_FILE.search(name) and not name.endswith((".py", ".pyc")))
    )


def holds(text: str, terms: Terms) -> bool:
    """Say whether a text is the licence's own, and not only a mention of it."""
    place = 0
    for words in terms.title:
        place = text.find(words, place)
        if place < 0:
            return False
    # A title and nothing behind it is a mention; the shortest of these texts has 7,000 characters.
    return len(text) - place > 5000


def lacking(bodies: Sequence[str], terms: Terms) -> bool:
    """Say whether the licence's own text, or that of its exception, is in none of several texts."""
    if terms.title and not any(holds(body, terms) for body in bodies):
        return True
    return bool(terms.exception) and not any(terms.exception in body for body in bodies)


def _expressions(subject: Subject) -> Iterator[Finding]:
    for recipe in subject.closure.packages:
        for stated in expressions_of(recipe):
            wrong = problem(stated.expression)
            if wrong is not None:
                yield LICENCE_EXPRESSION.found(
                    recipe.name,
                    f"the licence of {stated.of}, {stated.expression!r}, is no SPDX expression: {wrong}",
                    hint="the identifiers are listed at https://spdx.org/licenses",
                    location=subject.repository.locate("packages", recipe.name, stated.key),
                )


def _policy(subject: Subject) -> Iterator[Finding]:
    policy = policy_of(subject)
    if policy is None:
        yield LICENCE_POLICY.found(
            POLICY,
            f"there is no {POLICY}, so no licence is held against a policy",
            hint="write one: `allowed`, `denied`, and [[exceptions]] with reasons",
            severity=Severity.NOTE,
        )
        return
    for recipe in shipped_packages(subject):
        told: set[Objection] = set()
        for stated in expressions_of(recipe):
            if problem(stated.expression):
                continue  # the check `licence-expression` tells
            for objection in objections(stated.expression, policy, recipe.name):
                if objection in told:
                    continue
                told.add(objection)
                denied = objection.standing == "denied"
                yield LICENCE_POLICY.found(
                    recipe.name,
                    f"{stated.of} ships under {objection.licence}, which {POLICY} "
                    + ("denies" if denied else "does not mention"),
                    hint=f"leave {recipe.name} out, or decide: `allowed`, or [[exceptions]] with a reason",
                    location=subject.repository.locate("packages", recipe.name, stated.key),
                    severity=Severity.ERROR if denied else Severity.WARNING,
                )
    for index, exception in enumerate(policy.exceptions):
        known = exception.package in subject.repository.names("packages")
        if known and exception.licence in licences_of(subject.repository.package(exception.package)):
            continue
        yield LICENCE_POLICY.found(
            exception.package,
            f"{POLICY} accepts {exception.licence} in {exception.package}, which is not under it",
            hint="drop the exception",
            location=locate(subject.repository.root / POLICY, POLICY, f"exceptions[{index}]"),
            severity=Severity.WARNING,
        )


def _texts(subject: Subject) -> Iterator[Finding]:
    contents = subject.contents
    if contents is None:
        return
    bodies = [_read(contents.tree / name) for name in texts_in(contents.tree)]
    for recipe in shipped_packages(subject):
        output = subject.output(recipe.name)
        if output is None:
            continue
        place = _licence_key(subject, recipe)
        if not any((contents.tree / name).is_file() for name in texts_in(output)):
            yield LICENCE_TEXTS.found(
                recipe.name,
                f"the layer holds no licence text of {recipe.name} ({recipe.package.license})",
                hint=f"install one below share/licenses/{recipe.name}, or ship what --notices DIR collects",
                location=place,
            )
        for licence in licences_of(recipe):
            terms = terms_of(licence)
            if terms is not None and lacking(bodies, terms):
                yield LICENCE_TEXTS.found(
                    recipe.name,
                    f"{recipe.name} is under {licence}, whose text is not in the layer, at most a mention of it",
                    hint="ship what --notices DIR collects beside the layer, or install the text into it",
                    location=place,
                )


def _terms(subject: Subject) -> Iterator[Finding]:
    for recipe in shipped_packages(subject):
        for licence in licences_of(recipe):
            terms = terms_of(licence)
            if terms is None:
                continue
            source = f" Its source: {source_of(subject, recipe)}." if "source" in terms.asks else ""
            yield LICENCE_TERMS.found(
                recipe.name,
                f"{recipe.name} ships under {licence}. {terms.summary}{source}",
                hint="the texts: --notices DIR; the source, for as long as the layer is offered: layerlock archive",
                location=_licence_key(subject, recipe),
            )


def source_of(subject: Subject, recipe: PackageRecipe) -> str:
    """Say where the source of a shipped package is: its own pinned sources, or a Debian source package."""
    debian = debian_source(subject, recipe)
    if debian is not None:
        return f"the Debian source package {debian[0]} {debian[1]}"
    return "the pinned sources and patches of the recipe" if recipe.sources else "not stated in the recipe"


def debian_source(subject: Subject, recipe: PackageRecipe) -> tuple[str, str] | None:
    """Give name and version of the Debian source package that a package is copied from, by its package URL.

    A binary package's source is the folder of the pool that its file stands in (Debian's archive layout).
    """
    found = re.fullmatch(r"pkg:deb/debian/([^@]+)@([^?#]+)(\?[^#]*)?.*", recipe.package.purl)
    if found is None or recipe.sources:
        return None
    name, version, qualifiers = found[1], found[2], found[3] or ""
    if "arch=source" in qualifiers:
        return name, version
    for _, _, deb in subject.closure.debs():
        if deb.name == name:
            return deb.path.split("/")[-2], deb.version
    return name, version


def shipped_packages(subject: Subject) -> list[PackageRecipe]:
    """Give the recipes of the packages that the layer holds."""
    return [recipe for recipe in subject.closure.packages if recipe.name in subject.shipped]


def _licence_key(subject: Subject, recipe: PackageRecipe) -> Location:
    return subject.repository.locate("packages", recipe.name, "package.license")


def _read(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(_LONGEST).decode(errors="replace")


LICENCE_EXPRESSION = Check(
    name="licence-expression",
    area="licences",
    needs="nothing",
    severity=Severity.ERROR,
    explanation="The licence of every package that the layer needs, and of every part that one holds ([[contains]]), "
    "is an SPDX expression of known identifiers, in their own spelling. Programs that read it, this audit among them, "
    "understand nothing else.",
    run=_expressions,
)
LICENCE_POLICY = Check(
    name="licence-policy",
    area="licences",
    needs="nothing",
    severity=Severity.ERROR,
    explanation=f"What ships is under licences that {POLICY} allows, or excepts with a reason. A denied one is an "
    "error, one that nobody decided on a warning. Of alternatives (OR) one acceptable licence is enough.",
    run=_policy,
)
LICENCE_TEXTS = Check(
    name="licence-texts",
    area="licences",
    needs="store",
    severity=Severity.WARNING,
    explanation="Nearly every licence asks that its text goes with what ships. Each package of the layer has one in "
    "it, and licences that Debian only refers to (GPL, LGPL, MPL) are there in full.",
    run=_texts,
)
LICENCE_TERMS = Check(
    name="licence-terms",
    area="licences",
    needs="nothing",
    severity=Severity.NOTE,
    explanation="Some licences ask more of a person who ships something than its text: the source or an offer of it, "
    "or that a library can be replaced. For each of them in the layer it is said what to do. It is no legal advice.",
    run=_terms,
)

CHECKS = (LICENCE_EXPRESSION, LICENCE_POLICY, LICENCE_TEXTS, LICENCE_TERMS)
