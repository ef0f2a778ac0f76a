"""`layerlock completion`: what shells offer at the tab key, out of the parsers of the verbs themselves.

The scripts are whole: they list recipes by looking into `recipes/` and start nothing, so that the tab key answers at
once. shtab would have written such scripts from argparse, but knows no fish, and nothing of recipes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from layerlock.cli.help import Help

if TYPE_CHECKING:
    import argparse

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


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=SHELLS, metavar="SHELL", help=", ".join(SHELLS))


def run(call: Call) -> int:
    """Print the script."""
    from layerlock.cli import shells, words  # noqa: PLC0415 - --help does without them

    script = shells.WRITERS[call.options.shell](words.everything())
    call.result(script.rstrip("\n"), {"shell": call.options.shell, "script": script})
    return 0
