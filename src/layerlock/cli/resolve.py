"""`layerlock resolve`: finding the wheels of packages that state ranges."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_offline
from layerlock.cli.help import Help
from layerlock.errors import UsageError
from layerlock.ui.text import count

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.io.repository import Repository
    from layerlock.workflows.resolving import Pinned

HELP = Help(
    about="Finds the wheels of a package that states ranges ([requirements] in its recipe): one a project, for the "
    "package's Python, processor and C library, with all that they need. Pins that still fit are kept; --upgrade "
    "moves those of one project, or of all. `layerlock lock` does the same for every package of a layer.",
    writes="recipes/packages/PACKAGE.wheels.toml in the recipe repository. Commit it.",
    examples=("layerlock resolve fastai", "layerlock resolve fastai --upgrade pandas"),
    related=("lock", "update", "pylock"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("packages", nargs="+", metavar="PACKAGE", help="the packages")
    parser.add_argument(
        "--upgrade",
        action="append",
        metavar="PROJECT",
        help="look for a newer wheel of this project, or of all with the package's own name; may be repeated",
    )
    add_offline(parser)


def run(call: Call) -> int:
    """Resolve every package, one after the other."""
    for name in call.options.packages:
        check_package(call.repository, name)
    from layerlock.workflows.resolving import pin_package  # noqa: PLC0415 - usage errors are told without it

    for name in call.options.packages:
        upgrade = {each if each == name else f"{name}/{each}" for each in call.option("upgrade", ())}
        with call.driver() as driver:
            pinned = pin_package(driver, driver.repository, name, frozenset(upgrade))
        call.result(_told(pinned), asdict(pinned))
    return 0


def check_package(repository: Repository, name: str) -> None:
    """Make sure that a package has this name.

    Raises:
        UsageError: none has; the nearest one is given.
    """
    known = repository.names("packages")
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"packages: {', '.join(known) or 'none'}"
        raise UsageError(f"there is no package `{name}` in {repository.root}", hint=hint)


def _told(pinned: Pinned) -> str:
    if not (pinned.added or pinned.moved or pinned.removed):
        return f"{pinned.file}: nothing changed ({count(pinned.wheels, 'wheel')})"
    parts = [f"{pinned.file}: {count(pinned.wheels, 'wheel')}"]
    parts += [f"  {project}: {before} -> {now}" for project, before, now in pinned.moved]
    for called, names in (("added", pinned.added), ("removed", pinned.removed)):
        if names:
            parts.append(f"  {called}: {', '.join(names)}")
    return "\n".join(parts)
