"""JSON Schema (draft 2020-12) of the documents, from the same annotations that `decode` checks them by.

What differs from a plain rendering is `base`: a recipe that changes another one may leave out any key of a table,
since its tables are laid over the other's key by key, while arrays are replaced whole.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from layerlock.model.caches import Caches
from layerlock.model.decode import Quantity, Text, annotations_of, required
from layerlock.model.function import FunctionRecipe
from layerlock.model.layer import LayerRecipe
from layerlock.model.licences import LicencePolicy
from layerlock.model.lock import Lock
from layerlock.model.published import Published
from layerlock.model.recipe import EnvironmentRecipe, PackageRecipe
from layerlock.model.runtime import RuntimeRecipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: Mapping[str, type] = types.MappingProxyType(
    {
        "caches": Caches,
        "environment": EnvironmentRecipe,
        "function": FunctionRecipe,
        "layer": LayerRecipe,
        "licences": LicencePolicy,
        "lock": Lock,
        "package": PackageRecipe,
        "published": Published,
        "runtime": RuntimeRecipe,
    }
)
"""Every kind of document and its record."""
LAID_OVER = frozenset({"function", "layer", "package"})
"""The kinds whose `base` names a document that the tables are laid over."""

Schema = dict[str, Any]


def schema(kind: str) -> Schema:
    """Give the JSON Schema of one kind of document.

    Raises:
        KeyError: there is no such kind.
    """
    cls = DOCUMENTS[kind]
    definitions: dict[str, Schema] = {}
    partial = kind in LAID_OVER
    top = _record(cls, definitions, partial=partial)
    if partial:
        # Only a document without a base must be whole.
        based = {"properties": {kind: {"required": ["base"]}}, "required": [kind]}
        top |= {"required": [kind], "if": based, "else": _needed(cls)}
    return {
        "$schema": DIALECT,
        "title": f"layerlock {kind}",
        **top,
        "$defs": dict(sorted(definitions.items())),
    }


def dump_schema(kind: str) -> str:
    """Spell a schema as it is committed."""
    return json.dumps(schema(kind), indent=2, ensure_ascii=False) + "\n"


def key_of(described: dataclasses.Field[Any]) -> str:
    """Give the key that a field stands for; one that is a Python keyword (`from`) has an underscore behind it."""
    return described.name.rstrip("_")


def members_of(kind: Any) -> tuple[type, ...]:
    """Give the records among which a tagged union chooses; nothing for any other annotation."""
    if get_origin(kind) not in (Union, types.UnionType):
        return ()
    members = tuple(m for m in get_args(kind) if dataclasses.is_dataclass(m) and isinstance(m, type))
    return members if len(members) > 1 else ()


def _record(cls: type, definitions: dict[str, Schema], *, partial: bool) -> Schema:
    """Render a record; where `partial`, no key of it or of the tables in it is demanded."""
    properties: dict[str, Schema] = {}
    for described in dataclasses.fields(cls):
        rendered = _value(annotations_of(cls)[described.name], definitions, partial=partial)
        properties[key_of(described)] = rendered | _told(described, annotations_of(cls)[described.name])
    made: Schema = {
        "description": (cls.__doc__ or "").strip(),
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }
    demanded = [key_of(described) for described in dataclasses.fields(cls) if required(described)]
    if demanded and not partial:
        made["required"] = demanded
    return made


def _needed(cls: type) -> Schema:
    """Give what a document without a base must have: the required keys of it and of the tables in it."""
    made: Schema = {}
    demanded = [key_of(described) for described in dataclasses.fields(cls) if required(described)]
    if demanded:
        made["required"] = demanded
    tables: dict[str, Schema] = {}
    for described in dataclasses.fields(cls):
        kind = annotations_of(cls)[described.name]
        members = members_of(kind)
        if members:
            tables[key_of(described)] = {"oneOf": [_tag(member) | _needed(member) for member in members]}
        elif dataclasses.is_dataclass(kind) and isinstance(kind, type) and (inner := _needed(kind)):
            tables[key_of(described)] = inner
    return made | ({"properties": tables} if tables else {})


def _tag(cls: type) -> Schema:
    """Give the condition by which a document is of this member of a union."""
    tag = dataclasses.fields(cls)[0]
    return {"properties": {key_of(tag): _value(annotations_of(cls)[tag.name], {}, partial=False)}}


def _told(described: dataclasses.Field[Any], kind: Any) -> Schema:
    made: Schema = {"description": described.metadata.get("doc", "")}
    default = spelled(kind, described.default)
    if default is not None:
        made["default"] = default
    example = described.metadata.get("example", "")
    if example:
        # Examples are in TOML's spelling; those of text and numbers are JSON as well.
        made["examples"] = [json.loads(example)]
    return made


def spelled(kind: Any, value: object) -> Any:
    """Give a default as a document would say it; None where there is none, or none that can be said."""
    if get_origin(kind) is Annotated and isinstance(get_args(kind)[1], Quantity) and isinstance(value, int):
        name, factor = max(
            (unit for unit in get_args(kind)[1].units if value % unit[1] == 0), key=lambda u: u[1]
        )
        return f"{value // factor} {name}"
    if isinstance(value, tuple) and not value:
        return []
    return value if isinstance(value, str | int) and value != "" else None


def _value(kind: Any, definitions: dict[str, Schema], *, partial: bool) -> Schema:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _constrained(arguments[1])
    if origin in (Union, types.UnionType):
        return _union(kind, definitions, partial=partial)
    if origin is tuple:
        return {"type": "array", "items": _value(arguments[0], definitions, partial=False)}
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin is Mapping:
        names = _value(arguments[0], definitions, partial=False)
        values = _value(arguments[1], definitions, partial=False)
        made: Schema = {"type": "object", "additionalProperties": values or True}
        return made | ({"propertyNames": {"pattern": names["pattern"]}} if "pattern" in names else {})
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        name = f"{kind.__name__}Change" if partial else kind.__name__
        if name not in definitions:
            definitions[name] = {}  # holds the place, should the record refer to itself
            definitions[name] = _record(kind, definitions, partial=partial)
        return {"$ref": f"#/$defs/{name}"}
    return {} if kind is Any else dict(_PLAIN[kind])


def _constrained(rule: object) -> Schema:
    match rule:
        case Text(pattern=pattern):
            return {"type": "string", "pattern": f"^(?:{pattern})$"}
        case Quantity(units=units):
            return {"type": "string", "pattern": f"^[0-9]+ ?(?:{'|'.join(name for name, _ in units)})$"}
        case _:
            raise TypeError(f"no rule: {rule!r}")


def _union(kind: Any, definitions: dict[str, Schema], *, partial: bool) -> Schema:
    records = members_of(kind)
    if records:
        # A change of another recipe need not repeat the tag, and may then be one of several.
        chosen = [_value(record, definitions, partial=partial) for record in records]
        return {"anyOf" if partial else "oneOf": chosen}
    (member,) = (member for member in get_args(kind) if member is not types.NoneType)
    return _value(member, definitions, partial=partial)


_PLAIN: dict[type, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    # What TOML's own dates become in JSON.
    datetime.date: {"type": "string", "format": "date"},
}
