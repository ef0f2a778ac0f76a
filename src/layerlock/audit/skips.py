"""Findings that a layer's recipe leaves out, with the reason that it gives; a skip that excuses nothing is told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from layerlock.audit.check import Check
from layerlock.audit.subject import Subject
from layerlock.model.findings import Finding, Severity
from layerlock.model.layer import Skip

SKIPS = Check(
    name="skips",
    area="pins",
    needs="nothing",
    severity=Severity.WARNING,
    explanation="A layer's recipe may leave out findings by [[layer.audit.skip]], with a reason. A skip of a "
    "check that does not exist, or that leaves nothing out any more, is dropped before it hides something new.",
    run=lambda _: (),  # judged below, when all other checks have run
)

CHECKS = (SKIPS,)


def judged(
    subject: Subject, found: Iterable[Finding], ran: Collection[str], known: Mapping[str, Check]
) -> Iterator[tuple[Finding, str]]:
    """Give each finding with the reason why the layer's recipe leaves it out, or with none.

    `ran` names the checks that looked, `known` holds all there are.
    """
    skips = subject.recipe.layer.audit.skip
    used: set[int] = set()
    for finding in found:
        index = next((i for i, skip in enumerate(skips) if _covers(skip, finding)), None)
        if index is not None:
            used.add(index)
        yield finding, skips[index].reason if index is not None else ""
    for index, skip in enumerate(skips):
        check = known.get(skip.check)
        if check is None:
            message, hint = f"there is no check `{skip.check}` to skip", "layerlock audit --list names them"
        elif index not in used and check.name in ran and _looked(check, subject):
            message, hint = (
                f"the skip of `{skip.check}` leaves nothing out",
                "drop it: what it excused is gone",
            )
        else:
            continue
        place = subject.repository.locate("layers", subject.name, f"layer.audit.skip[{index}].check")
        if SKIPS.name in ran:
            yield SKIPS.found(subject.name, message, hint=hint, location=place), ""


def _looked(check: Check, subject: Subject) -> bool:
    return check.needs != "store" or subject.contents is not None


def _covers(skip: Skip, finding: Finding) -> bool:
    return skip.check == finding.check and skip.subject in (None, finding.subject)
