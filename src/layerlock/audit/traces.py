"""Strings that have no business in a layer: where it was built, on what machine, and secrets.

Each sieve is one fast expression that starts with a literal; only where it hits are the rules tried that tell what it
is. Secrets are known by their form alone, as their issuers document it: nothing is asked over the network, and what
is found is never shown whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

TraceKind = Literal["build path", "host", "secret"]

_SHOWN: Final = 100
_HITS: Final = 100_000
"""Hits of a sieve in one file that are looked at closely."""
_MOST: Final = 5
"""Traces of one rule in one file that are told; the others are counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """One string that was found: by which rule, at which byte, how often in the file, and what of it may be shown."""

    path: str
    kind: TraceKind
    what: str
    offset: int
    text: str
    times: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What is looked for. `binary` rules leave text alone, where such a string is an example that someone wrote."""

    kind: TraceKind
    what: str
    pattern: re.Pattern[bytes]
    binary: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Sieve:
    """Where rules are worth trying: they match from the beginning of a hit."""

    pattern: re.Pattern[bytes]
    rules: tuple[Rule, ...]


def _rule(kind: TraceKind, what: str, pattern: bytes, *, binary: bool = False) -> Rule:
    return Rule(kind=kind, what=what, pattern=re.compile(pattern), binary=binary)


def _sieve(pattern: bytes, *rules: Rule) -> Sieve:
    return Sieve(pattern=re.compile(pattern), rules=rules)


_FREE: Final = rb"(?<![A-Za-z0-9_.\-/~\])}>*:])"
"""Where a path can begin: in `lib/build/` and `https://host/build/` it does not."""
_ALONE: Final = rb"(?<![\w-])"
_REST: Final = rb"[!#-&+-:=?-Z_a-z~@]*"
_BREAK: Final = rb"(?:\\r|\\n|[\r\n ])+"

SIEVES: Final[tuple[Sieve, ...]] = (
    _sieve(
        rb"/(?:build|deps|sources|layerlock|home|root|Users|__w|workspace|github|tmp)/",
        _rule(
            "build path", "a folder of the sandbox", _FREE + rb"/(?:build|deps|sources|layerlock)/" + _REST
        ),
        # A machine's own folders: in text they are mostly examples.
        _rule("build path", "a home", _FREE + rb"/(?:home/[a-z_]|Users/[A-Za-z]|root/)" + _REST, binary=True),
        _rule("build path", "a runner's folder", _FREE + rb"/(?:__w|github/workspace)/" + _REST),
        _rule("build path", "a runner's folder", _FREE + rb"/workspace/" + _REST, binary=True),
        _rule(
            "build path",
            "a temporary folder",
            _FREE + rb"/tmp/(?:tmp[a-z0-9_]{8}/|pip-|build-|\.mesonpy-|easy_install|cc\w{6}\.)" + _REST,
        ),
    ),
    _sieve(
        rb"r(?:oot|unner)@",
        _rule(
            "host",
            "a user on a host",
            _ALONE + rb"r(?:oot|unner)@[A-Za-z0-9][A-Za-z0-9.-]{2,60}",
            binary=True,
        ),
    ),
    _sieve(
        rb"build(?:d|er)?@",
        _rule("host", "a user on a host", _ALONE + rb"build\w*@[A-Za-z0-9][A-Za-z0-9.-]{2,60}", binary=True),
    ),
    _sieve(
        rb"ip-\d",
        _rule("host", "a host of Amazon's", _ALONE + rb"ip(?:-\d{1,3}){4}(?:\.[a-z0-9-]+)*(?![\w-])"),
    ),
    _sieve(rb"fv-az", _rule("host", "a runner", _ALONE + rb"fv-az\d+-\d+(?![\w-])")),
    _sieve(
        rb"#\d{1,6}[~ -]", _rule("host", "a kernel", rb"#\d{1,6}(?:~[\w.]+)?(?:-[A-Z][a-z]+)? SMP[ -~]{0,60}")
    ),
    _sieve(
        rb"Linux[- ]",
        _rule("host", "a kernel", _ALONE + rb"Linux[- ](?:version )?\d\.\d+\.\d+-[\w.+-]{3,60}"),
    ),
    _sieve(
        rb"-----BEGIN",
        _rule(
            "secret",
            "a private key",
            # The line alone is in every program that reads keys.
            rb"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            + _BREAK
            + rb"(?:[A-Za-z-]{1,40}: [ -~]{0,200}"
            + _BREAK
            + rb"){0,9}[A-Za-z0-9+/]{32}",
        ),
    ),
    _sieve(
        rb"A(?:KIA|SIA|Iza|WS_SECRET_ACCESS_KEY)",
        _rule("secret", "an AWS access key", _ALONE + rb"A(?:KIA|SIA)[A-Z2-7]{16}(?!\w)"),
        _rule("secret", "a Google API key", _ALONE + rb"AIza[0-9A-Za-z_-]{35}(?![\w-])"),
        _rule(
            "secret", "an AWS secret key", rb"AWS_SECRET_ACCESS_KEY[\"' =:]{1,8}[A-Za-z0-9/+]{40}(?![\w/+])"
        ),
    ),
    _sieve(
        rb"aws_secret_access_key",
        _rule(
            "secret", "an AWS secret key", rb"aws_secret_access_key[\"' =:]{1,8}[A-Za-z0-9/+]{40}(?![\w/+])"
        ),
    ),
    _sieve(
        rb"g(?:h[pousr]_|ithub_pat_|lpat-)",
        _rule("secret", "a GitHub token", _ALONE + rb"gh[pousr]_[A-Za-z0-9]{36}(?!\w)"),
        _rule("secret", "a GitHub token", _ALONE + rb"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"),
        _rule("secret", "a GitLab token", _ALONE + rb"glpat-[A-Za-z0-9_-]{20}"),
    ),
    _sieve(
        rb"xox[abeprs]-\d",
        _rule("secret", "a Slack token", _ALONE + rb"xox[abeprs]-\d{6,}-[0-9A-Za-z-]{10,}"),
    ),
    _sieve(
        rb"k_live_",  # with [rs] in front it takes ten times as long
        _rule("secret", "a Stripe key", rb"(?<=[rs])(?<![\w-][rs])k_live_[0-9A-Za-z]{24,}"),
    ),
    _sieve(rb"pypi-AgE", _rule("secret", "a PyPI token", _ALONE + rb"pypi-AgE[A-Za-z0-9_-]{50,}")),
    _sieve(rb"npm_", _rule("secret", "an npm token", _ALONE + rb"npm_[A-Za-z0-9]{36}(?!\w)")),
    _sieve(
        rb"eyJ[\w-]{10}",
        _rule("secret", "a JSON web token", _ALONE + rb"eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{20}"),
    ),
)

_EXAMPLES: Final = (b"EXAMPLE", b"XXXX", b"0000000000")
"""What stands in documentation: AWS's own example key ends so."""


