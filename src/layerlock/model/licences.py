"""A repository's policy on licences, and what licences ask of a person who ships something under them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from layerlock.model.decode import Name, item


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenceException:
    """A licence that is accepted in one package."""

    package: Name = item("The package.")
    licence: str = item("The licence, as in its recipe, with its exception if it has one.")
    reason: str = item("Why it is accepted there, and what was done about what it asks.")


@dataclass(frozen=True, kw_only=True, slots=True)
class LicencePolicy:
    """`recipes/licences.toml`: the licences under which something may ship."""

    allowed: tuple[str, ...] = item(
        "Licences that may ship: SPDX identifiers, or `ID WITH EXCEPTION`.", example='["Apache-2.0", "MIT"]'
    )
    denied: tuple[str, ...] = item("Licences that may not; the others await a decision.", default=())
    exceptions: tuple[LicenceException, ...] = item("What is accepted all the same.", default=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What a family of licences asks.

    `text` is the name of the licence's text among Debian's common licences, `title` words by which the text itself is
    known from a mention of it, each of which it holds in this order.
    """

    licences: tuple[str, ...] = item("The licences, as SPDX has them.")
    text: str = item("The name of the text.", default="")
    title: tuple[str, ...] = item("Words by which the text is known.", default=())
    exception: str = item("Words by which the text of an exception is known.", default="")
    asks: tuple[Literal["source", "replaceable"], ...] = item("What is asked besides the text.", default=())
    summary: str = item("What to do, in a sentence.")


@dataclass(frozen=True, kw_only=True, slots=True)
class LicenceTerms:
    """`data/licence-terms.toml`."""

    terms: tuple[Terms, ...] = item("Families of licences.")
