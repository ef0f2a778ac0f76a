"""Help that teaches: what a verb does, what it writes, an example, what to try next, and the exit codes."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from layerlock import errors
from layerlock.cli.verbs import VERBS
from layerlock.errors import LayerlockError

WIDTH = 88
INTERRUPTED = "interrupted by Ctrl-C (143: by SIGTERM, 129: by SIGHUP); what was finished is kept"
ONE = "Of diff: they differ. Else anything unforeseen; a defect, most likely."
MAIN = (
    "Builds AWS Lambda layers from pinned recipes: every source, tool and patch is named by its hash, every "
    "build runs in a sandbox without network, and the same lock gives the same zip, byte for byte."
)
_FIRST_STEPS = """\
first steps, in a folder that holds `recipes/`:
  layerlock show                 what there is
  layerlock lock cv              pin every source of the layer cv: writes lockfiles/cv.lock
  layerlock build cv             build it: writes dist/cv.zip
  layerlock record cv            write the hashes of what was built into the lock"""
_VARIABLES = """\
environment:
  LAYERLOCK_STORE                the store, where --store is not given
  LAYERLOCK_JOBS                 processes at once, where --jobs is not given
  LAYERLOCK_SANDBOX              bwrap, docker or auto, where --sandbox is not given
  LAYERLOCK_CACHE_KEY            the private key of `cache push`, where --key is not given
  LAYERLOCK_SCHEDULER            the cluster that builds, where --scheduler is not given
  LAYERLOCK_TLS_CA, _CERT, _KEY  the files of --tls-ca, --tls-cert and --tls-key
  LAYERLOCK_TRACEBACK            if set, show where in the driver an unexpected error came from
  LAYERLOCK_PLAIN                if set, write plain lines on terminals too, as suits screen readers
  NO_COLOR                       if set, write without colours
  DOCKER_HOST, DOCKER_CONTEXT    the docker engine, as for the docker command
  HTTPS_PROXY, REQUESTS_CA_BUNDLE, NETRC and PIP_INDEX_URL are heeded as `requests` and pip do"""


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
            "related:\n" + "\n".join(f"  layerlock {verb:<8} {VERBS[verb]}" for verb in self.related),
            "Exit codes: layerlock --help",
        )
        return "\n\n".join(paragraphs)


def description(text: str) -> str:
    """Set a paragraph in the help's width."""
    return _fill(text, "")


def main_epilog() -> str:
    """Write what follows the options in the help of the command itself."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:<{width}}  {summary}" for verb, summary in VERBS.items())
    codes = "\n".join(f"  {code:>3}  {meaning}" for code, meaning in exit_codes())
    return "\n\n".join(
        (
            f"verbs (layerlock VERB --help says more):\n{verbs}",
            _FIRST_STEPS,
            _VARIABLES,
            f"exit codes:\n{codes}",
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
    import textwrap  # noqa: PLC0415 - only who asks for help pays for it

    return textwrap.fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
