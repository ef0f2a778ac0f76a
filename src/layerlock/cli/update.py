"""`layerlock update`: pins moved to newer releases."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_offline
from layerlock.cli.help import Help
from layerlock.errors import UsageError
from layerlock.ui.text import count, printable, size

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.sources.fetch import Reach
    from layerlock.workflows.updating import Moved, Updated

HELP = Help(
    about="Moves the pins of packages or environments. A file of an index goes to the newest release that its recipe "
    "allows (`allows`; else of the same minor version), a checkout to the tip of its branch, an environment to what "
    "its Debian suite has now. The new values are written into the recipe, with everything else in it left as it is, "
    "and the layers that use it and have a lock are locked anew. If anything fails, nothing is changed.",
    writes="recipes/packages/NAME.toml or recipes/environments/NAME.debs.toml, and lockfiles/LAYER.lock.",
    examples=(
        "layerlock update numpy",
        "layerlock update build-tools/meson --to 1.0.2",
        "layerlock update bullseye",
    ),
    related=("audit", "lock", "diff"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a package, one of its sources (package/source), or an environment",
    )
    parser.add_argument("--to", metavar="VERSION", help="move to this version, whatever the recipe allows")
    add_offline(parser)


def run(call: Call) -> int:
    """Update every name, one after the other."""
    from layerlock.workflows.updating import update  # noqa: PLC0415 - --help does without it

    if call.option("to") and len(call.options.names) != 1:
        raise UsageError("--to is of one package", hint="name one package or source")

    def reach() -> Reach:
        from layerlock.cli.reach import make_reach  # noqa: PLC0415 - brings `requests` in

        return make_reach(call.settings)

    for name in call.options.names:
        with call.driver() as driver:
            updated = update(driver, name, reach, to=call.option("to", ""))
        call.result(_told(updated), asdict(updated))
    return 0


def _told(updated: Updated) -> str:
    unlisted = [
        f"  not looked at, for it is in no index and follows no branch: {key}" for key in updated.unlisted
    ]
    if not updated.moved:
        return "\n".join([f"{updated.name}: nothing newer that its recipe allows", *unlisted])
    parts = [f"{updated.name}:", *(f"  {_move(moved)}" for moved in updated.moved), *unlisted]
    parts += [f"wrote {file}" for file in updated.files]
    for relocked in updated.relocked:
        if relocked.replanned:
            parts.append(f"{relocked.layer}: {count(len(relocked.replanned), 'derivation')} to build anew")
    if updated.left:
        parts.append("lines that still say the old version; look at them:")
        parts += [f"  {place}: {printable(line)}" for place, line in updated.left]
    layers = " ".join(relocked.layer for relocked in updated.relocked)
    if layers:
        first = updated.relocked[0].layer
        parts.append(
            f"sizes are known after the next build: layerlock record {layers}; layerlock diff {first}@HEAD {first}"
        )
    return "\n".join(parts)


def _move(moved: Moved) -> str:
    sizes = [size(each) for each in (moved.size_before, moved.size_after) if each is not None]
    weight = f" ({' -> '.join(sizes)})" if sizes else ""
    return f"{moved.key}: {moved.before or 'absent'} -> {moved.after or 'no longer needed'}{weight}"
