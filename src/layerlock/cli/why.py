"""`layerlock why`: what needs a file, a library, a package or a source of a layer."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from layerlock.cli.help import Help
from layerlock.cli.targets import check_layer
from layerlock.errors import NotBuilt, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from layerlock.audit.needs import Mention, NeededFile, Node
    from layerlock.audit.survey import Survey
    from layerlock.cli.call import Call
    from layerlock.workflows.surveying import Read

HELP = Help(
    about="Says why something is in a layer, or was needed to make it. Of a library, by path or by soname: which "
    "objects need it, and the shortest way from a module of each package. Of a package, an environment, a source or a "
    "Debian package: the chain of recipes that name it, with their lines. A library of the runtime is understood too.",
    writes="nothing.",
    examples=("layerlock why cv libgfortran.so.5", "layerlock why cv build-tools", "layerlock why cv gast"),
    related=("owner", "graph", "show"),
)

SHOWN = 8
"""Users of a library that are listed without --all."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("layer", metavar="LAYER", help="a layer")
    parser.add_argument(
        "name", metavar="NAME", help="a library, a path in the layer, a package, a source or a Debian package"
    )
    parser.add_argument("--all", action="store_true", help="list everything that needs it")


def run(call: Call) -> int:
    """Say why."""
    from layerlock.audit.needs import mentions, named, needed_files  # noqa: PLC0415 - --help does without it
    from layerlock.plan.resolve import closure_of_layer  # noqa: PLC0415 - as above

    layer, name = call.options.layer, call.options.name
    check_layer(call.repository, layer)
    closure = closure_of_layer(call.repository, layer)
    every = mentions(call.repository.layer(layer), closure, call.repository)
    nodes = named(every, name)
    read = _read(call, layer, optional=bool(nodes))
    files = needed_files(read.survey, read.survey.inside(name)) if read is not None else ()
    if not files and not nodes:
        raise UsageError(f"nothing of the layer {layer} is called `{name}`", hint=_near(read, every, name))
    parts = [_file_text(call, read.survey, every, each) for each in files if read is not None]
    parts += [_node_text(call, every, node) for node in nodes]
    call.result(
        "\n\n".join(parts),
        {
            "layer": layer,
            "name": name,
            "files": [_file_fields(read.survey, each) for each in files if read is not None],
            "recipes": [_node_fields(call, every, node) for node in nodes],
        },
    )
    return 0


def _read(call: Call, layer: str, *, optional: bool) -> Read | None:
    """Read the layer; where recipes answer already, it need not have been built."""
    from layerlock.workflows.surveying import read_layer  # noqa: PLC0415 - as above

    with call.driver() as driver:
        try:
            return read_layer(driver, layer)
        except NotBuilt:
            if optional:
                return None
            raise


def _near(read: Read | None, every: tuple[Mention, ...], name: str) -> str:
    known = {mention.of.name.rpartition("/")[2] for mention in every}
    if read is not None:
        known |= {path.rpartition("/")[2] for path in read.survey.inventory.entries}
    near = difflib.get_close_matches(name, sorted(known), n=1)
    return (
        f"did you mean `{near[0]}`?"
        if near
        else "layerlock owner lists the files, layerlock show the sources"
    )


def _file_text(call: Call, survey: Survey, every: tuple[Mention, ...], found: NeededFile) -> str:
    from layerlock.ui.text import count, printable  # noqa: PLC0415 - as above

    if found.package:
        lines = [f"{printable(found.path)} comes from the package {found.package}"]
        lines += [f"  {line}" for line in _chain_lines(call, every, found.package)]
    elif found.path in survey.inventory.entries:
        lines = [f"{printable(found.path)} belongs to no package of the layer"]
    else:
        lines = [f"{printable(found.path)} is the runtime's own"]
    if not found.users:
        return "\n".join(
            [*lines, "no object of the layer needs it by its name; a program may load it by path"]
        )
    shown = found.users if call.option("all") else found.users[:SHOWN]
    lines.append(f"{count(len(found.users), 'object needs', 'objects need')} it:")
    lines += [f"  {printable(_owned(survey, path))}" for path in shown]
    if len(shown) < len(found.users):
        lines.append(f"  and {len(found.users) - len(shown)} more (--all shows them)")
    ways = [chain for chain in found.chains if len(chain) > 2]
    if ways:
        lines.append("the shortest way from a module of each package:")
    for chain in ways:
        lines.append(f"  {printable(_owned(survey, chain[0]))}")
        lines += [f"    needs {printable(_owned(survey, path))}" for path in chain[1:]]
    return "\n".join(lines)


def _owned(survey: Survey, path: str) -> str:
    package = survey.package(path)
    return f"{path} ({package})" if package else path


def _chain_lines(call: Call, every: tuple[Mention, ...], package: str) -> Iterator[str]:
    from layerlock.audit.needs import Node, chain_to  # noqa: PLC0415 - as above

    for mention in chain_to(every, Node(kind="package", name=package)):
        yield _said(call, mention)


def _said(call: Call, mention: Mention) -> str:
    place = call.repository.locate(f"{mention.by.kind}s", mention.by.name, mention.dotted)
    line = f":{place.line}" if place.line is not None else ""
    return (
        f"the {mention.by.kind} {mention.by.name} names the {mention.of.kind} {mention.of.name} "
        f"({mention.key}, {place.file}{line})"
    )


def _node_text(call: Call, every: tuple[Mention, ...], node: Node) -> str:
    from layerlock.audit.needs import also_by, chain_to  # noqa: PLC0415 - as above
    from layerlock.ui.text import names  # noqa: PLC0415 - as above

    chain = chain_to(every, node)
    lines = [f"the {node.kind} {node.name}", *(f"  {_said(call, mention)}" for mention in chain)]
    lines += [
        f"  asked for by {kind}s too: {names(others, 40)}"
        for kind, others in also_by(every, node, chain).items()
    ]
    return "\n".join(lines)


def _file_fields(survey: Survey, found: NeededFile) -> dict[str, Any]:
    return {
        "path": found.path,
        "package": found.package or None,
        "runtime": found.path not in survey.inventory.entries,
        "users": [{"path": path, "package": survey.package(path) or None} for path in found.users],
        "chains": found.chains,
    }


def _node_fields(call: Call, every: tuple[Mention, ...], node: Node) -> dict[str, Any]:
    from layerlock.audit.needs import also_by, chain_to  # noqa: PLC0415 - as above

    chain = chain_to(every, node)
    rows = []
    for mention in chain:
        place = call.repository.locate(f"{mention.by.kind}s", mention.by.name, mention.dotted)
        rows.append(
            {
                "by": {"kind": mention.by.kind, "name": mention.by.name},
                "of": {"kind": mention.of.kind, "name": mention.of.name},
                "key": mention.key,
                "location": {"file": place.file, "line": place.line, "path": place.path},
            }
        )
    return {"kind": node.kind, "name": node.name, "chain": rows, "also": also_by(every, node, chain)}
