"""`layerlock shrink`: what a layer can do without, found by trial."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from layerlock.cli.arguments import add_building
from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.workflows.shrinking import Hollow, Shrunk

HELP = Help(
    about="Watches a layer's smoke tests, proposes what can go (packages that are never imported, tests, stubs, "
    "headers, metadata that nobody reads, folders that are never opened, libraries that are never loaded, data that is "
    "opened in vain), leaves it out and runs the tests again, until it knows what they need. The rest becomes prune "
    "rules, each with its reason and what it saves; the layer is assembled, packed and tried with them. Packages that "
    "are imported and of which nothing is called are named with their imports: only an edit of the source could drop "
    "those. Trials run side by side (--jobs), and what came of each is remembered by the store: a search that was "
    "ended goes on where it stopped. What the smoke tests do not try is not known to work: read the rules first.",
    writes="the rules into recipes/layers/LAYER.toml, with --write; else nothing. The store keeps what came of trials, "
    "until gc.",
    examples=("layerlock shrink cv", "layerlock shrink cv --write"),
    related=("prune-check", "size", "lock"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layer", metavar="LAYER", help="the layer")
    parser.add_argument("--write", action="store_true", help="add the rules to the layer's recipe")
    add_building(parser)


def run(call: Call) -> int:
    """Search; tell, and write, what was found."""
    layer = call.options.layer
    check_layer(call.repository, layer)
    from layerlock.workflows.shrinking import (  # noqa: PLC0415 - usage errors are told without it
        check_writable,
        shrink,
        write_rules,
    )

    if call.option("write"):
        check_writable(call.repository, layer)
    with call.driver() as driver:
        found = shrink(driver, layer)
    written = write_rules(call.repository, found) if call.option("write") and found.rules else ""
    call.result(_text(found, written), _fields(found, written))
    return 0


def _text(found: Shrunk, written: str) -> str:
    from layerlock.layer.rules import keep_text_of, text_of  # noqa: PLC0415 - --help does without it
    from layerlock.ui.text import count, printable, size, table  # noqa: PLC0415 - as above

    parts = []
    if found.rules and not written:
        parts.append("\n".join(text_of(rule) for rule in found.rules))
        parts += [keep_text_of(rule) for rule in found.rules if rule.keep]
    if found.rules:
        cells = [("rule", "files", "unzipped", "zipped")]
        cells += [(rule.name, f"{rule.files:,}", size(rule.bytes), size(rule.packed)) for rule in found.rules]
        parts.append(table(cells, right=frozenset({1, 2, 3})))
    if found.hollow:
        parts.append("\n".join(line for hollow in found.hollow for line in _hollow_lines(hollow)))
    if found.metadata:
        parts.append(
            "\n".join(("metadata that is read, and stays:", *(f"  {printable(p)}" for p in found.metadata)))
        )
    if found.needed:
        rows = [(f"  {printable(each.called)}", printable(_last(each.why))) for each in found.needed]
        parts.append("\n".join(("the smoke tests need:", table(rows))))
    before, after = found.before, found.after
    ran = f"{count(found.trials, 'trial')}, {found.run:,} of them now"
    told = [
        f"{found.layer}: {size(before.unzipped)} -> {size(after.unzipped)} unzipped, "
        f"{size(before.zipped)} -> {size(after.zipped)} zipped; {ran}"
        if found.rules
        else f"{found.layer}: nothing was found that could go; {ran}"
    ]
    if found.too_large:
        told.append(f"its smoke tests pass, but {found.too_large}")
    if written:
        told.append(f"wrote {written}: read the rules, then: layerlock lock {found.layer}")
    elif found.rules:
        told.append("nothing was written; --write adds the rules to the recipe")
    return "\n\n".join((*parts, "\n".join(told)))


def _hollow_lines(hollow: Hollow) -> list[str]:
    from layerlock.ui.text import printable, size  # noqa: PLC0415 - as above

    saved = f"{size(hollow.bytes)} unzipped, {size(hollow.packed)} zipped"
    lines = [f"{hollow.package} is imported and never called ({saved}); imported by"]
    return [*lines, *(f"  {printable(place)}: {printable(text)}" for place, text in hollow.statements)]


def _last(why: str) -> str:
    lines = [line for line in why.split("\n") if line.strip()]
    return lines[-1][:160] if lines else ""


def _fields(found: Shrunk, written: str) -> dict[str, Any]:
    return {**asdict(found), "written": written}
