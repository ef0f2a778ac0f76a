"""Records of the Open Source Vulnerability format, read with care: a database comes from anywhere.

Format: https://ossf.github.io/osv-schema/ (version 1.x). What is not looked at here is not read; what is looked at
must have the type that the schema gives it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar, get_args

from layerlock.errors import BadAdvisories

T = TypeVar("T")
EventKind = Literal["introduced", "fixed", "last_affected", "limit"]
IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,127}")
"""What a record's id may be: it becomes a part of addresses and of messages."""

_EVENTS: Final[dict[str, EventKind]] = {name: name for name in get_args(EventKind)}
_LONGEST: Final = 256
"""Characters of a version: comparing longer ones would be somebody's joke."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A version at which something changes."""

    kind: EventKind
    version: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Events in one kind of version: `SEMVER`, `ECOSYSTEM` or `GIT`."""

    kind: str
    events: tuple[Event, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Affected:
    """A package that a record speaks of: by ecosystem and name, by package URL, or by both."""

    ecosystem: str
    name: str
    purl: str
    ranges: tuple[Range, ...]
    versions: frozenset[str]

    @property
    def fixed(self) -> tuple[str, ...]:
        """The versions that mend it, of ranges whose versions can be compared."""
        return tuple(e.version for r in self.ranges if r.kind != "GIT" for e in r.events if e.kind == "fixed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Advisory:
    """One record. `upstream` are the vulnerabilities that a distribution's advisory gathers."""

    id: str
    aliases: tuple[str, ...]
    upstream: tuple[str, ...]
    summary: str
    withdrawn: bool
    affected: tuple[Affected, ...]

    @property
    def names(self) -> frozenset[str]:
        """Every name of the vulnerability itself."""
        return frozenset((self.id, *self.aliases))


def read_advisory(document: Any, shown: str) -> Advisory:
    """Make a record of a parsed document; `shown` is what messages call it.

    Raises:
        BadAdvisories: it is no OSV record.
    """
    try:
        table = _table(document, "the record")
        name = _text(table, "id")
        if not IDENTIFIER.fullmatch(name):
            raise _Wrong("`id` is no identifier")
        _text(table, "modified")
        return Advisory(
            id=name,
            aliases=tuple(_texts(table, "aliases")),
            upstream=tuple(_texts(table, "upstream")),
            summary=_text(table, "summary", "") or _first_line(_text(table, "details", "")),
            withdrawn=bool(_text(table, "withdrawn", "")),
            affected=tuple(_affected(each) for each in _list(table, "affected")),
        )
    except _Wrong as error:
        raise BadAdvisories(
            f"{shown} is no OSV record: {error}",
            hint="a database is a folder or zip of JSON files in OSV's format, or an address of its API",
        ) from None


class _Wrong(Exception):
    pass


def _affected(value: Any) -> Affected:
    table = _table(value, "an entry of `affected`")
    # Records about commits alone name no package.
    package = _table(table.get("package", {}), "`package`")
    return Affected(
        ecosystem=_text(package, "ecosystem", ""),
        name=_text(package, "name", ""),
        purl=_text(package, "purl", ""),
        ranges=tuple(_range(each) for each in _list(table, "ranges")),
        versions=frozenset(_texts(table, "versions")),
    )


def _range(value: Any) -> Range:
    table = _table(value, "an entry of `ranges`")
    return Range(kind=_text(table, "type"), events=tuple(_events(_list(table, "events"))))


def _events(values: Iterable[Any]) -> Iterator[Event]:
    for value in values:
        for name, version in _table(value, "an event").items():
            kind = _EVENTS.get(name)
            if kind is None:
                raise _Wrong(f"there is no event {name!r}"[:100])
            if not isinstance(version, str) or len(version) > _LONGEST:
                raise _Wrong(f"the version of an event `{name}` is no text, or too long")
            yield Event(kind=kind, version=version)


def _table(value: Any, called: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _Wrong(f"{called} is no object")
    return value


def _list(table: dict[str, Any], name: str) -> list[Any]:
    value = table.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _Wrong(f"`{name}` is no array")
    return value


def _texts(table: dict[str, Any], name: str) -> list[str]:
    values = _list(table, name)
    if not all(isinstance(value, str) for value in values):
        raise _Wrong(f"`{name}` holds something that is no text")
    return values


def _text(table: dict[str, Any], name: str, default: str | None = None) -> str:
    value = table.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise _Wrong(f"`{name}` is missing" if value is None else f"`{name}` is no text")
    return value


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]
