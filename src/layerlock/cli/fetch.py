"""`layerlock fetch`: bringing every source before one is without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_from, add_offline
from layerlock.cli.help import Help
from layerlock.cli.targets import check_target
from layerlock.ui.text import count

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Brings every source of a layer or a package into the store, each verified by its hash: what recipes name, "
    "the Debian packages of build environments, and the program that makes sandboxes. After it, building works "
    "with --offline.",
    writes="the store; nothing in the recipe repository.",
    examples=("layerlock fetch cv", "layerlock build cv --offline"),
    related=("build", "lock", "gc"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="NAME", help="a layer or a package")
    add_offline(parser)
    add_from(parser)


def run(call: Call) -> int:
    """Fetch a target's sources."""
    name = call.options.name
    check_target(call.repository, name)
    from layerlock.workflows.building import fetch_all  # noqa: PLC0415 - usage errors are told without it

    with call.driver() as driver:
        fetched = fetch_all(driver, name)
    call.result(
        f"{count(fetched, 'source')} of {name} in {call.store}",
        {"name": name, "sources": fetched, "store": str(call.store)},
    )
    return 0
