"""`layerlock hash`: the hash of a file or folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.help import Help
from layerlock.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from layerlock.cli.call import Call

HELP = Help(
    about="Prints the sha256 of a file's, link's or folder's NAR serialisation in SRI form: what recipes and locks "
    "call a tree hash, and what `nix hash path` prints. Owners, times and permissions other than the executable "
    "bit do not count.",
    writes="nothing.",
    examples=("layerlock hash src/",),
    related=("verify", "show"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("path", metavar="PATH", help="a file, a symbolic link or a folder")


def run(call: Call) -> int:
    """Print the hash."""
    from layerlock.io.nar import nar_sha256  # noqa: PLC0415 - --help does without it

    path = call.current / call.options.path
    if not path.exists() and not path.is_symlink():
        raise UsageError(f"there is no {call.options.path}")
    hashed = nar_sha256(path)
    call.result(hashed, {"path": str(path), "hash": hashed})
    return 0
