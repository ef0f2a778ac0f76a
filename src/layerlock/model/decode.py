"""Documents into frozen records, driven by the records' own annotations.

One description serves three readers: `decode` checks a document against it, `schema` (see `schema.py`) turns it
into a JSON Schema, and the reference pages are written from it. A field is described by `item(...)`; constraints
on text stand in `Annotated` types, so that every hash or path is checked by the same rule everywhere.
"""

from __future__ import annotations

import dataclasses
import datetime
import difflib
import functools
import re
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """A rule for text: the pattern that it matches in full, and what to call it in a message."""

    pattern: str
    called: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """Text such as `3 GiB` that stands for a whole number of bytes or seconds."""

    called: str
    units: tuple[tuple[str, int], ...]

    def read(self, text: str) -> int | None:
        """Give the number, or None where the text is no such quantity."""
        found = re.fullmatch(r"(\d+) ?([A-Za-z]+)", text)
        factor = dict(self.units).get(found[2]) if found else None
        return int(found[1]) * factor if found and factor else None


Name = Annotated[str, Text(pattern=r"[a-z0-9][a-z0-9._-]*", called="a name of [a-z0-9._-]")]
RelativePath = Annotated[
    str,
    Text(
        pattern=r"(?!.*(^|/)\.\.?(/|$))[A-Za-z0-9._+-]+(/[A-Za-z0-9._+-]+)*",
        called="a relative path without `..`",
    ),
]
AbsolutePath = Annotated[
    str, Text(pattern=r"(?!.*/\.\.?(/|$))(/[A-Za-z0-9._+-]+)+", called="an absolute path without `..`")
]
Sha256 = Annotated[str, Text(pattern=r"[0-9a-f]{64}", called="a sha256 of 64 hexadecimal digits")]
Commit = Annotated[str, Text(pattern=r"[0-9a-f]{40}", called="a git commit of 40 hexadecimal digits")]
TreeHash = Annotated[str, Text(pattern=r"sha256-[A-Za-z0-9+/]{43}=", called="a tree hash, `sha256-<base64>`")]
ImageDigest = Annotated[
    str, Text(pattern=r"sha256:[0-9a-f]{64}", called="a digest, `sha256:` and 64 hexadecimal digits")
]
# The grammar of the distribution project's `reference` package, with the registry always named: which one a bare name
# means is a setting of each engine.
IMAGE_REFERENCE = (
    r"(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)+|[a-z0-9-]+(?=:[0-9]))(?::[0-9]{1,5})?"
    r"(?:/[a-z0-9]+(?:(?:\.|_{1,2}|-+)[a-z0-9]+)*)+"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?"
    r"(?:@sha256:[0-9a-f]{64})?"
)
ImageReference = Annotated[
    str,
    Text(
        pattern=IMAGE_REFERENCE,
        called="an image with its registry, `REGISTRY/REPOSITORY[:TAG][@sha256:DIGEST]`",
    ),
]
Variable = Annotated[str, Text(pattern=r"[A-Za-z_][A-Za-z0-9_]*", called="a variable's name")]
Bytes = Annotated[
    int,
    Quantity(
        called="a size such as `90 MB` or `3 GiB`",
        units=(
            ("B", 1),
            ("kB", 10**3),
            ("MB", 10**6),
            ("GB", 10**9),
            ("KiB", 2**10),
            ("MiB", 2**20),
            ("GiB", 2**30),
        ),
    ),
]
Seconds = Annotated[
    int, Quantity(called="a duration such as `30 min`", units=(("s", 1), ("min", 60), ("h", 3600)))
]


