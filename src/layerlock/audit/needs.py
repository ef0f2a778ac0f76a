"""Why something is in a layer: which file needs it, which package brought it, which recipe lists that."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from layerlock.audit.loading import Loader
from layerlock.audit.survey import Survey
from layerlock.model.function import FunctionLayer
from layerlock.model.layer import LayerRecipe
from layerlock.model.recipe import ScriptBuild
from layerlock.model.recipes import Recipes
from layerlock.model.runtime import RuntimeRecipe
from layerlock.plan.packages import source_key
from layerlock.plan.resolve import Closure
from layerlock.plan.stack import beneath


@dataclass(frozen=True, kw_only=True, slots=True)
class NeededFile:
    """A file of the layer, or a library of the runtime, and who needs it.

    Args:
        path: in the layer; or the name of the runtime's library.
        package: what brought it; empty for the runtime's.
        users: the objects that name it, by path.
        chains: for each package with a module that leads to it, the shortest way there: module first, it last.
    """

    path: str
    package: str
    users: tuple[str, ...]
    chains: tuple[tuple[str, ...], ...]


Kind = Literal["layer", "function", "runtime", "package", "environment", "source", "Debian package"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """Something that recipes name."""

    kind: Kind
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Mention:
    """One recipe that names something: by which key, in words and as the dotted path in the recipe."""

    by: Node
    of: Node
    key: str
    dotted: str


def needed_files(survey: Survey, name: str) -> tuple[NeededFile, ...]:
    """Find files by path, base name or soname, and libraries of the runtime by name, with who needs them.

    A library that got a private name is found by its old one too.
    """
    inventory, loader = survey.inventory, survey.loader
    renamed = {
        posixpath.basename(row["from"]): survey.unpacked(str(row["to"]))
        for row in survey.report.get("private", ())
    }
    wanted = {name, renamed.get(name, name)}
    found = [
        path
        for path, entry in inventory.entries.items()
        if entry.kind != "folder"
        and (
            path in wanted
            or posixpath.basename(path) == name
            or (path in inventory.objects and inventory.objects[path].soname in wanted)
        )
    ]
    files = [_needed(survey, path) for path in found]
    if not files and loader is not None and name in loader.platform.libraries:
        users = loader.users.get(name, ())
        files = [NeededFile(path=name, package="", users=users, chains=tuple(_chains(survey, loader, name)))]
    return tuple(files)


def _needed(survey: Survey, path: str) -> NeededFile:
    loader = survey.loader
    return NeededFile(
        path=path,
        package=survey.package(path),
        users=loader.users.get(path, ()) if loader is not None else (),
        chains=tuple(_chains(survey, loader, path)) if loader is not None else (),
    )


def _chains(survey: Survey, loader: Loader, target: str) -> Iterator[tuple[str, ...]]:
    """Walk up from a library, breadth first; the first module of each package that is reached makes a chain."""
    toward: dict[str, str] = {target: ""}
    waiting = [target]
    told: set[str] = set()
    for current in waiting:
        users = [user for user in loader.users.get(current, ()) if user not in toward]
        for user in users:
            toward[user] = current
        waiting += users
        if current != target and not loader.users.get(current) and survey.package(current) not in told:
            told.add(survey.package(current))
            chain = [current]
            while chain[-1] != target:
                chain.append(toward[chain[-1]])
            yield tuple(chain)


def mentions(layer: LayerRecipe, closure: Closure, recipes: Recipes) -> tuple[Mention, ...]:
    """Give everything that a layer's recipes name, in the order of recipes: the layer's own first."""
    return tuple(_mentions(layer, closure, recipes))


def _mentions(layer: LayerRecipe, closure: Closure, recipes: Recipes) -> Iterator[Mention]:
    top = _node(layer)
    about = layer.layer
    runtime = recipes.runtime(about.runtime)
    yield from _holds(layer)
    yield said(top, "runtime", runtime.name, "runtime", "layer.runtime")
    for index, name in enumerate(layer.smoke_tools.packages):
        yield said(top, "package", name, "smoke_tools", f"smoke_tools.packages[{index}]")
    yield from _stand_in(runtime, about.architecture)
    for below in beneath(layer, recipes):
        key = "layers" if top.kind == "function" else "with"
        yield said(top, "layer", below.name, key, "layer.with")
        yield from _holds(below)
    for package in closure.packages:
        node = Node(kind="package", name=package.name)
        for index, name in enumerate(package.build.inputs if isinstance(package.build, ScriptBuild) else ()):
            yield said(node, "package", name, "inputs", f"build.inputs[{index}]")
        yield said(node, "environment", package.build.environment, "environment", "build.environment")
        for index, source in enumerate(package.sources):
            yield said(node, "source", source_key(package, source), "sources", f"sources[{index}]")
    for environment in closure.environments:
        node = Node(kind="environment", name=environment.name)
        if environment.environment.base is not None:
            yield said(node, "environment", environment.environment.base, "base", "environment.base")
        for deb in environment.debs:
            named = deb.name in environment.environment.packages
            key = "packages" if named else "what its packages depend on"
            yield said(node, "Debian package", f"{environment.name}/{deb.name}", key, "environment.packages")


def said(by: Node, kind: Kind, name: str, key: str, dotted: str) -> Mention:
    """Say that a recipe names something."""
    return Mention(by=by, of=Node(kind=kind, name=name), key=key, dotted=dotted)


def _node(layer: LayerRecipe) -> Node:
    return Node(kind="function" if isinstance(layer, FunctionLayer) else "layer", name=layer.name)


def _holds(layer: LayerRecipe) -> Iterator[Mention]:
    node, about = _node(layer), layer.layer
    for index, name in enumerate(about.packages):
        yield said(node, "package", name, "packages", f"layer.packages[{index}]")
    for index, name in enumerate(about.tools):
        yield said(node, "package", name, "tools", f"layer.tools[{index}]")
    yield said(node, "environment", about.environment, "environment", "layer.environment")


def _stand_in(runtime: RuntimeRecipe, architecture: Literal["x86_64", "arm64"]) -> Iterator[Mention]:
    node, about = Node(kind="runtime", name=runtime.name), runtime.runtime
    yield said(node, "package", about.package, "package", "runtime.package")
    row = runtime.stand_in(architecture)
    if row is None:
        return
    key = f"stand_ins[{runtime.stand_ins.index(row)}]" if row in runtime.stand_ins else "runtime"
    yield said(node, "environment", row.environment, "environment", f"{key}.environment")
    if row.package is not None and row.package != about.package:
        yield said(node, "package", row.package, "package", f"{key}.package")
    if row.emulator is not None:
        yield said(node, "package", row.emulator, "emulator", f"{key}.emulator")


def named(all_mentions: Sequence[Mention], name: str) -> tuple[Node, ...]:
    """Find what recipes call so: whole, or, for sources and Debian packages, by what follows the slash."""
    nodes = dict.fromkeys(mention.of for mention in all_mentions)
    return tuple(
        node
        for node in nodes
        if node.name == name or ("/" in node.name and node.name.partition("/")[2] == name)
    )


def chain_to(all_mentions: Sequence[Mention], node: Node) -> tuple[Mention, ...]:
    """Give the shortest way from the layer to something; what stands first in recipes goes first."""
    first: dict[Node, Mention] = {}
    below: dict[Node, list[Mention]] = {}
    for mention in all_mentions:
        below.setdefault(mention.by, []).append(mention)
    waiting = [each.by for each in all_mentions[:1]]
    for current in waiting:
        for mention in below.get(current, ()):
            if mention.of not in first and mention.of != waiting[0]:
                first[mention.of] = mention
                waiting.append(mention.of)
    chain: list[Mention] = []
    while node in first:
        chain.insert(0, first[node])
        node = first[node].by
    return tuple(chain)


def also_by(
    all_mentions: Sequence[Mention], node: Node, chain: Sequence[Mention]
) -> Mapping[str, tuple[str, ...]]:
    """Name what else asks for something, by kind."""
    found: dict[str, list[str]] = {}
    for mention in all_mentions:
        if mention.of == node and mention not in chain:
            found.setdefault(mention.by.kind, []).append(mention.by.name)
    return {kind: tuple(names) for kind, names in found.items()}
