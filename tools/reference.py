"""Write what is generated in docs/: the schemas, the keys of each document, and the exit codes.

    ./nox -s schema            write
    ./nox -s schema -- --check say what is out of date, and fail

Pages keep their prose; what stands between `<!-- generated: NAME -->` and `<!-- end -->` is replaced.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from layerlock import errors
from layerlock.cli.arguments import load
from layerlock.cli.help import Help
from layerlock.cli.words import Argument, everything
from layerlock.model.decode import Quantity, annotations_of, required
from layerlock.model.schema import DOCUMENTS, dump_schema, key_of, members_of, spelled

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("docs/commands.md", "docs/errors.md", "docs/recipes.md")


def main() -> int:
    """Write or check everything; give the exit status."""
    stale = [path for path, text in generated() if not path.is_file() or path.read_text() != text]
    for path in stale:
        print(f"{'out of date' if '--check' in sys.argv else 'written'}: {path.relative_to(ROOT)}")
    if "--check" in sys.argv:
        return 1 if stale else 0
    wanted = dict(generated())
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
    return 0


def generated() -> Iterator[tuple[Path, str]]:
    """Give every file that is generated, or holds something generated, with the text that it should have."""
    for kind in DOCUMENTS:
        yield ROOT / f"docs/schema/{kind}.json", dump_schema(kind)
    for page in PAGES:
        path = ROOT / page
        yield (
            path,
            re.sub(
                r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end -->)",
                lambda found: f"{found[1]}\n{block(found[2])}\n{found[3]}",
                path.read_text(),
                flags=re.DOTALL,
            ),
        )


def block(name: str) -> str:
    """Write one generated block."""
    made = {"exit-codes": exit_codes, "commands": commands}.get(name)
    return made() if made is not None else keys_of(DOCUMENTS[name])


def commands() -> str:
    """Write what every verb says of itself, and its arguments, out of their parsers."""
    first, *verbs = everything()
    common = {option.flags for option in first.options}
    lines = ["## Options of every verb", "", *_arguments(first.options)]
    for each in verbs:
        shown = cast("Help", load(each.verb).HELP)
        own = [option for option in each.options if option.flags not in common]
        lines += ["", f"## {each.verb}", "", shown.about, "", f"Writes {shown.writes}", ""]
        lines += [*_arguments((*each.places, *own)), "", "```", *shown.examples, "```"]
    return "\n".join([*lines, ""])


def _arguments(listed: Iterable[Argument]) -> list[str]:
    rows = []
    for each in listed:
        value = f" {each.called}" if each.valued and each.flags and each.called else ""
        name = ", ".join(f"`{flag}{value}`" for flag in each.flags) or f"`{each.called}`"
        rows.append(f"| {name} | {each.help.replace('|', chr(92) + '|').replace('<', '&lt;')} |")
    return ["| argument | what it says |", "| --- | --- |", *rows] if rows else []


def exit_codes() -> str:
    """Write the table of exit codes, out of the errors' own documentation."""
    rows = []
    for kind in vars(errors).values():
        if (
            isinstance(kind, type)
            and issubclass(kind, errors.LayerlockError)
            and kind is not errors.LayerlockError
        ):
            rows.append((kind.exit_code, kind.__name__, " ".join((kind.__doc__ or "").split())))
    lines = [f"| {code} | `{name}` | {meaning} |" for code, name, meaning in sorted(rows)]
    return "\n".join(("| code | error | what happened |", "| ---: | --- | --- |", *lines, ""))


def keys_of(cls: type) -> str:
    """Write the tables of a document's keys, a section for each of its tables."""
    # A table may be reached by two ways, such as the limits of either kind of build.
    sections = dict.fromkeys(_records(cls, ""))
    return "\n".join(part for heading, record in sections for part in _section(heading, record))


def _records(cls: type, heading: str) -> Iterator[tuple[str, type]]:
    """Give every table of a document: how it is written in TOML, and its record."""
    if heading or any(not _tables(annotations_of(cls)[f.name]) for f in dataclasses.fields(cls)):
        yield heading, cls
    for described in dataclasses.fields(cls):
        kind = annotations_of(cls)[described.name]
        dotted = f"{heading.strip('[]')}.{key_of(described)}" if heading else key_of(described)
        for record in _tables(kind):
            yield from _records(record, f"[[{dotted}]]" if get_origin(kind) is tuple else f"[{dotted}]")


def _tables(kind: Any) -> tuple[type, ...]:
    """Give the records that stand behind an annotation."""
    inner = get_args(kind)[0] if get_origin(kind) is tuple else kind
    if dataclasses.is_dataclass(inner):
        return (inner,) if isinstance(inner, type) else ()
    members = members_of(inner)
    if members or get_origin(inner) not in (Union, types.UnionType):
        return members
    return tuple(m for m in get_args(inner) if dataclasses.is_dataclass(m) and isinstance(m, type))


def _section(heading: str, cls: type) -> Iterator[str]:
    tag = dataclasses.fields(cls)[0]
    choice = (
        get_args(annotations_of(cls)[tag.name])
        if get_origin(annotations_of(cls)[tag.name]) is Literal
        else ()
    )
    title = f"`{heading}`" if heading else "Keys at the top"
    if len(choice) == 1:
        title += f" with `{key_of(tag)} = {choice[0]!r}`".replace("'", '"')
    yield from (f"### {title}", "", (cls.__doc__ or "").strip(), "")
    yield from ("| key | value | if left out | meaning |", "| --- | --- | --- | --- |")
    for described in dataclasses.fields(cls):
        kind = annotations_of(cls)[described.name]
        if _tables(kind):
            continue
        doc, example = described.metadata.get("doc", ""), described.metadata.get("example", "")
        meaning = f"{doc} Example: `{example}`." if example else doc
        yield f"| `{key_of(described)}` | {_called(kind)} | {_default(described, kind)} | {meaning} |"
    yield ""


def _default(described: dataclasses.Field[Any], kind: Any) -> str:
    if required(described):
        return "**needed**"
    value = spelled(kind, described.default)
    match value:
        case None | []:
            return "-"
        case bool():
            return f"`{str(value).lower()}`"
        case int():
            return f"`{value}`"
        case _:
            return f'`"{value}"`'


def _called(kind: Any) -> str:
    """Say in words what a value must be."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        rule = arguments[1]
        units = f" ({', '.join(name for name, _ in rule.units)})" if isinstance(rule, Quantity) else ""
        return f"{rule.called}{units}"
    if origin in (Union, types.UnionType):
        return _called(next(member for member in arguments if member is not types.NoneType))
    if origin is tuple:
        return f"array: {_called(arguments[0])}"
    if origin is Literal:
        return " or ".join(f'`"{choice}"`' for choice in arguments)
    if origin is Mapping:
        return f"table: {_called(arguments[1])} by {_called(arguments[0])}"
    return {"str": "text", "int": "whole number", "bool": "`true` or `false`", "date": "date"}.get(
        getattr(kind, "__name__", ""), "any value"
    )


if __name__ == "__main__":
    sys.exit(main())
