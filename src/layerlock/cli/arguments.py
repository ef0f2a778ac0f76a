"""Reading the command line: the options that all verbs share, and one parser a verb, made when it is needed."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable
from typing import NoReturn, Protocol, cast, get_args

import layerlock
from layerlock.cli.settings import Kind
from layerlock.cli.verbs import INTERNAL, VERBS
from layerlock.errors import UsageError

MAIN_USAGE = "layerlock [--repo DIR] [--store DIR] [--json] [--verbose] VERB ..."


class Verb(Protocol):
    """What the module of a verb holds."""

    HELP: object
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[..., int]


class _OfOneWidth(argparse.HelpFormatter):
    """Stands in until help is asked for: argparse makes one for each argument, and would measure the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors like all others, and whose help is made when it is asked for."""

    def __init__(self, usage_hint: str, *, prog: str, usage: str | None = None) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            formatter_class=_OfOneWidth,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        self._usage_hint = usage_hint
        self.write_help: Callable[[], tuple[str, str]] | None = None

    def format_help(self) -> str:
        """Write the help."""
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        if self.write_help is not None:
            self.description, self.epilog = self.write_help()
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Refuse the command line.

        Raises:
            UsageError: always; a mistyped option is answered with the nearest one.
        """
        import difflib  # noqa: PLC0415 - most command lines are right

        unknown = re.match(r"unrecognized arguments: (--[a-z-]+)", message)
        known = [option for action in self._actions for option in action.option_strings]
        near = difflib.get_close_matches(unknown[1], known, n=1) if unknown else []
        raise UsageError(message, hint=f"did you mean `{near[0]}`?" if near else self._usage_hint)


def parse(argv: list[str]) -> argparse.Namespace:
    """Read a command line: the verb's name stands in `verb`, its module in `module`.

    Raises:
        UsageError: it asks for what there is not.
        SystemExit: help or the version was asked for, and printed.
    """
    main = common_options()
    main.add_argument("verb", nargs="?", help=argparse.SUPPRESS)
    main.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = main.parse_args(argv)
    name: str | None = vars(options).get("verb")
    rest: list[str] = vars(options).pop("rest", [])
    if name is None:
        raise UsageError("a verb is missing", hint=f"one of: {', '.join(VERBS)}; see: layerlock --help")
    if name not in VERBS and name not in INTERNAL:
        import difflib  # noqa: PLC0415 - as above

        near = difflib.get_close_matches(name, VERBS, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"one of: {', '.join(VERBS)}; see: layerlock --help"
        raise UsageError(f"there is no verb `{name}`", hint=hint)
    module = load(name)
    options.module = module
    return verb_parser(name, module).parse_args(rest, options)


def common_options() -> Parser:
    """Make the parser of what may stand before a verb."""
    main = Parser("see: layerlock --help", prog="layerlock", usage=MAIN_USAGE)
    main.write_help = _main_help
    main.add_argument("--version", action="version", version=f"layerlock {layerlock.__version__}")
    _add_common(main)
    return main


def load(verb: str) -> Verb:
    """Load the module of a verb."""
    return cast("Verb", importlib.import_module(f"layerlock.cli.{verb.replace('-', '_')}"))


def verb_parser(name: str, module: Verb) -> Parser:
    """Make the parser of a verb."""
    parser = Parser(f"see: layerlock {name} --help", prog=f"layerlock {name}")
    parser.write_help = lambda: _verb_help(module)
    module.configure(parser)
    _add_common(parser)
    return parser


def add_building(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that build."""
    parser.add_argument(
        "--jobs",
        type=positive,
        metavar="N",
        help="processes at once; as many as there are cores if left out",
    )
    parser.add_argument("--keep-failed", action="store_true", help="keep the folders of a build that fails")
    add_sandbox(parser)
    add_offline(parser)
    add_from(parser)


def add_caching(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that take outputs out of binary caches."""
    parser.add_argument("--no-cache", action="store_true", help="ask no binary cache (see `layerlock cache`)")
    parser.add_argument(
        "--cache-only", action="store_true", help="build nothing: what no binary cache has is an error"
    )


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that have a cluster work."""
    parser.add_argument(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="have a cluster build, by its scheduler's address: tls://HOST:PORT (see `layerlock worker`)",
    )
    add_tls(parser)


def add_tls(parser: argparse.ArgumentParser) -> None:
    """Add the options of verbs that speak to a cluster."""
    for part, what in (
        ("ca", "the certificate of the authority that signs for the cluster"),
        ("cert", "one's own certificate"),
        ("key", "its private key"),
    ):
        parser.add_argument(f"--tls-{part}", metavar="FILE", help=f"{what}, in PEM")


def add_sandbox(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the sandbox."""
    parser.add_argument(
        "--sandbox",
        choices=get_args(Kind),
        help="what builds run in; bubblewrap where it works, else docker, if left out",
    )


def add_from(parser: argparse.ArgumentParser) -> None:
    """Add the option that names an archive."""
    parser.add_argument(
        "--from",
        dest="archive",
        metavar="DIR",
        help="an archive (see `layerlock archive`): sources come from there, and nothing from the network",
    )


def add_offline(parser: argparse.ArgumentParser) -> None:
    """Add the option of verbs that fetch."""
    parser.add_argument(
        "--offline", action="store_true", help="never use the network; what is missing is an error"
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("options of every verb")
    group.add_argument(
        "--repo", metavar="DIR", help="the recipe repository; the nearest parent with `recipes/`"
    )
    group.add_argument("--store", metavar="DIR", help="the store; ~/.cache/layerlock if left out")
    group.add_argument(
        "--json", action="store_true", help="write events and the result as JSON, one object a line"
    )
    group.add_argument("--verbose", action="store_true", help="show build logs and steps as they come")


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)


def amount(text: str) -> int:
    """Read a size in bytes, as recipes spell it."""
    from layerlock.model.decode import Bytes, Quantity  # noqa: PLC0415 - most command lines name none

    rule = get_args(Bytes)[1]
    assert isinstance(rule, Quantity)  # noqa: S101 - recipes spell sizes in the same way
    number = rule.read(text)
    if number is None:
        raise argparse.ArgumentTypeError(f"must be {rule.called}, not {text!r}")
    return number


def _main_help() -> tuple[str, str]:
    from layerlock.cli import help as texts  # noqa: PLC0415 - only who asks for help pays for it

    return texts.description(texts.MAIN), texts.main_epilog()


def _verb_help(module: Verb) -> tuple[str, str]:
    from layerlock.cli import help as texts  # noqa: PLC0415 - as above

    shown = cast("texts.Help", module.HELP)
    return texts.description(shown.about), shown.epilog()
