"""`layerlock schema`: recipes' format, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.help import Help

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Prints the JSON Schema of one kind of document, generated from the same records that recipes are checked "
    "by. Editors that know TOML complete and check recipes with it.",
    writes="nothing; the schema goes to standard output.",
    examples=("layerlock schema package > package.schema.json",),
    related=("show",),
)

KINDS = ("caches", "environment", "function", "layer", "licences", "lock", "package", "published", "runtime")
"""The kinds of documents; `model.schema.DOCUMENTS` has the same, and is slower to load."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=", ".join(KINDS))


def run(call: Call) -> int:
    """Print a schema."""
    from layerlock.model.schema import dump_schema, schema  # noqa: PLC0415 - --help does without it

    kind = call.options.kind
    if call.lines is not None:
        call.result("", {"kind": kind, "schema": schema(kind)})
    else:
        call.stdout.write(dump_schema(kind))
    return 0
