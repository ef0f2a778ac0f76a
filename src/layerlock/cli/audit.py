"""`layerlock audit`: what is wrong with a layer, or may become so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layerlock.cli.help import Help
from layerlock.cli.surroundings import coloured
from layerlock.cli.targets import check_layer
from layerlock.errors import AuditFailed, UsageError

if TYPE_CHECKING:
    import argparse

    from layerlock.audit.advisories import Advisories
    from layerlock.audit.check import Check
    from layerlock.cli.call import Call
    from layerlock.workflows.auditing import Audited, Choice, Collected, Told

HELP = Help(
    about="Looks at layers, or at a layer zip from anywhere, and says what is wrong: with pins and locks, with what "
    "moved upstream, with licences, with scripts and patches, and with what the layer holds. Nothing is built. Checks "
    "that need the network run with --online alone. A layer's recipe can leave findings out by [[layer.audit.skip]], "
    "with a reason. Findings at least as bad as --fail-on end it with an exit code of its own.",
    writes="nothing, but for the files that --html and --sarif name, and the folder that --notices names.",
    examples=(
        "layerlock audit cv",
        "layerlock audit cv --html dist/cv.html",
        "layerlock audit --online --deep",
        "layerlock audit --explain tag-moved",
    ),
    related=("show", "lock", "verify"),
)

THRESHOLDS = ("error", "warning", "note", "never")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "layers", nargs="*", metavar="LAYER", help="a layer, or the path of a zip; all layers if left out"
    )
    parser.add_argument("--list", action="store_true", help="list the checks")
    parser.add_argument("--explain", metavar="CHECK", help="say what a check looks for, and why")
    parser.add_argument(
        "--only", action="append", metavar="CHECK", help="run this check, or area; repeatable"
    )
    parser.add_argument("--skip", action="append", metavar="CHECK", help="leave this check out; repeatable")
    parser.add_argument("--online", action="store_true", help="run the checks that need the network too")
    parser.add_argument(
        "--deep", action="store_true", help="with --online: fetch every file from every address, and hash it"
    )
    parser.add_argument(
        "--again", action="store_true", help="with --online: ask addresses that answered well today once more"
    )
    parser.add_argument(
        "--fail-on", choices=THRESHOLDS, metavar="HOW-BAD", help="error (the default), warning, note or never"
    )
    parser.add_argument(
        "--osv",
        metavar="DATABASE",
        help="look vulnerabilities up here: a folder or zip in OSV's format, or an address of its API",
    )
    parser.add_argument(
        "--html", metavar="FILE", help="write what the audit of one layer knows as a page for a browser"
    )
    parser.add_argument("--sarif", metavar="FILE", help="write the findings as SARIF 2.1.0 too")
    parser.add_argument(
        "--notices", metavar="DIR", help="collect the licence texts of what ships below DIR, a folder a layer"
    )
    parser.add_argument(
        "--all", action="store_true", help="list every finding, not the first ones of a check"
    )


def run(call: Call) -> int:
    """Audit."""
    if call.option("list"):
        return _list(call)
    if call.option("explain"):
        return _explain(call, call.options.explain)
    if call.option("deep") and not call.option("online"):
        raise UsageError("--deep fetches files", hint="add --online")
    zips = [Path(call.current / name) for name in call.option("layers", ()) if _is_path(name)]
    layers = [name for name in call.option("layers", ()) if not _is_path(name)]
    for name in layers:
        check_layer(call.repository, name)
    for path in zips:
        if not path.is_file():
            raise UsageError(f"there is no zip {call.shown(path)}")
    if call.option("html") and (zips or len(layers) != 1):
        raise UsageError(
            "--html writes the page of one layer", hint="name one: layerlock audit cv --html cv.html"
        )
    choice = _choice(call)
    audited = _audited(call, choice, layers, zips)
    _tell(call, audited)
    if call.option("html"):
        _write_page(call, choice, audited[0])
    return _verdict(call, audited)


def _is_path(name: str) -> bool:
    return "/" in name or name.endswith(".zip")


def _list(call: Call) -> int:
    from layerlock.audit.table import CHECKS  # noqa: PLC0415 - --help does without it
    from layerlock.ui.findings import render_checks  # noqa: PLC0415 - as above

    call.result(render_checks(CHECKS), {"checks": [_described(check) for check in CHECKS]})
    return 0


def _explain(call: Call, name: str) -> int:
    from layerlock.audit.table import CHECKS  # noqa: PLC0415 - as above
    from layerlock.cli.help import description  # noqa: PLC0415 - as above

    check = next((check for check in CHECKS if check.name == name), None)
    if check is None:
        raise UsageError(f"there is no check `{name}`", hint="layerlock audit --list names them")
    needs = "" if check.needs == "nothing" else f", needs the {check.needs}"
    call.result(
        f"{check.name} ({check.area}, at worst {check.severity.value}{needs})\n{description(check.explanation)}",
        _described(check),
    )
    return 0


def _described(check: Check) -> dict[str, str]:
    return {
        "name": check.name,
        "area": check.area,
        "severity": check.severity.value,
        "needs": check.needs,
        "explanation": check.explanation,
    }


def _choice(call: Call) -> Choice:
    import datetime  # noqa: PLC0415 - as above

    from layerlock.sources.fetch import Reach  # noqa: PLC0415 - as above
    from layerlock.workflows.auditing import Choice  # noqa: PLC0415 - as above

    def reach() -> Reach:
        from layerlock.cli.reach import make_reach  # noqa: PLC0415 - brings `requests` in

        return make_reach(call.settings)

    return Choice(
        only=frozenset(call.option("only", ())),
        skip=frozenset(call.option("skip", ())),
        reach=reach if call.option("online") else None,
        deep=bool(call.option("deep")),
        again=bool(call.option("again")),
        advisories=_advisories(call),
        today=datetime.datetime.now(datetime.UTC).date(),
    )


def _advisories(call: Call) -> Advisories | None:
    """Open the database of vulnerabilities. Whoever names an address wants it asked, with or without --online."""
    named = call.option("osv")
    if named is None:
        return None
    from layerlock.audit.advisories import Dump, Service  # noqa: PLC0415 - as above

    if named.startswith(("http://", "https://")):
        from layerlock.cli.reach import make_reach  # noqa: PLC0415 - brings `requests` in

        return Service(named, make_reach(call.settings).fetcher)
    return Dump(call.current / named)


def _audited(call: Call, choice: Choice, layers: list[str], zips: list[Path]) -> list[Audited]:
    from layerlock.workflows.auditing import audit_layers, audit_zip, collect_notices  # noqa: PLC0415 - as above

    collected: tuple[Collected, ...] = ()
    named = layers or ([] if zips else list(call.repository.targets()))
    with call.driver() as driver:
        made = [audit_layers(driver, named, choice)] if named else []
        made += [audit_zip(driver, path, choice) for path in zips]
        if call.option("notices"):
            collected = collect_notices(driver, named, choice, call.current / call.options.notices)
    for each in collected:
        _tell_notices(call, each)
    return made


def _tell_notices(call: Call, collected: Collected) -> None:
    from layerlock.ui.text import count  # noqa: PLC0415 - as above

    text = f"{call.shown(collected.folder)}: {count(collected.texts, 'licence text')} of {collected.layer}"
    if collected.missing:
        text += f"\n  none found: {', '.join(collected.missing)}"
    fields = {
        "layer": collected.layer,
        "notices": str(collected.folder),
        "texts": collected.texts,
        "missing": collected.missing,
    }
    call.result(text, fields)


def _tell(call: Call, audited: list[Audited]) -> None:
    if call.option("sarif"):
        _write_sarif(call.current / call.options.sarif, audited)
    for each in audited:
        call.result(_as_text(call, each), _as_fields(each))


def _write_sarif(path: Path, audited: list[Audited]) -> None:
    from layerlock.io.atomic import write_bytes  # noqa: PLC0415 - as above
    from layerlock.ui.sarif import sarif  # noqa: PLC0415 - as above

    found = [(told.finding, told.layers, told.skipped) for each in audited for told in each.told]
    checks = tuple(dict.fromkeys(check for each in audited for check in each.checks))
    write_bytes(path, (json.dumps(sarif(found, checks), indent=2) + "\n").encode())


def _write_page(call: Call, choice: Choice, audited: Audited) -> None:
    from layerlock.audit.page import render  # noqa: PLC0415 - as above
    from layerlock.errors import FetchError  # noqa: PLC0415 - as above
    from layerlock.events import Warned  # noqa: PLC0415 - as above
    from layerlock.io.atomic import write_bytes  # noqa: PLC0415 - as above
    from layerlock.ui.text import printable, size  # noqa: PLC0415 - as above
    from layerlock.workflows.auditing import page_facts  # noqa: PLC0415 - as above
    from layerlock.workflows.drawing import libraries  # noqa: PLC0415 - as above

    path = call.current / call.options.html
    drawn: tuple[str, ...] = ()
    with call.driver() as driver:
        try:
            drawn = libraries(driver.store, call.variables)
        except FetchError as error:
            # Everything that charts show stands in tables too.
            driver.emit(Warned(name=audited.layers[0], message=f"the page has no charts: {error.message}"))
    facts = page_facts(audited, choice)
    data = render(facts, size=size, harmless=printable, libraries=drawn).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)
    call.result(
        f"{call.shown(path)}: the page of {audited.layers[0]}, {size(len(data))}",
        {"layer": audited.layers[0], "page": str(path), "size": len(data)},
    )


def _as_text(call: Call, audited: Audited) -> str:
    from layerlock.ui.findings import render_findings, render_skipped, summary  # noqa: PLC0415 - as above
    from layerlock.ui.text import count  # noqa: PLC0415 - as above

    colour = coloured(call.variables, terminal=call.stdout.isatty())
    parts = [
        render_findings(
            [(told.finding, told.layers) for told in audited.findings],
            several=len(audited.layers) > 1,
            everything=bool(call.option("all")),
            colour=colour,
        ),
        render_skipped((told.finding, told.skipped) for told in audited.skipped),
    ]
    named = ", ".join(audited.layers)
    totals = [
        f"{named}: {summary(t.finding for t in audited.findings)} by {count(len(audited.checks), 'check')}"
    ]
    if audited.unbuilt:
        totals.append(f"not built here, so its contents were not looked at: {', '.join(audited.unbuilt)}")
    if not call.option("online"):
        totals.append("checks that need the network did not run; --online adds them")
    if not call.option("osv"):
        totals.append("vulnerabilities were not looked up; --osv names a database")
    return "\n\n".join([*(part for part in parts if part), "\n".join(totals)])


def _as_fields(audited: Audited) -> dict[str, Any]:
    return {
        "layers": audited.layers,
        "findings": [_row(told) for told in audited.findings],
        "skipped": [_row(told) for told in audited.skipped],
        "checks": [check.name for check in audited.checks],
        "unbuilt": audited.unbuilt,
    }


def _row(told: Told) -> dict[str, Any]:
    finding = told.finding
    place = finding.location
    return {
        "check": finding.check,
        "severity": finding.severity.value,
        "subject": finding.subject,
        "message": finding.message,
        "hint": finding.hint,
        "location": place and {"file": place.file, "line": place.line, "path": place.path},
        "layers": told.layers,
        "skipped": told.skipped or None,
    }


def _verdict(call: Call, audited: list[Audited]) -> int:
    from layerlock.model.findings import Severity  # noqa: PLC0415 - as above
    from layerlock.ui.findings import summary  # noqa: PLC0415 - as above

    threshold = call.option("fail_on", "error")
    if threshold == "never":
        return 0
    bad = [
        told.finding
        for each in audited
        for told in each.findings
        if told.finding.severity.reaches(Severity(threshold))
    ]
    if bad:
        raise AuditFailed(
            f"the audit found {summary(bad)}",
            hint="mend them, or leave one out by [[layer.audit.skip]] with a reason; --fail-on never ends with 0",
        )
    return 0
