"""Help that teaches: what a verb does, what it writes, an example, what to try next, and the exit codes."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterable
from dataclasses import dataclass

from layerlock import errors
from layerlock.cli.verbs import VERBS
from layerlock.errors import LayerlockError

WIDTH = 88
_LEAST = 20
"""Columns of text; on less nothing is set well."""
_ENDLESS = 10_000
INTERRUPTED = "interrupted by Ctrl-C (143: by SIGTERM, 129: by SIGHUP); what was finished is kept"
ONE = "Of diff: they differ. Else anything unforeseen; a defect, most likely."
MAIN = (
    "Builds AWS Lambda layers from pinned recipes: every source, tool and patch is named by its hash, every "
    "build runs in a sandbox without network, and the same lock gives the same zip, byte for byte."
)
_FIRST_STEPS = (
    ("layerlock show", "what there is"),
    ("layerlock lock cv", "pin every source of the layer cv: writes lockfiles/cv.lock"),
    ("layerlock build cv", "build it: writes dist/cv.zip"),
    ("layerlock record cv", "write the hashes of what was built into the lock"),
)
_VARIABLES = (
    ("LAYERLOCK_STORE", "the store, where --store is not given"),
    ("LAYERLOCK_JOBS", "processes at once, where --jobs is not given"),
    ("LAYERLOCK_SANDBOX", "bwrap, docker or auto, where --sandbox is not given"),
    ("LAYERLOCK_CACHE_KEY", "the private key of `cache push`, where --key is not given"),
    ("LAYERLOCK_SCHEDULER", "the cluster that builds, where --scheduler is not given"),
    ("LAYERLOCK_TLS_CA, _CERT, _KEY", "the files of --tls-ca, --tls-cert and --tls-key"),
    ("LAYERLOCK_TRACEBACK", "if set, show where in the driver an unexpected error came from"),
    ("LAYERLOCK_PLAIN", "if set, write plain lines on terminals too, as suits screen readers"),
    ("NO_COLOR", "if set, write without colours"),
    ("DOCKER_HOST, DOCKER_CONTEXT", "the docker engine, as for the docker command"),
    ("HTTPS_PROXY, NETRC", "heeded as `requests` does; REQUESTS_CA_BUNDLE and NO_PROXY too"),
    ("PIP_INDEX_URL", "the index, as for pip"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Help:
    """What the help of a verb says: a paragraph, what it writes, examples, and related verbs."""

    about: str
    writes: str
    examples: tuple[str, ...]
    related: tuple[str, ...]

    def epilog(self) -> str:
        """Write what follows the list of arguments."""
        paragraphs = (
            "writes:\n" + _fill(self.writes, "  "),
            "example:\n" + "\n".join(f"  {line}" for line in self.examples),
            "related:\n" + _rows((f"layerlock {verb}", VERBS[verb]) for verb in self.related),
            "Exit codes: layerlock --help",
        )
        return "\n\n".join(paragraphs)


def description(text: str) -> str:
    """Set a paragraph in the help's width."""
    return _fill(text, "")


def main_epilog() -> str:
    """Write what follows the options in the help of the command itself."""
    codes = [(f"{code:>3}", meaning) for code, meaning in exit_codes()]
    return "\n\n".join(
        (
            f"verbs (layerlock VERB --help says more):\n{_rows(VERBS.items())}",
            f"first steps, in a folder that holds `recipes/`:\n{_rows(_FIRST_STEPS)}",
            f"environment:\n{_rows(_VARIABLES)}",
            f"exit codes:\n{_rows(codes)}",
        )
    )


def exit_codes() -> list[tuple[int, str]]:
    """Give every exit code and what it means, out of the errors' own documentation."""
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, LayerlockError) and kind is not LayerlockError
    ]
    named = {kind.exit_code: (inspect.getdoc(kind) or "").partition("\n")[0] for kind in kinds}
    return sorted({0: "Done.", 1: ONE, 130: INTERRUPTED, **named}.items())


def _fill(text: str, indent: str) -> str:
    return _wrapped(text, min(WIDTH, _columns(WIDTH)), indent, indent)


def _rows(rows: Iterable[tuple[str, str]]) -> str:
    """Set names and what they mean in two columns; where a terminal is too narrow, meanings take several lines."""
    rows = [*rows]
    wide = max(len(name) for name, _ in rows)
    columns = _columns(_ENDLESS)
    # Beside long names a narrow terminal has no room: meanings go below them, indented.
    beside = columns >= wide + 4 + _LEAST
    lines = []
    for name, meaning in rows:
        if beside:
            lines.append(_wrapped(meaning, columns, f"  {name:<{wide}}  ", " " * (wide + 4)))
        else:
            lines += [f"  {name}", _wrapped(meaning, columns, " " * 6, " " * 6)]
    return "\n".join(lines)


def _wrapped(text: str, width: int, first: str, rest: str) -> str:
    import textwrap  # noqa: PLC0415 - only who asks for help pays for it

    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)


def _columns(otherwise: int) -> int:
    """Give the terminal's columns as argparse does: what COLUMNS says counts first."""
    return max(shutil.get_terminal_size((otherwise, 24)).columns, _LEAST)
