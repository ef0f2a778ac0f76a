"""`layerlock pylock`: a package's wheels as a `pylock.toml`, for other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.arguments import add_offline
from layerlock.cli.help import Help
from layerlock.cli.resolve import check_package

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call
    from layerlock.sources.fetch import Reach

HELP = Help(
    about="Writes the wheels of a package as a pylock.toml (PEP 751), which pip, uv and pdm install from. Wheels are "
    "named by their files beside it, so that the text is the same on every machine; --to puts them there, and "
    "--addresses writes where this machine's index has them.",
    writes="DIR/pylock.toml and the wheels with --to DIR; else nothing.",
    examples=(
        "layerlock pylock fastai --to dist/fastai",
        "layerlock pylock fastai --addresses > pylock.toml",
    ),
    related=("resolve", "sbom"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("package", metavar="PACKAGE", help="a package that is made from wheels")
    parser.add_argument("--to", metavar="DIR", help="write pylock.toml and the wheels into this folder")
    parser.add_argument(
        "--addresses",
        action="store_true",
        help="write the addresses of the wheels, as this machine's index has them",
    )
    add_offline(parser)


def run(call: Call) -> int:
    """Write the file, or print it."""
    name = call.options.package
    check_package(call.repository, name)
    from layerlock.workflows.resolving import pylock_of  # noqa: PLC0415 - usage errors are told without it

    def reach() -> Reach:
        from layerlock.cli.reach import make_reach  # noqa: PLC0415 - brings `requests` in

        return make_reach(call.settings)

    given = call.option("to")
    folder = call.current / given if given else None
    with call.driver() as driver:
        text = pylock_of(driver, name, folder=folder, reach=reach if call.option("addresses") else None)
    told = text.rstrip("\n") if folder is None else f"{folder / 'pylock.toml'}"
    call.result(
        told, {"package": name, "pylock": text, "file": str(folder / "pylock.toml") if folder else None}
    )
    return 0
