"""`layerlock prune-check`: which prune rules break a layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerlock.cli.arguments import add_building
from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer
from layerlock.errors import BrokenByPruning

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.workflows.prunecheck import Guilty, PruneChecked

HELP = Help(
    about="Assembles a layer and runs its smoke tests with some of its prune rules, again and again, until it knows "
    "which of them break it: each by itself, or several together; and of those, which patterns do. It also says if "
    "the layer fails without any rule, so that pruning is not to blame. What is built of packages is used as it is; "
    "each variant costs an assembly and a run of the tests, and is remembered by the store.",
    writes="nothing, but for the variants' trees in the store, which gc removes.",
    examples=("layerlock prune-check cv", "layerlock prune-check cv --test images"),
    related=("build", "size", "why"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layer", metavar="LAYER", help="the layer")
    parser.add_argument(
        "--test",
        action="append",
        metavar="NAME",
        help="a smoke test to hold the rules against, may be given several times; all if left out",
    )
    add_building(parser)


def run(call: Call) -> int:
    """Search, and end with an error where rules are guilty."""
    layer = call.options.layer
    check_layer(call.repository, layer)
    from layerlock.workflows.prunecheck import check_pruning  # noqa: PLC0415 - usage errors are told without it

    with call.driver() as driver:
        found = check_pruning(driver, layer, call.option("test") or ())
    call.result(_text(found), _fields(found))
    if found.guilty:
        raise _broken(call, found)
    if found.failure is not None:
        raise type(found.failure)(
            found.failure.message,
            hint=f"pruning is not to blame: it fails {_without(found)}; {found.failure.hint}",
        )
    return 0


def _broken(call: Call, found: PruneChecked) -> BrokenByPruning:
    named = "; ".join(_said(found, group) for group in found.guilty)
    first = found.guilty[0].rules[0]
    return BrokenByPruning(
        f"{found.layer} fails because of its prune rules: {named}",
        hint="take the rule or the pattern out, or list what is needed in a [[keep]] table",
        location=call.repository.locate("layers", found.layer, f"prune[{first}].name"),
    )


def _text(found: PruneChecked) -> str:
    from layerlock.ui.text import count, lines  # noqa: PLC0415 - --help does without it

    rules, tried = count(len(found.rules), "prune rule"), count(found.variants, "variant")
    if found.failure is None:
        return f"{found.layer} works with all of its {rules}"
    made = [f"{found.layer} fails with its {rules}; {tried} tried"]
    for group in found.guilty:
        made.append(f"  {_said(found, group)}")
        made += [f"    pattern {pattern}" for pattern in group.patterns]
        made += [f"    | {line}" for line in lines(f"{group.failure.message}\n{group.failure.hint}")]
    if not found.guilty:
        made.append(f"  it fails {_without(found)}")
    elif found.undoubted:
        made.append(
            f"  never left out, since it cannot be assembled without: {_quoted(found, found.undoubted)}"
        )
    return "\n".join(made)


def _said(found: PruneChecked, group: Guilty) -> str:
    names = _quoted(found, group.rules)
    return f"{names} breaks it" if len(group.rules) == 1 else f"{names} break it together"


def _quoted(found: PruneChecked, indices: tuple[int, ...]) -> str:
    return " and ".join(f"`{name}`" for name in found.names(indices))


def _without(found: PruneChecked) -> str:
    if found.undoubted:
        return f"with nothing but the rules that assembling it takes ({_quoted(found, found.undoubted)})"
    return "without any rule as well"


def _fields(found: PruneChecked) -> dict[str, Any]:
    return {
        "layer": found.layer,
        "works": found.failure is None,
        "rules": [rule.name for rule in found.rules],
        "guilty": [
            {
                "rules": found.names(group.rules),
                "patterns": group.patterns,
                "failure": group.failure.message,
            }
            for group in found.guilty
        ],
        "undoubted": found.names(found.undoubted),
        "variants": found.variants,
    }
