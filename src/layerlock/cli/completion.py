"""`layerlock completion`: what shells offer at the tab key, out of the parsers of the verbs themselves.

The scripts are whole: they list recipes by looking into `recipes/` and start nothing, so that the tab key answers at
once. shtab would have written such scripts from argparse, but knows no fish, and nothing of recipes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerlock.cli.arguments import common_options, load, verb_parser
from layerlock.cli.help import Help
from layerlock.cli.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from layerlock.cli.call import Call

SHELLS = ("bash", "zsh", "fish")

HELP = Help(
    about="Prints a script that teaches a shell the verbs, their options and the names of the layers, functions and "
    "packages of the repository that one stands in (or that --repo names).",
    writes="nothing. bash and zsh read the script from their start-up file, fish from a file of its own.",
    examples=(
        'layerlock completion bash     # in ~/.bashrc: eval "$(layerlock completion bash)"',
        'layerlock completion zsh      # in ~/.zshrc, after compinit: eval "$(layerlock completion zsh)"',
        "layerlock completion fish > ~/.config/fish/completions/layerlock.fish",
    ),
    related=("doctor", "show"),
)

_BY_METAVAR = {
    "LAYER": "layers",
    "LAYER@REVISION": "layers",
    "PACKAGE": "packages",
    "DIR": "folders",
    **dict.fromkeys(("FILE", "PATH", "ZIP", "KEY", "DATABASE", "IMAGE", "A", "B", "OTHER"), "files"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Argument:
    """An option (with its `flags`) or an argument by place (without).

    `words` are the values there are; else `kind` says what they name: layers, packages, recipes, folders, files, or
    nothing that could be listed. `called` is the value's name in the help, `valued` says whether an option takes one,
    `many` whether it or the place repeats.
    """

    flags: tuple[str, ...]
    called: str
    help: str
    kind: str
    words: tuple[str, ...]
    valued: bool
    many: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What can be said after a verb; the verb "" stands for what can be said before one."""

    verb: str
    summary: str
    options: tuple[Argument, ...]
    places: tuple[Argument, ...]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(call: Call) -> int:
    """Print the script."""
    from layerlock.cli import shells  # noqa: PLC0415 - --help does without it

    script = shells.WRITERS[call.options.shell](everything())
    call.result(script.rstrip("\n"), {"shell": call.options.shell, "script": script})
    return 0


def everything() -> tuple[Words, ...]:
    """Give what can be said, before any verb and after each."""
    first = _words("", "", common_options()._actions)
    return (first, *(_words(verb, VERBS[verb], verb_parser(verb, load(verb))._actions) for verb in VERBS))


def _words(verb: str, summary: str, actions: Iterable[argparse.Action]) -> Words:
    listed = [_argument(action) for action in actions if action.help != argparse.SUPPRESS]
    return Words(
        verb=verb,
        summary=summary,
        options=tuple(each for each in listed if each.flags),
        places=tuple(each for each in listed if not each.flags),
    )


def _argument(action: argparse.Action) -> Argument:
    return Argument(
        flags=tuple(action.option_strings),
        called=str(action.metavar or ", ".join(map(str, action.choices or ()))),
        help=(action.help or "").replace("%%", "%"),
        kind=_kind(action),
        words=tuple(str(choice) for choice in action.choices or ()),
        valued=action.nargs != 0,
        many=action.nargs in ("+", "*"),
    )


def _kind(action: argparse.Action) -> str:
    metavar = str(action.metavar or "")
    if metavar == "NAME":
        # After an option it may be anything's: a bucket's, a profile's.
        if action.option_strings:
            return "packages" if action.dest == "upgrade" else "nothing"
        return "recipes"
    return _BY_METAVAR.get(metavar, "nothing")