def find_traces(path: str, content: bytes) -> Iterator[Trace]:
    """Give the traces in a file, the first few of each rule."""
    binary = b"\0" in content[:4096] and not path.endswith(".pyc")
    for sieve in SIEVES:
        found: dict[Rule, list[re.Match[bytes]]] = {}
        for hit in islice(sieve.pattern.finditer(content), _HITS):
            for rule in sieve.rules:
                match = rule.pattern.match(content, hit.start()) if binary or not rule.binary else None
                if match is not None and not _example(rule, match[0]):
                    found.setdefault(rule, []).append(match)
                    break
        for rule, matches in found.items():
            for match in matches[:_MOST]:
                yield Trace(
                    path=path,
                    kind=rule.kind,
                    what=rule.what,
                    offset=match.start(),
                    text=_shown(rule, match[0]),
                    times=len(matches),
                )


def _example(rule: Rule, found: bytes) -> bool:
    return rule.kind == "secret" and any(word in found for word in _EXAMPLES)


def _shown(rule: Rule, found: bytes) -> str:
    """Write what was found; of a secret only what tells its kind."""
    text = found[:_SHOWN].decode("ascii", "backslashreplace")
    if rule.kind != "secret":
        return text
    return text.split("-----")[1] if text.startswith("-----") else f"{text[:8]}…"
