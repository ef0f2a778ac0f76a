"""`layerlock check`: rebuilding under other circumstances, and comparing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli import surroundings
from layerlock.cli.arguments import add_building
from layerlock.cli.help import Help
from layerlock.cli.targets import check_target
from layerlock.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.workflows.checking import Check

HELP = Help(
    about="Rebuilds the derivations of a layer or package in a process and a store of its own, with what the store "
    "has as inputs, and compares the outputs with what the store and the lock hold. The rebuild differs from the "
    "first build by variations: another clock, another order of directories, another processor and kernel as "
    "programs see them, another user, host name, locale and more; --list names them. One has to be named: under "
    "`instructions` every dynamic program runs in an emulator of an older processor. Where an output differs, "
    "further runs find out whether it does so by itself, or which variations make the difference. A derivation "
    "matches, mismatches, or is inconclusive where it could not be rebuilt or compared. Smoke tests are left out: "
    "what they leave is how long they took.",
    writes="nothing, but for the two trees of each mismatch, whose place is told; the outputs in the store stay.",
    examples=(
        "layerlock check cv",
        "layerlock check cv numpy --vary clock directory-order",
        "layerlock check cv --each --json",
        "layerlock check cv gcc-runtime --vary instructions",
        "layerlock check cv --vary none",
    ),
    related=("build", "diff", "verify"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="a layer or a package")
    parser.add_argument(
        "derivations", nargs="*", metavar="DERIVATION", help="which of its derivations; all if left out"
    )
    parser.add_argument(
        "--vary",
        nargs="+",
        metavar="VARIATION",
        help="variations by name, `all` that can be had here but `instructions` (if left out), or `none`",
    )
    parser.add_argument("--each", action="store_true", help="one run for each variation, not one for all")
    parser.add_argument(
        "--no-bisect", action="store_true", help="do not look for the variations that cause a mismatch"
    )
    parser.add_argument("--bisect", action="store_true", help="look for them, which is what is done anyway")
    parser.add_argument("--keep", metavar="DIR", help="where trees that differ go; `failed` in the store")
    parser.add_argument(
        "--python", metavar="FILE", help="the interpreter of the variation `python`; one in PATH"
    )
    parser.add_argument(
        "--list", action="store_true", help="list the variations and whether this host has them"
    )
    add_building(parser)


def run(call: Call) -> int:
    """Check.

    Raises:
        CheckFailed: something differs, or could not be compared.
    """
    if call.option("list"):
        return _list(call)
    name = call.option("name")
    if name is None:
        raise UsageError("the name of a layer or a package is missing", hint="see: layerlock check --help")
    check_target(call.repository, name)
    from layerlock.cli.checks import check_fields, check_text  # noqa: PLC0415 - usage errors are told without it
    from layerlock.workflows.checking import Asked, check  # noqa: PLC0415 - as above

    keep = call.option("keep")
    asked = Asked(
        variations=_variations(call.option("vary")),
        each=bool(call.option("each")),
        derivations=tuple(call.option("derivations") or ()),
        bisect=not call.option("no_bisect"),
        python=_python(call),
        sandbox=surroundings.sandbox(call.options, call.variables),
        keep=call.current / keep if keep is not None else None,
    )
    with call.driver() as driver:
        found = check(driver, name, asked, call.variables)
    call.result(check_text(found), check_fields(found))
    if not found.matched:
        raise _failed(found)
    return 0


def _failed(found: Check) -> CheckFailed:
    count = {
        verdict: sum(judged.verdict == verdict for judged in found.derivations)
        for verdict in ("mismatch", "inconclusive")
    }
    said = [f"{number} {verdict}" for verdict, number in count.items() if number]
    return CheckFailed(
        f"the check of {found.target}: {', '.join(said)} of {len(found.derivations)} derivations",
        hint="the table above tells of each why; layerlock diff on the kept trees shows more"
        if count["mismatch"]
        else "the table above tells of each why",
    )


def _variations(given: list[str] | None) -> tuple[str, ...] | None:
    """Read --vary: None for all, no name for none."""
    if given is None or given == ["all"]:
        return None
    if given == ["none"]:
        return ()
    mixed = {"all", "none"} & {*given}
    if mixed:
        raise UsageError(
            f"`{mixed.pop()}` stands for itself alone", hint="name variations, or `all`, or `none`"
        )
    return tuple(given)


def _python(call: Call) -> str:
    named = call.option("python")
    if named is None:
        return ""
    path = call.current / named
    if not path.is_file():
        raise UsageError(
            f"there is no interpreter {path}", hint="--python takes the path of a Python program"
        )
    return str(path)


def _list(call: Call) -> int:
    from layerlock.reproduce.variations.catalogue import availability  # noqa: PLC0415 - as above
    from layerlock.reproduce.variations.host import look  # noqa: PLC0415 - as above
    from layerlock.ui.text import table  # noqa: PLC0415 - as above

    host = look(
        call.variables,
        sandbox=surroundings.sandbox(call.options, call.variables),
        named_python=_python(call),
        visited=(call.root / "recipes",),
        user=True,
    )
    can = availability(host)
    rows = [
        (
            each.name,
            f"{each.changes} (only if named)" if each.named else each.changes,
            f"not here: {each.obstacle}" if each.obstacle else "",
        )
        for each in can
    ]
    fields = [
        {
            "name": each.name,
            "changes": each.changes,
            "reach": each.reach,
            "obstacle": each.obstacle,
            "named": each.named,
        }
        for each in can
    ]
    call.result(table(rows), {"variations": fields})
    return 0
