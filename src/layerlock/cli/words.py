"""What can be said on the command line, read from the parsers of the verbs themselves."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerlock.cli.arguments import common_options, load, verb_parser
from layerlock.cli.verbs import VERBS

if TYPE_CHECKING:
    from collections.abc import Iterable

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
