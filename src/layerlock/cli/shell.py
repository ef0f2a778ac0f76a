"""`layerlock shell`: looking around where a build runs."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_building, add_caching
from layerlock.cli.help import Help
from layerlock.cli.targets import builds_of

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Opens a shell in the sandbox of a build: its sources unpacked, its inputs and variables in place, nothing "
    "run yet. What the build needs is built first. The build's own commands stand in /layerlock/task.json; what is "
    "changed in the shell is gone when it ends.",
    writes="nothing that stays.",
    examples=("layerlock shell numpy",),
    related=("log", "build"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("name", metavar="NAME", help="a package, a layer, or a build as messages name it")
    add_building(parser)
    add_caching(parser)


def run(call: Call) -> int:
    """Open a shell; its exit status is the command's."""
    target, derivations = builds_of(call.repository, call.options.name)
    from layerlock.workflows.building import shell  # noqa: PLC0415 - usage errors are told without it

    with ExitStack() as stack:
        with call.driver() as driver:
            open_shell = stack.enter_context(shell(driver, target, derivations[0]))
        # The display is gone by now: it must not draw over the shell.
        return open_shell()
