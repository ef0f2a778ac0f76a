"""`layerlock record`: building a layer, and writing what came out into its lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_building, add_caching
from layerlock.cli.build import out_folder, tell_layer
from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Builds a layer with everything that it needs, and writes the hash of every output and of the zip into the "
    "layer's lock. From then on a build anywhere is held against the record: it is confirmed, or it stops at the "
    "first output that differs. Outputs that are recorded already must come out the same; `lock` drops the records "
    "of what changed.",
    writes="lockfiles/LAYER.lock and dist/LAYER.zip in the recipe repository (--out names another folder).",
    examples=("layerlock record cv",),
    related=("lock", "build"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layer", metavar="LAYER", help="the layer to record")
    parser.add_argument("--out", metavar="DIR", help="where the zip goes; `dist` in the recipe repository")
    add_building(parser)
    add_caching(parser)


def run(call: Call) -> int:
    """Record a layer."""
    layer = call.options.layer
    check_layer(call.repository, layer)
    from layerlock.workflows.building import record_layer  # noqa: PLC0415 - usage errors are told without it

    with call.driver() as driver:
        built = record_layer(driver, layer, out_folder(call))
    tell_layer(call, built)
    return 0