class DecodeError(ValueError):
    """A document does not fit; `path` gathers the way to the place as the error unwinds."""

    def __init__(self, problem: str, path: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = path

    def within(self, step: str) -> DecodeError:
        """Give the same error, seen from one step further out."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        return DecodeError(self.problem, step + joint + self.path)


def item(doc: str, *, default: Any = dataclasses.MISSING, example: str = "") -> Any:
    """Describe a field of a document: what it says, its default, and an example in TOML's spelling."""
    metadata = {"doc": doc, "example": example}
    if default == {}:
        return dataclasses.field(default_factory=lambda: types.MappingProxyType({}), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def required(field: dataclasses.Field[Any]) -> bool:
    """Say whether a document must have the field."""
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


@functools.cache
def annotations_of(cls: type) -> dict[str, Any]:
    """Give a record's field annotations, resolved."""
    return typing.get_type_hints(cls, include_extras=True)


def decode(cls: type[T], value: object) -> T:
    """Make a record of a parsed document.

    Raises:
        DecodeError: a key is unknown or missing, or a value has the wrong type or form.
    """
    return typing.cast("T", _record(cls, value))


def _record(cls: type, value: object) -> object:
    if not isinstance(value, Mapping):
        raise DecodeError(f"must be a table, not {_called(value)}")
    # A key that is a Python keyword (`from`) has a field with an underscore behind it.
    fields = {f.name.rstrip("_"): f for f in dataclasses.fields(cls)}
    for name in value:
        if name not in fields:
            near = difflib.get_close_matches(str(name), fields, n=1, cutoff=0.5)
            known = f"did you mean `{near[0]}`?" if near else "known keys: " + ", ".join(sorted(fields))
            raise DecodeError(f"unknown key; {known}", str(name))
    made: dict[str, object] = {}
    for name, described in fields.items():
        if name in value:
            try:
                made[described.name] = _value(annotations_of(cls)[described.name], value[name])
            except DecodeError as error:
                raise error.within(name) from None
        elif required(described):
            raise DecodeError(f"the key `{name}` is missing")
    return cls(**made)


def _value(kind: Any, value: object) -> object:
    origin = get_origin(kind)
    if origin is Annotated:
        return _constrained(get_args(kind), value)
    if origin in (Union, types.UnionType):
        return _union(get_args(kind), value)
    if origin is tuple:
        return _sequence(get_args(kind)[0], value)
    if origin is Literal:
        if value not in get_args(kind):
            raise DecodeError(f"must be one of {', '.join(map(repr, get_args(kind)))}, not {value!r}")
        return value
    if origin is Mapping or origin is dict:
        return _mapping(get_args(kind), value)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _record(kind, value)
    if kind is Any or kind is object:
        return value
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise DecodeError(f"must be {_NAMES[kind]}, not {_called(value)}")
    return value


def _constrained(arguments: tuple[Any, ...], value: object) -> object:
    rule = arguments[1]
    if isinstance(rule, Quantity):
        number = rule.read(value) if isinstance(value, str) else None
        if number is None:
            raise DecodeError(f"must be {rule.called}, not {value!r}")
        return number
    if not isinstance(value, str):
        raise DecodeError(f"must be {rule.called}, not {_called(value)}")
    if not re.fullmatch(rule.pattern, value):
        raise DecodeError(f"must be {rule.called}, not {value!r}")
    return value


def _union(members: tuple[Any, ...], value: object) -> object:
    records = [member for member in members if dataclasses.is_dataclass(member)]
    if len(records) > 1:
        return _record(_tagged(records, value), value)
    (member,) = [member for member in members if member is not types.NoneType]
    return _value(member, value)


def _tagged(records: list[Any], value: object) -> type:
    """Choose among records by the first field of each, whose annotation is a literal tag."""
    tag = dataclasses.fields(records[0])[0]
    if not isinstance(value, Mapping):
        raise DecodeError(f"must be a table, not {_called(value)}")
    said = value.get(tag.name, tag.default)
    by_tag = {get_args(annotations_of(record)[tag.name])[0]: record for record in records}
    if not isinstance(said, str) or said not in by_tag:
        if said is dataclasses.MISSING:
            raise DecodeError(f"the key `{tag.name}` is missing")
        raise DecodeError(f"must be one of {', '.join(map(repr, by_tag))}, not {said!r}", tag.name)
    chosen: type = by_tag[said]
    return chosen


def _sequence(kind: Any, value: object) -> tuple[object, ...]:
    if not isinstance(value, list | tuple):
        raise DecodeError(f"must be an array, not {_called(value)}")
    made = []
    for index, item in enumerate(value):
        try:
            made.append(_value(kind, item))
        except DecodeError as error:
            raise error.within(f"[{index}]") from None
    return tuple(made)


def _mapping(kinds: tuple[Any, Any], value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise DecodeError(f"must be a table, not {_called(value)}")
    made: dict[str, object] = {}
    for name, item in value.items():
        try:
            made[str(_value(kinds[0], name))] = _value(kinds[1], item)
        except DecodeError as error:
            raise error.within(str(name)) from None
    return types.MappingProxyType(made)


_NAMES: dict[type, str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    datetime.date: "a date",
}


def _called(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int():
            return "a whole number"
        case list() | tuple():
            return "an array"
        case Mapping():
            return "a table"
        case _:
            return f"a {type(value).__name__}"
